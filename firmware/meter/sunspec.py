"""Finding a SunSpec model: the device marks where its registers begin, and each model says where the next one is."""

from meter.errors import LineError
from meter.modbus import ExceptionResponse

BASES = (40000, 50000, 0)
"""Where the mark may stand (SunSpec Device Information Model Specification)."""
MARK = b"SunS"
MAX_MODELS = 64
"""More is no device but a loop."""
END, COMMON = 0xFFFF, 1
FUNCTION = 3

_MANUFACTURER, _MODEL, _SERIAL, _TEXT_WORDS = 2, 18, 50, 16  # offsets in the common model, sunspec/models model_1.json


async def walk(line, slave):
    """Return {model number: register of its ID} of the device; raises LineError if it is none of SunSpec's.

    The first of several models with one number counts.
    """
    place = await _begin(line, slave)
    models = {}
    for _ in range(MAX_MODELS):
        head = await line.read(slave, FUNCTION, place, 2)
        number, length = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
        if number == END:
            return models
        models.setdefault(number, place)
        place += 2 + length
        if place > 0xFFFD:
            break
    raise LineError("slave {}: its chain of SunSpec models has no end".format(slave))


async def common(line, slave, models):
    """Return (manufacturer, model, serial number) from the common model, as texts."""
    start = models[COMMON]
    texts = []
    for offset in (_MANUFACTURER, _MODEL, _SERIAL):
        texts.append(text(await line.read(slave, FUNCTION, start + offset, _TEXT_WORDS)))
    return tuple(texts)


def text(data):
    """Return the ASCII text in register bytes, without what pads it; what is no ASCII is shown as '?'."""
    data = data.split(b"\0", 1)[0]
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in data]).strip()


async def _begin(line, slave):
    for base in BASES:
        try:
            if await line.read(slave, FUNCTION, base, 2) == MARK:
                return base + 2
        except ExceptionResponse:
            continue  # no register there: try the next place
    raise LineError("slave {} is no SunSpec device: no mark at {}".format(slave, BASES))
