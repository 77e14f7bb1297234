"""Which meter is on a line: model, serial number, and whether it is set so that its numbers mean what they say."""

import json

from meter import line, modbus, profile, profiles, registers, sunspec
from meter.config import Line as LineSettings
from meter.config import TcpLine
from meter.errors import ConfigError, LineError

PRODUCT_CODE = 1
"""Object of the device identification (function 43)."""
SPEEDS = (9600, 19200, 38400, 2400, 4800, 57600, 115200)
PARITIES = ("none", "even")
"""To what else meters are set: tried where none answers as delivered."""
TCP_UNITS = (1, 126, 247)
"""Units that stand for a meter of its own behind Modbus TCP."""
NEIGHBOURS = tuple(range(1, 9))
"""Addresses at which others are looked for on the line of a meter that was found without being given its own."""

_TEXT = "text"
_FUNCTIONS = (3, 4)  # any answer to one of them will do, an exception too
_GATEWAY_CODES = (10, 11)  # but not that of a gateway which says that nobody is there
_TCP_FIELDS, _TTY_FIELDS = ("host", "port"), ("path", "baud", "parity", "stop_bits")


async def find(board, target, slave=None, say=None):
    """Return what is known of the meter at *target* as a dict, or None where none answers.

    *target* is a tty or, for Modbus TCP, HOST:PORT. The settings with which meters are delivered are tried, then other
    ones, at *slave* or at the addresses of delivery; *say* hears of each. A meter that answers but is none of the
    profiles' has the profile None. Without *slave*, `others` are the addresses of further meters among NEIGHBOURS.
    Raises OSError where *target* cannot be used, LineError where what answers is no Modbus.
    """
    noise, refusal = None, None
    ways = _ways(board, target, slave)
    for settings, slaves, functions in ways:
        if say:
            say("asking at {}".format(_text_of(settings, slaves)))
        for candidate in slaves:
            try:
                is_there, heard = await _listen(settings, board, candidate, functions)
            except (OSError, ConfigError) as error:
                refusal = error  # an adapter or board need not know all settings
                break
            if is_there:
                found = await _identified(settings, board, candidate)
                if not slave:
                    found["others"] = await _others(settings, board, candidate, say)
                return found
            if heard and not noise:
                noise = "{}: {}".format(_text_of(settings, [candidate]), heard)
    if refusal and len(ways) == 1:
        raise refusal
    if noise:
        raise LineError("what answers is broken, {}".format(noise))
    return None


async def describe(meters, slave, used):
    """Return (serial number or None, settings) of the meter *slave* on the Line *meters*, read by profile *used*.

    A setting is {"name", "value", "wanted", "remedy", "right"}; `wanted` and `right` are None where only people can
    tell. One that a variant has not has the value None and cannot be wrong.
    """
    settings = []
    for what, function, address, kind, wanted, remedy, _ in used.checks:
        value = await _value(meters, slave, function, address, kind)
        if value is None and wanted is None:
            continue
        settings.append(
            {
                "name": what, "value": value, "wanted": list(wanted) if wanted else None, "remedy": remedy,
                "right": (value is None or value in wanted) if wanted else None,
            }
        )  # fmt: skip
    serial = await _value(meters, slave, *used.serial) if used.serial else None
    return None if serial is None else str(serial), settings


def is_set_right(found):
    """Tell whether no setting that `find` found is wrong."""
    return all(setting["right"] is not False for setting in found["settings"])


def page(found):
    """Return what `find` found as lines for people, the last of them what to do next."""
    lines = [
        "model          {}".format(found["model"] or "unknown"),
        "profile        {}".format(found["profile"] or "none"),
        "serial number  {}".format(found["serial_number"] or "not told"),
        "line           {}, address {}".format(_line_text(found["line"]), found["slave"]),
    ]
    for setting in found["settings"]:
        verdict = {True: "ok", False: "WRONG: " + setting["remedy"], None: "- " + setting["remedy"]}[setting["right"]]
        value = setting["value"]
        shown = "not in this variant" if value is None else value if value <= 0xFFFF else hex(value)
        lines.append("{} {} {}".format(setting["name"], shown, verdict))
    for slave in found["others"]:
        lines.append("another meter  answers at address {0}: probe it with --slave {0}".format(slave))
    lines.append("next           " + _next_step(found))
    return lines


def advice(target, error=None):
    """Return lines for people at a *target* where `find` found nothing, or only what LineError *error* says."""
    if error:
        return [
            "{}: {}".format(target, error),
            "  1. an answer of another address? ask at that one: --slave N",
            "  2. two meters with one address? take one off the line, and give the other another address",
            "  3. only one master may ask: end whatever else uses this line",
            "  4. put 120 ohm across A and B at both ends of the line; look for loose wires",
        ]
    return [
        "no meter answers on {}".format(target),
        "  1. does the meter have mains? read the Modbus address in its menu and say it: --slave N",
        "  2. exchange A and B: some makers name them the other way round",
        "  3. is it this adapter or port, and is Modbus switched on in the meter's menu?",
    ]


def _next_step(found):
    if not found["profile"]:
        return 'write a profile for it ("Add a meter model" in firmware/README.md), or mount a meter that has one'
    if not is_set_right(found):
        return "set at the meter what is WRONG, then probe again: nothing is read until then"
    return 'in config.json: "profile": "{}", "slave": {}, "line": {}'.format(
        found["profile"], found["slave"], _line_json(found["line"])
    )


