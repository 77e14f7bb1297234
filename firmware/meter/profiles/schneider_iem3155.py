"""Schneider Electric iEM3155 (three-phase, direct, RS485).

Sources: [D] user manual DOCA0005EN (Schneider Electric), whose register numbers count from 1 while the frame counts
from 0; [V] volkszaehler/mbmd meters/rs485/iem3000.go; [G] Gaudi111/iem3155_esphome; [N] SolarNetwork
PM3200Register.java, PM3200Data tests (an iEM3255's registers). They agree on every register below. [D] states parity,
stop bits and address; the speed is what [G] found.

Energy is read as int64 in Wh. Its float32 copy at 45099 loses resolution, and its sources disagree about the unit (Wh
in [D], kWh in [G]): not read. The resettable counter at 3255 is not the total and is not read.
"""

MODEL = "Schneider Electric iEM3155"
LINE = (19200, "even", 1, 1)  # D, G
MAX_WORDS = 125  # unverified: the most that Modbus knows; N reads 64
MAX_GAP_WORDS = 26  # N reads across
RESOLUTION_WH = 1
IDENTITY = ((3, 49, "text20", "iEM3155"),)  # D 50, G 49, N
SERIAL = (3, 129, "uint32")  # D 130, G 129, N
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 3, 3203, "int64", 0, "Wh: D 3204, V, G"),
    (280, 3, 3207, "int64", 0, "Wh: D 3208, V, G"),
    (1670, 3, 3059, "float32", 3, "kW: D 3060, V, G"),
    (3270, 3, 3027, "float32", 1, "V: D 3028, V, G"),
    (5270, 3, 3029, "float32", 1, "V: D 3030, V, G"),
    (7270, 3, 3031, "float32", 1, "V: D 3032, V, G"),
)
