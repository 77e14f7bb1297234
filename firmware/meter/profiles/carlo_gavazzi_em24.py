"""Carlo Gavazzi EM24-DIN (three-phase, RS485).

Sources: [C] victronenergy/dbus-cgwacs ac_sensor_updater.cpp; [V] volkszaehler/mbmd carlogavazzi-em24.go; [P] evcc
pull request 17173; [X] evcc pull request 31736; [N] volkszaehler/mbmd issue 297; [T] TapHome, Carlo Gavazzi EM24; [G]
Carlo Gavazzi's list of identification codes. Numbers are low word first.

They disagree on imported energy: [V] reads 0x42, [C] reads 0x3E. [P] settled it against meters: 0x3E is kWh(+) TOT,
0x42 is kWh(+) PAR, which anyone can reset at the front. The total is read. Exported energy at 0x5C is refused with
exception 2 by some variants and applications [X]; it then reads 0, as long as it never read anything else.

Only application H shows what flows back as negative [C, N]. Whether the others count it as import is unverified: the
application is shown, to be set where energy is exported, and demanded by nobody.
"""

MODEL = "Carlo Gavazzi EM24"
LINE = (9600, "none", 1, 1)  # T
MAX_WORDS = 11  # of the oldest protocol version: unverified, no source reads more than 7
MAX_GAP_WORDS = 0  # C; none would fit
RESOLUTION_WH = 100
OPTIONAL = (280,)
IDENTITY = ((3, 11, "uint16", (45, 46, 47, 48, 71, 72, 73)),)  # EM24-DIN, first versions: G; revised: C, G
SERIAL = (3, 4864, "text7")  # C; protocols before 2012 have none
CHECKS = (
    # what, function, address, type, wanted, what to do, sources
    ("application", 3, 4353, "uint16", None, "must be 7 (H) where energy is exported", "C 0x1101"),
)
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 62, "int32le", 2, "0.1 kWh: C 0x3E, P"),
    (280, 4, 92, "int32le", 2, "0.1 kWh: C 0x5C, V"),
    (1670, 4, 40, "int32le", -1, "0.1 W: C, V"),
    (3270, 4, 0, "int32le", 0, "0.1 V: C, V"),
    (5270, 4, 2, "int32le", 0, "0.1 V: C, V"),
    (7270, 4, 4, "int32le", 0, "0.1 V: C, V"),
)
