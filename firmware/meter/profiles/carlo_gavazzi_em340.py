"""Carlo Gavazzi EM340 (three-phase, RS485).

Sources: [C] victronenergy/dbus-cgwacs ac_sensor_updater.cpp; [V] volkszaehler/mbmd carlogavazzi-ex3x0.go; [O] OpenEMS
MeterCarloGavazziEm300Impl.java. They agree on every register below. Numbers are low word first.

Measurement mode A, in which these meters are delivered, counts exported energy as imported [C]: the profile demands B.
Changing the measurement system at 0x1002 resets the counters [C]: never done from here.
"""

MODEL = "Carlo Gavazzi EM340"
LINE = (9600, "none", 1, 1)
MAX_WORDS = 50
MAX_GAP_WORDS = 0
RESOLUTION_WH = 100
IDENTITY = ((3, 11, "uint16", (340, 341, 342, 343, 344, 345)),)  # C
SERIAL = (3, 20480, "text7")  # C
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
