"""SunSpec model 201: single-phase meter.

Source: sunspec/models json/model_201.json. The model is found by walking the device's model chain; addresses are
offsets from its ID register. Each number has a scale factor: `@54` is the offset of the register that holds its power
of ten. Energies are 32-bit accumulators that roll over: the turns since the last reading are added.
"""

MODEL = "SunSpec meter 201"
SUNSPEC_MODEL = 201
LINE = (9600, "none", 1, 1)  # unverified: each maker has its own
MAX_WORDS = 125  # unverified: the most that Modbus knows
MAX_GAP_WORDS = 125  # a model is one readable block: SunSpec Device Information Model
RESOLUTION_WH = 1  # where the device's scale factor for energy is 0 or less
IDENTITY = ()  # by its SunSpec model number
SERIAL = None  # in SunSpec model 1, which the walk finds
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 3, 46, "acc32@54", 0, "Wh: TotWhImp, TotWh_SF"),
    (280, 3, 38, "acc32@54", 0, "Wh: TotWhExp, TotWh_SF"),
    (1670, 3, 18, "int16@22", 0, "W: W, W_SF"),
    (3270, 3, 8, "int16@15", 1, "V: PhVphA, V_SF"),
    (5270, 3, 9, "int16@15", 1, "V: PhVphB, V_SF"),
    (7270, 3, 10, "int16@15", 1, "V: PhVphC, V_SF"),
)
