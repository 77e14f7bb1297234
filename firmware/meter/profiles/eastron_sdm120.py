"""Eastron SDM120 (single-phase, Modbus version).

Sources: [M] SDM120 Modbus protocol v2.5 (Eastron); [V] volkszaehler/mbmd meters/rs485/sdm120.go; [S] nmakel/sdm_modbus
sdm.py; [E] esphome sdm_meter.cpp. [M], [V] and [S] agree on every register below; no source documents a reset of the
energy registers. [E] reads 0 to 79 in one request, unlisted registers included, and [S] reads 0 to 79 so.
"""

MODEL = "Eastron SDM120"
LINE = (2400, "none", 1, 1)  # baud, parity, stop bits, slave as delivered: S
MAX_WORDS = 80  # 40 parameters of two words a request: M, E
MAX_GAP_WORDS = 60  # E, S
RESOLUTION_WH = 8  # of a float32 in kWh at 100 MWh; 1 up to 16 MWh
IDENTITY = ((3, 64514, "uint16", (0x0020,)),)  # meter code: M 464515
SERIAL = (3, 64512, "uint32")  # M 464513, S
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 72, "float32", 3, "kWh: M 30073, V 0x0048, S"),
    (280, 4, 74, "float32", 3, "kWh: M 30075, V 0x004A, S"),
    (1670, 4, 12, "float32", 0, "W, signed: M 30013, V 0x000C, S; one phase, so L1 is the total"),
    (3270, 4, 0, "float32", 1, "V: M 30001, V 0x0000, S"),
)
