"""Siemens SENTRON PAC2200 (three-phase, current transformers or direct).

Sources: [M] Siemens manual L1V30415167B; [V] volkszaehler/mbmd meters/rs485/pac2200.go; [O] OpenEMS
MeterSiemensPac2200Impl.java; [P] Siemens manual PAC4200, page 208; [S] Siemens manual PAC3100 (A5E02385159B), table
3-5. [V] uses function 4 and [O] function 3; [M] allows both, 3 is taken.

The registers from 801 on count one tariff each [M]: [V] and [O] read tariff 1 as if it were the total, and lose what is
counted under tariff 2. Here both are read in one request and added up. Frequency is in dispute ([V] 46, [M] 55) and is
not read. A read that starts or ends inside a number is refused [M]: gaps are never read across, though [O], for the
PAC3200 and PAC4200 too, reads 1 to 68 at once.

[M] describes Modbus TCP, and speaks of Modbus RTU "if RS485 port is available" (63139) without saying how that is
delivered: the line is the PAC3100's [S], unverified for this model.
"""

MODEL = "Siemens PAC2200"
LINE = (19200, "none", 2, 126)  # unverified: S
MAX_WORDS = 125  # unverified: the most that Modbus knows
MAX_GAP_WORDS = 0  # M
RESOLUTION_WH = 1  # float64
IDENTITY = ((43, 0, "identification", "PAC2200"),)  # M A.1.12; that the name holds "PAC2200" is unverified
SERIAL = None  # in the I&M data at 64001 (M), which this firmware does not read
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 3, 801, "float64", 0, "Wh, tariff 1: M, V, O"),
    (180, 3, 805, "float64", 0, "Wh, tariff 2: P, same block"),
    (280, 3, 809, "float64", 0, "Wh, tariff 1: M, V, O"),
    (280, 3, 813, "float64", 0, "Wh, tariff 2: P, same block"),
    (1670, 3, 65, "float32", 0, "W: M, V, O"),
    (3270, 3, 1, "float32", 1, "V: M, V, O"),
    (5270, 3, 3, "float32", 1, "V: M, V, O"),
    (7270, 3, 5, "float32", 1, "V: M, V, O"),
)
