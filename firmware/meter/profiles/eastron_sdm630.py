"""Eastron SDM630 (three-phase, Modbus version).

Sources: [M] SDM630 Modbus protocol v2.0 (Eastron); [V] volkszaehler/mbmd meters/rs485/sdm.go; [S] nmakel/sdm_modbus
sdm.py; [E] esphome sdm_meter.cpp, sdm_meter_registers.h; [C] Eastron, SDM630MCT-ML manual v1.2.
They agree on addresses and disagree twice:

The unit of energy: [M] says kWh *or* MWh by the user's setting in holding register 0x001E, the others assume kWh. [M]
knows its own meter: this profile reads kWh and checks the setting before it reads.
The serial number: [S] has 0xFC00, [M] two parameters at 0x002A. [S] was written against meters, and later protocols of
Eastron's (SDM120 v2.5, SDM72D-M v2) give 0xFC00 too: that one is taken.

The word order can be reversed by holding register 0x0028, which then reads 2141.0 with its words swapped: checked too.
"""

MODEL = "Eastron SDM630"
LINE = (9600, "none", 1, 1)  # S, C
MAX_WORDS = 80  # 40 parameters of two words a request: M, E
MAX_GAP_WORDS = 46  # E and S read 0 to 79 in one request
RESOLUTION_WH = 8  # of a float32 in kWh at 100 MWh; 1 up to 16 MWh
IDENTITY = ((3, 40, "uint32", (0x4505D000, 0xD0004505)),)  # 2141.0, in either word order: M 40041
SERIAL = (3, 64512, "uint32")  # S
CHECKS = (
    # what, function, address, type, wanted, what to do, sources
    ("word order", 3, 40, "uint32", (0x4505D000,), "set the register order back to high word first", "M 40041"),
    ("energy unit", 3, 30, "uint32", (0,), "set the energy unit back to kWh", "M 40031"),
)
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 72, "float32", 3, "kWh: M 30073, V 0x0048, S, E"),
    (280, 4, 74, "float32", 3, "kWh: M 30075, V 0x004A, S, E"),
    (1670, 4, 52, "float32", 0, "W, signed, sum of the phases: M 30053, V 0x0034, S, E"),
    (3270, 4, 0, "float32", 1, "V: M 30001, V 0x0000, S, E"),
    (5270, 4, 2, "float32", 1, "V: M 30003, V 0x0002, S, E"),
    (7270, 4, 4, "float32", 1, "V: M 30005, V 0x0004, S, E"),
)
