"""Carlo Gavazzi EM111 (single-phase, RS485).

Sources: [C] victronenergy/dbus-cgwacs ac_sensor_updater.cpp; [O] OpenEMS MeterCarloGavazziEm100Impl.java, whose earlier
addresses were wrong (corrected in its pull request 3215); [P] Carlo Gavazzi, EM111, EM112, ET112 communication protocol
v2 rev. 14; [I] machnos/enman carlo_gavazzi.go. They agree on every register below. They disagree on the scale of
current, which is not read. Numbers are low word first; the serial number is one letter a word, in its low byte [P, C].

The export counter of this family may stand as a negative number: its magnitude is the energy [C]. Measurement mode A
counts exported energy as imported [C]: the profile demands B.
"""

MODEL = "Carlo Gavazzi EM111"
LINE = (9600, "none", 1, 1)  # P 2000h to 2003h
MAX_WORDS = 50  # P 2004h
MAX_GAP_WORDS = 14  # the table is contiguous, what a model lacks reads 0: P
RESOLUTION_WH = 100
IDENTITY = ((3, 11, "uint16", (101, 103, 111, 114)),)  # EM111-DIN AV7, AV8, AV8 of before, AV5: I; AV8: P
SERIAL = (3, 20480, "text7")  # C, P 5000h
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
