"""Carlo Gavazzi EM340 (three-phase, RS485).

Sources: [C] victronenergy/dbus-cgwacs ac_sensor_updater.cpp; [V] volkszaehler/mbmd carlogavazzi-ex3x0.go; [O] OpenEMS
MeterCarloGavazziEm300Impl.java; [P] Carlo Gavazzi, EM300 and ET300 series communication protocol v2 rev. 17, as an
emulator of the EM340 cites it; [I] machnos/enman carlo_gavazzi.go. They agree on every register below, but for the
emulator, which took the export total at 0x50 from elsewhere: 0x4E is what [C], [V] and [O] read. Numbers are low word
first; the serial number is one letter a word, in its low byte [P, C].

Its siblings ET340 (codes 345, 399), EM341 (346) and EM345 (342) have these registers too, and are not taken for it.

Measurement mode A counts exported energy as imported [C]: the profile demands B.
Changing the measurement system at 0x1002 resets the counters [C]: never done from here.
"""

MODEL = "Carlo Gavazzi EM340"
LINE = (9600, "none", 1, 1)  # I says 9600; the rest as the EM111, unverified
MAX_WORDS = 50  # P
MAX_GAP_WORDS = 34  # O reads across 24; the table is contiguous, what a model lacks reads 0: P
RESOLUTION_WH = 100
IDENTITY = ((3, 11, "uint16", (340, 341)),)  # EM340-DIN AV2 3 X S1 X, EM340-DIN AV2 3 X S1: I, P
SERIAL = (3, 20480, "text7")  # C, P
CHECKS = (
    # what, function, address, type, wanted, what to do, sources
    ("measurement mode", 3, 4355, "uint16", (1,), "set it to B: otherwise export is counted as import", "C 0x1103"),
)
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 52, "int32le", 2, "0.1 kWh: C, V, O"),
    (280, 4, 78, "int32le", 2, "0.1 kWh: C, V, O"),
    (1670, 4, 40, "int32le", -1, "0.1 W: C, V, O"),
    (3270, 4, 0, "int32le", 0, "0.1 V: C, V, O"),
    (5270, 4, 2, "int32le", 0, "0.1 V: C, V, O"),
    (7270, 4, 4, "int32le", 0, "0.1 V: C, V, O"),
)
