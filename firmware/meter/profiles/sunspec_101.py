"""SunSpec model 101: single-phase inverter.

Source: sunspec/models json/model_101.json. The model is found by walking the device's model chain; addresses are
offsets from its ID register. Each number has a scale factor: `@54` is the offset of the register that holds its power
of ten. Energies are 32-bit accumulators that roll over: the turns since the last reading are added.

The model counts what the inverter produced and nothing else: import reads 0. Its power is positive when it produces; an
inverter's production is export, so a minus goes before it.
"""

MODEL = "SunSpec inverter 101"
SUNSPEC_MODEL = 101
LINE = (9600, "none", 1, 1)  # unverified: each maker has its own
MAX_WORDS = 125  # unverified: the most that Modbus knows
MAX_GAP_WORDS = 125  # a model is one readable block: SunSpec Device Information Model
RESOLUTION_WH = 1  # where the device's scale factor for energy is 0 or less
IDENTITY = ()  # by its SunSpec model number
SERIAL = None  # in SunSpec model 1, which the walk finds
ABSENT = (180,)
NEGATED = (1670,)
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (280, 3, 24, "acc32@26", 0, "Wh: WH, WH_SF"),
    (1670, 3, 14, "int16@15", 0, "W: W, W_SF"),
    (3270, 3, 10, "uint16@13", 1, "V: PhVphA, V_SF"),
    (5270, 3, 11, "uint16@13", 1, "V: PhVphB, V_SF"),
    (7270, 3, 12, "uint16@13", 1, "V: PhVphC, V_SF"),
)
