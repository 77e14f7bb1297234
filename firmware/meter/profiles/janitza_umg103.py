"""Janitza UMG 103 (three-phase measuring device, current transformers).

Sources: [H] Vanaheimr/Hermod JanitzaUMG103.cs, which lists voltages at 1000 and no energy; [E] evcc's template
janitza.yaml, which offers the block from 19000 on for "UMG series". The energies rest on [E] alone and were not checked
against a meter: compare the first reading with the display. Voltages are read where [H] has them. That the gaps of that
block can be read is unverified too; a meter that refuses is asked without them.

Energies are saved every five minutes only, as in the UMG 96: a mains cut sets them back, and the reading says so.
"""

MODEL = "Janitza UMG 103"
LINE = (115200, "none", 1, 1)  # H
MAX_WORDS = 96  # unverified: as the UMG 96
MAX_GAP_WORDS = 40  # unverified: as the UMG 96
RESOLUTION_WH = 8  # of a float32 in Wh at 100 MWh; 1 up to 16 MWh
IDENTITY = ((3, 1226, "float32", range(45, 66)), (3, 1000, "float32", None))  # 1226, 1000: H
SERIAL = None  # not documented: H
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 3, 19068, "float32", 0, "Wh: E, unverified"),
    (280, 3, 19076, "float32", 0, "Wh: E, unverified"),
    (1670, 3, 19026, "float32", 0, "W: E, unverified"),
    (3270, 3, 1000, "float32", 1, "V: H"),
    (5270, 3, 1002, "float32", 1, "V: H"),
    (7270, 3, 1004, "float32", 1, "V: H"),
)
