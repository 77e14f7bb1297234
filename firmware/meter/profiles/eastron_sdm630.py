"""Eastron SDM630 (three-phase, Modbus version).

Sources: [M] SDM630 Modbus protocol v2.0 (Eastron); [V] volkszaehler/mbmd meters/rs485/sdm.go; [S] nmakel/sdm_modbus
sdm.py; [E] esphome sdm_meter_registers.h. They agree on addresses. They disagree on the unit of energy: [M] says kWh
*or* MWh by the user's setting in holding register 0x001E, the others assume kWh; kWh is the factory setting and what
this profile reads, and a meter set to MWh must be set back before it is mounted. The word order can be reversed by
holding register 0x0028; big-endian words are the factory setting. Resolution: float32, 1 Wh up to 16 MWh, 8 Wh at
100 MWh.
"""

MODEL = "Eastron SDM630"
MAX_WORDS = 80  # 40 parameters of two words a request [M]
MAX_GAP_WORDS = 10  # further gaps are cheaper as a request of their own
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 72, "float32", 3, "kWh: M 30073, V 0x0048, S, E"),
    (280, 4, 74, "float32", 3, "kWh: M 30075, V 0x004A, S, E"),
    (1670, 4, 52, "float32", 0, "W, signed, sum of the phases: M 30053, V 0x0034, S, E"),
    (3270, 4, 0, "float32", 1, "V: M 30001, V 0x0000, S, E"),
    (5270, 4, 2, "float32", 1, "V: M 30003, V 0x0002, S, E"),
    (7270, 4, 4, "float32", 1, "V: M 30005, V 0x0004, S, E"),
)
