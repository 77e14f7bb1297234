"""Which meter is on a line: model, serial number, and whether it is set so that its numbers mean what they say."""

from meter import profile, profiles, registers, sunspec
from meter.config import Line as LineSettings
from meter.errors import LineError
from meter.line import Line
from meter.modbus import ExceptionResponse

PRODUCT_CODE = 1
"""Object of the device identification (function 43)."""

_TEXT = "text"
_LIVENESS = ((3, 0), (4, 0))  # any answer will do, an exception too


async def find(board, path, slave=None):
    """Return what is known of the meter on the tty *path* as a dict, or None where none answers.

    The settings with which meters are delivered are tried, at *slave* or at the addresses of delivery. A meter that
    answers but is none of the profiles' has the profile None. Raises OSError where the tty cannot be used.
    """
    board.open_uart(LineSettings(path, 9600, "none", 1)).close()
    for settings, slaves in _deliveries(path, slave):
        for candidate in slaves:
            if await _is_alive(settings, board, candidate):
                line = Line(settings, board)
                try:
                    return await _describe(line, settings, candidate)
                finally:
                    line.close()
    return None


async def describe(line, slave, used):
    """Return (serial number or None, settings) of the meter *slave*, which is read by profile *used*.

    A setting is {"name", "value", "wanted", "remedy"}; `wanted` is None where only people can tell.
    """
    settings = []
    for what, function, address, kind, wanted, remedy, _ in used.checks:
        settings.append(
            {
                "name": what, "value": await _value(line, slave, function, address, kind),
                "wanted": list(wanted) if wanted else None, "remedy": remedy,
            }
        )  # fmt: skip
    serial = await _value(line, slave, *used.serial) if used.serial else None
    return None if serial is None else str(serial), settings


def is_set_right(found):
    """Tell whether every setting that `find` found has a wanted value."""
    return all(not setting["wanted"] or setting["value"] in setting["wanted"] for setting in found["settings"])


def _deliveries(path, slave):
    """Return [(LineSettings, slaves)] as the profiles' meters are delivered, each pair of settings once."""
    tried = {}
    for name in profiles.NAMES:
        baud, parity, stop_bits, delivered = profile.load(name).line
        slaves = tried.setdefault((baud, parity, stop_bits), [])
        if (slave or delivered) not in slaves:
            slaves.append(slave or delivered)
    return [(LineSettings(path, *key), sorted(tried[key])) for key in sorted(tried)]


async def _is_alive(settings, board, slave):
    line = Line(settings, board, attempts=1)
    try:
        for function, address in _LIVENESS:
            try:
                await line.read(slave, function, address, 2)
            except ExceptionResponse:
                return True
            except LineError:
                continue
            return True
    finally:
        line.close()
    return False


async def _describe(line, settings, slave):
    found = {
        "profile": None, "model": None, "serial_number": None, "slave": slave, "settings": [],
        "line": {
            "path": settings.path, "baud": settings.baud, "parity": settings.parity, "stop_bits": settings.stop_bits,
        },
    }  # fmt: skip
    used = await _match(line, slave)
    if used is not None:
        found["profile"], found["model"] = used.name, used.model
        found["serial_number"], found["settings"] = await describe(line, slave, used)
        return found
    models = await _sunspec_models(line, slave)
    for name in profiles.NAMES:
        used = profile.load(name)
        if used.sunspec_model in models:
            found["profile"], found["model"] = used.name, used.model
            if sunspec.COMMON in models:
                manufacturer, model, found["serial_number"] = await sunspec.common(line, slave, models)
                found["model"] = "{}: {} {}".format(used.model, manufacturer, model)
            break
    return found


async def _match(line, slave):
    """Return the Profile whose marks the meter has; those with the vaguest marks come last."""
    candidates = [used for used in [profile.load(name) for name in profiles.NAMES] if used.identity]
    for used in sorted(candidates, key=lambda used: len([row for row in used.identity if row[3] is None])):
        for function, address, kind, accepted in used.identity:
            if not _fits(await _value(line, slave, function, address, kind), accepted):
                break
        else:
            return used
    return None


def _fits(value, accepted):
    if value is None or accepted is None:
        return value is not None
    return accepted in value if isinstance(accepted, str) else value in accepted


async def _value(line, slave, function, address, kind):
    """Return the number or text of *kind* in the meter; None where it has none."""
    try:
        if kind == "identification":
            return sunspec.text((await line.identify(slave)).get(PRODUCT_CODE, b""))
        if kind[: len(_TEXT)] == _TEXT:
            return sunspec.text(await line.read(slave, function, address, int(kind[len(_TEXT) :])))
        data = await line.read(slave, function, address, registers.words(kind))
    except LineError:
        return None  # not this model, or an older one
    value = registers.exact(kind, data, 0)
    return None if value is None else registers.truncate(*value)


async def _sunspec_models(line, slave):
    try:
        return await sunspec.walk(line, slave)
    except LineError:
        return {}
