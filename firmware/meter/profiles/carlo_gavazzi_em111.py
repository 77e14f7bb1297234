"""Carlo Gavazzi EM111 (single-phase, RS485).

Sources: [C] victronenergy/dbus-cgwacs ac_sensor_updater.cpp; [O] OpenEMS MeterCarloGavazziEm100Impl.java, whose earlier
addresses were wrong (corrected in its pull request 3215); [G] Carlo Gavazzi's list of identification codes. They agree
on every register below. They disagree on the scale of current, which is not read. Numbers are low word first.

The export counter of this family may stand as a negative number: its magnitude is the energy [C]. Measurement mode A
counts exported energy as imported [C]: the profile demands B.
"""

MODEL = "Carlo Gavazzi EM111"
LINE = (9600, "none", 1, 1)
MAX_WORDS = 50
MAX_GAP_WORDS = 0
RESOLUTION_WH = 100
IDENTITY = ((3, 11, "uint16", (101, 111)),)  # C: 102 to 121 are EM1xx and ET1xx; EM111 among them by G
SERIAL = (3, 20480, "text7")  # C
CHECKS = (
    # what, function, address, type, wanted, what to do, sources
    ("measurement mode", 3, 4355, "uint16", (1,), "set it to B: otherwise export is counted as import", "C 0x1103"),
)
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 16, "int32le", 2, "0.1 kWh: C, O"),
    (280, 4, 32, "magnitude32le", 2, "0.1 kWh: C, O"),
    (1670, 4, 4, "int32le", -1, "0.1 W: C, O"),
    (3270, 4, 0, "int32le", 0, "0.1 V: C, O"),
)
