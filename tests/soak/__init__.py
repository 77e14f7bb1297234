"""The long campaigns: `make soak`. They are registered in `campaigns.py` and resume where they stopped."""
