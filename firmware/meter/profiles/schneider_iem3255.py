"""Schneider Electric iEM3255 (three-phase, current transformers, RS485).

Sources: [D] user manual DOCA0005EN (Schneider Electric), whose register numbers count from 1 while the frame counts
from 0; [V] volkszaehler/mbmd meters/rs485/iem3000.go; [G] Gaudi111/iem3155_esphome; [N] SolarNetwork
PM3200Register.java, PM3200Data tests (an iEM3255's registers). They agree on every register below.

Energy is read as int64 in Wh. Its float32 copy at 45099 loses resolution, and its sources disagree about the unit (Wh
in [D], kWh in [G]): not read. The resettable counter at 3255 is not the total and is not read.

The registers are the iEM3155's. Transformer ratios are in the meter: its energy is the primary side's already. Where
they stand is unverified: compare what is shown with the meter's own display.
"""

from meter.profiles.schneider_iem3155 import LINE, MAX_GAP_WORDS, MAX_WORDS, REGISTERS, RESOLUTION_WH, SERIAL  # noqa: F401

MODEL = "Schneider Electric iEM3255"
IDENTITY = ((3, 49, "text20", "iEM3255"),)  # D 50, G 49, N
CHECKS = (
    # what, function, address, type, wanted, what to do, sources
    ("CT primary in A", 3, 2029, "uint16", None, "compare with the transformers", "2030: unverified"),
    ("CT secondary in A", 3, 2030, "uint16", None, "compare with the transformers", "2031: unverified"),
)
