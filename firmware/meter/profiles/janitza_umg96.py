"""Janitza UMG 96RM-E (three-phase power analyser, current transformers).

Sources: [O] OpenEMS MeterJanitzaUmg96rmeImpl.java; [V] volkszaehler/mbmd meters/rs485/janitza.go; [A] aggsoft's list
for the UMG 104; [F] cFos' profile for the UMG 96PA; [J] Janitza, Modbus address list and user manual UMG 96RM(-E).
They agree on addresses. [O] calls 19068 production and 19076 consumption when not inverted: a matter of names; [V],
[A] and [F] say import and export, and so does this profile. No serial number register is documented in these sources.

The device writes its energies to flash every five minutes only [J]: a mains cut sets them back by up to that. The
reading says so (status: register set back), and the ledger counts nothing below its high-water mark.
"""

MODEL = "Janitza UMG 96"
LINE = (115200, "none", 2, 1)  # J, user manual UMG 96RM-E, RS485 interface
MAX_WORDS = 96  # F
MAX_GAP_WORDS = 40  # the block from 19000 on is contiguous: J, O
RESOLUTION_WH = 8  # of a float32 in Wh at 100 MWh; 1 up to 16 MWh
IDENTITY = (  # frequency and transformers, J; that no other model has them there is unverified
    (3, 19050, "float32", range(45, 66)), (3, 10, "float32", None), (3, 12, "float32", range(1, 6)),
)  # fmt: skip
SERIAL = None  # not documented: O, A, F
CHECKS = (
    # what, function, address, type, wanted, what to do, sources
    ("CT L1 primary in A", 3, 10, "float32", None, "compare with the transformers", "J"),
    ("CT L1 secondary in A", 3, 12, "float32", None, "compare with the transformers", "J"),
    ("CT L2 primary in A", 3, 18, "float32", None, "compare with the transformers", "J"),
    ("CT L2 secondary in A", 3, 20, "float32", None, "compare with the transformers", "J"),
    ("CT L3 primary in A", 3, 26, "float32", None, "compare with the transformers", "J"),
    ("CT L3 secondary in A", 3, 28, "float32", None, "compare with the transformers", "J"),
)
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 3, 19068, "float32", 0, "Wh: V 0x4A7C, A, F, O"),
    (280, 3, 19076, "float32", 0, "Wh: V 0x4A84, A, F, O"),
    (1670, 3, 19026, "float32", 0, "W: O, V, A, F"),
    (3270, 3, 19000, "float32", 1, "V: O, V, A, F"),
    (5270, 3, 19002, "float32", 1, "V: O, V, A, F"),
    (7270, 3, 19004, "float32", 1, "V: O, V, A, F"),
)
