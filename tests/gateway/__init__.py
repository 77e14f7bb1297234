"""Tests of the gateway over a real mosquitto, a real SQLite file and real processes."""
