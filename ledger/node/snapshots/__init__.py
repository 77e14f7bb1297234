"""Snapshots: made, given, taken and put into a database; and the blocks that are given up afterwards."""
