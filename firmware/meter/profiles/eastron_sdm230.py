"""Eastron SDM230 (single-phase, Modbus version).

Sources: [M] SDM230 Modbus protocol v1.1 (Eastron); [V] volkszaehler/mbmd meters/rs485/sdm230.go; [S] nmakel/sdm_modbus
sdm.py; [E] esphome sdm_meter.cpp; [Z] Ozeki, "Energy meter" (a tutorial on the SDM230). They agree on every address
below. [M] calls the energies "since last reset"; the resettable counter is another one, at 0x180, so what is read here
is the total. The serial number stands in [S] alone. [S] and [E] read 0 to 79 in one request; [M] allows 60 words. The
model has no mark of its own: it is known by what a single-phase Eastron has, and by no voltage on L2.
"""

MODEL = "Eastron SDM230"
LINE = (2400, "none", 1, 1)  # S, Z
MAX_WORDS = 60  # 30 parameters of two words a request: M
MAX_GAP_WORDS = 10  # S, E
RESOLUTION_WH = 8  # of a float32 in kWh at 100 MWh; 1 up to 16 MWh
IDENTITY = (  # unverified: registers that S has, none of them a model code
    (3, 64512, "uint32", None), (4, 342, "float32", None), (4, 12, "float32", None), (4, 0, "float32", None),
    (4, 2, "float32", (None, 0)),
)  # fmt: skip
SERIAL = (3, 64512, "uint32")  # S
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 72, "float32", 3, "kWh: M, V, S"),
    (280, 4, 74, "float32", 3, "kWh: M, V, S"),
    (1670, 4, 12, "float32", 0, "W, signed: M, V, S; one phase, so L1 is the total"),
    (3270, 4, 0, "float32", 1, "V: M, V, S"),
)
