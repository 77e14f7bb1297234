"""Agents that forecast a user's next epoch and place the user's orders."""