def _line_json(named):
    pairs = [(key, named[key]) for key in _TCP_FIELDS + _TTY_FIELDS if key in named]
    return "{{{}}}".format(", ".join(['"{}": {}'.format(key, json.dumps(value)) for key, value in pairs]))


def _ways(board, target, slave):
    """Return [(settings, slaves, functions)] to be tried at *target*, the likely ones first; raises OSError."""
    host, colon, port = target.rpartition(":")
    if colon and "/" not in target and port.isdigit():
        return [(TcpLine(host, int(port)), [slave] if slave else TCP_UNITS, _FUNCTIONS)]
    board.open_uart(LineSettings(target, 9600, "none", 1)).close()
    delivered = {}
    for name in profiles.NAMES:
        baud, parity, stop_bits, usual = profile.load(name).line
        delivered.setdefault((baud, parity, stop_bits), []).append(slave or usual)
    ways = sorted(delivered, key=lambda way: (-len(delivered[way]), way))
    found = [(LineSettings(target, *way), sorted(set(delivered[way])), _FUNCTIONS) for way in ways]
    tried = [way[:2] for way in ways]
    for parity in PARITIES:
        for baud in SPEEDS:
            if (baud, parity) not in tried:
                found.append((LineSettings(target, baud, parity, 1), [slave or 1], _FUNCTIONS[:1]))
    return found


async def _listen(settings, board, slave, functions):
    """Return (whether *slave* answers, what else was heard or None)."""
    noise = None
    for function in functions:
        wire = line.wire(settings, board)
        try:
            await wire.exchange(slave, modbus.registers(function, 0, 2))
        except modbus.ExceptionResponse as error:
            if error.code not in _GATEWAY_CODES:
                return True, None
        except modbus.Silence:
            pass
        except LineError as error:
            noise = str(error)
        else:
            return True, None
        finally:
            wire.close()
    return False, noise


async def _others(settings, board, found, say):
    wanted = [slave for slave in NEIGHBOURS if slave != found]
    if say:
        say("found one; looking for others at {}".format(_text_of(settings, wanted)))
    others = []
    for slave in wanted:
        is_there, _ = await _listen(settings, board, slave, _FUNCTIONS[:1])
        if is_there:
            others.append(slave)
    return others


async def _identified(settings, board, slave):
    meters = line.Line(settings, board)
    try:
        return await _describe(meters, settings, slave)
    finally:
        meters.close()


async def _describe(meters, settings, slave):
    found = {
        "profile": None, "model": None, "serial_number": None, "slave": slave, "settings": [], "others": [],
        "line": dict(zip(_fields(settings), settings)),  # noqa: B905  MicroPython's zip knows no strict
    }  # fmt: skip
    used = await _match(meters, slave)
    if used is not None:
        found["profile"], found["model"] = used.name, used.model
        found["serial_number"], found["settings"] = await describe(meters, slave, used)
        return found
    models = await _sunspec_models(meters, slave)
    for name in profiles.NAMES:
        used = profile.load(name)
        if used.sunspec_model in models:
            found["profile"], found["model"] = used.name, used.model
            if sunspec.COMMON in models:
                manufacturer, model, found["serial_number"] = await sunspec.common(meters, slave, models)
                found["model"] = "{}: {} {}".format(used.model, manufacturer, model)
            break
    return found


def _fields(settings):
    return _TCP_FIELDS if hasattr(settings, "host") else _TTY_FIELDS


def _text_of(settings, slaves):
    named = dict(zip(_fields(settings), settings))  # noqa: B905
    return "{}, address {}".format(_line_text(named), ", ".join([str(slave) for slave in slaves]))


def _line_text(named):
    if "host" in named:
        return "port {}".format(named["port"])
    return "{} baud, parity {}, {} stop bit{}".format(
        named["baud"], named["parity"], named["stop_bits"], "s" if named["stop_bits"] > 1 else ""
    )


async def _match(meters, slave):
    """Return the Profile whose marks the meter has; those with the vaguest marks come last."""
    seen = {}
    candidates = [used for used in [profile.load(name) for name in profiles.NAMES] if used.identity]
    for used in sorted(candidates, key=lambda used: len([row for row in used.identity if row[3] is None])):
        for function, address, kind, accepted in used.identity:
            mark = function, address, kind
            if mark not in seen:
                seen[mark] = await _mark(meters, slave, *mark)
            if not _fits(seen[mark], accepted):
                break
        else:
            return used
    return None


def _fits(value, accepted):
    if accepted is None:
        return value is not None
    if isinstance(accepted, str):
        return value is not None and accepted in value
    return value in accepted


async def _mark(meters, slave, function, address, kind):
    try:
        return await _value(meters, slave, function, address, kind)
    except LineError:
        return None  # this model says nothing at all to a register that it has not


async def _value(meters, slave, function, address, kind):
    """Return the number or text of *kind* in the meter; None where it has none. Raises LineError."""
    try:
        if kind == "identification":
            return sunspec.text((await meters.identify(slave)).get(PRODUCT_CODE, b""))
        if kind[: len(_TEXT)] == _TEXT:
            data = await meters.read(slave, function, address, int(kind[len(_TEXT) :]))
            return sunspec.text(data.replace(b"\0", b""))  # some have a letter a word
        data = await meters.read(slave, function, address, registers.words(kind))
    except modbus.ExceptionResponse as error:
        if error.code in modbus.ABSENT:
            return None
        raise
    value = registers.exact(kind, data, 0)
    return None if value is None else registers.truncate(*value)


async def _sunspec_models(meters, slave):
    try:
        return await sunspec.walk(meters, slave)
    except LineError:
        return {}
