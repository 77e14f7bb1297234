"""ABB B23 (three-phase, direct, RS485).

Sources: [V] volkszaehler/mbmd meters/rs485/abb.go; [D] victronenergy/dbus-modbus-client abb.py. They agree on every
register below. All ones mean that this variant does not measure a quantity: an export that was never counted reads 0.
[D] decodes the serial number as signed; a serial number is not, so it is read as uint32. The terminals A and B are
labelled the other way round than most [T: Tasmota, Smart Meter Interface, ABB B23]. How it is delivered is unverified.
"""

MODEL = "ABB B23"
LINE = (19200, "even", 1, 1)  # unverified; T uses 9600, no parity
MAX_WORDS = 125  # unverified: the most that Modbus knows
MAX_GAP_WORDS = 14  # 0x5B06 to 0x5B13 are line voltages and currents: V, D
RESOLUTION_WH = 10
OPTIONAL = (280,)
IDENTITY = ((3, 35168, "text6", "B23"),)  # D 0x8960
SERIAL = (3, 35072, "uint32")  # D 0x8900
REGISTERS = (
    # OBIS code, function, address, type, power of ten from the meter's unit to ours, sources
    (180, 3, 20480, "uint64", 1, "0.01 kWh: V, D 0x5000"),
    (280, 3, 20484, "uint64", 1, "0.01 kWh: V, D 0x5004"),
    (1670, 3, 23316, "int32", -2, "0.01 W: V, D 0x5B14"),
    (3270, 3, 23296, "uint32", 0, "0.1 V: V, D 0x5B00"),
    (5270, 3, 23298, "uint32", 0, "0.1 V: V, D 0x5B02"),
    (7270, 3, 23300, "uint32", 0, "0.1 V: V, D 0x5B04"),
)
