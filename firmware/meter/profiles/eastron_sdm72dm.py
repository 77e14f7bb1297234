"""Eastron SDM72D-M (three-phase, first version).

Sources: [M] SDM72D-M manual v1.5 (Eastron); [V] volkszaehler/mbmd meters/rs485/sdm72.go; [S] nmakel/sdm_modbus sdm.py.
They disagree on voltages: [S] lists them, [M] and [V] say that this version has no voltage or current registers. The
manual is followed: no voltage is read. [S] reads 0 to 75 in one request, unlisted registers included. The resettable
import counter at 0x184 is not the total and is not read. No serial number is documented. Import and export power at
31281 and 31283 identify the model; its second version has them too and is read right by this profile.
"""

MODEL = "Eastron SDM72D-M"
LINE = (9600, "none", 1, 1)  # S; M of the SDM72D-M v1.1: no parity, address 1
MAX_WORDS = 80  # S reads 76
MAX_GAP_WORDS = 18  # S
RESOLUTION_WH = 8  # of a float32 in kWh at 100 MWh; 1 up to 16 MWh
IDENTITY = ((4, 1280, "float32", None), (4, 1282, "float32", None), (4, 342, "float32", None))  # 31281, 31283, 30343: M
SERIAL = None  # not documented: M, S
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 4, 72, "float32", 3, "kWh: M 30073, V"),
    (280, 4, 74, "float32", 3, "kWh: M 30075, V"),
    (1670, 4, 52, "float32", 0, "W, signed: M 30053, V"),
)
