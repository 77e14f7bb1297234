"""Backups, and a node that may have forgotten what it signed."""
