"""The long campaigns: `make soak`. They are registered in `campaigns.py` and resume where they stopped."""

import sys
from pathlib import Path

FIRMWARE = Path(__file__).parents[2] / "firmware"
if str(FIRMWARE) not in sys.path:
    sys.path.insert(0, str(FIRMWARE))  # the firmware's modules are not installed: they are `meter.…` below firmware/
