"""ABB B24 (three-phase, current transformers, RS485).

Sources: [V] volkszaehler/mbmd meters/rs485/abb.go; [D] victronenergy/dbus-modbus-client abb.py. They agree on every
register below. All ones mean that this variant does not measure a quantity: an export that was never counted reads 0.
[D] decodes the serial number as signed; a serial number is not, so it is read as uint32.

The registers are the B23's.
"""

from meter.profiles.abb_b23 import LINE, MAX_GAP_WORDS, MAX_WORDS, OPTIONAL, REGISTERS, RESOLUTION_WH, SERIAL  # noqa: F401

MODEL = "ABB B24"
IDENTITY = ((3, 35168, "text6", "B24"),)  # D 0x8960
