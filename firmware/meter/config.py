"""The meter's configuration: one strict JSON file. A wrong one is refused with one line that says what to mend."""

import json
from collections import namedtuple

from meter.errors import ConfigError

MAX_CONFIG_BYTES = 4096
"""Several times what one takes; it is read in one go, for which a small board must find room."""
MAX_GATEWAY_KEYS = 8
MAX_PIN = 48
"""The highest of an ESP32-S3, which has the most."""
MAX_TIME_SERVERS = 8
NTP_PORT = "123"

_DIGITS = "0123456789"
_PART_BYTES = 512
_PARITIES = ("none", "even", "odd")


def load(path):
    """Return the Config in file *path*; raises ConfigError."""
    try:
        data = read(path)
    except OSError as error:
        raise ConfigError("cannot read the configuration {}: {}".format(path, error)) from None
    try:
        return parse(data, path[: path.rfind("/") + 1])
    except ConfigError as error:
        raise ConfigError("{}: {}".format(path, error)) from None


def read(path):
    """Return what is in file *path*, cut where it is too long; in small parts, for a board has little heap in a row."""
    parts = []
    with open(path, "rb") as file:
        while len(parts) * _PART_BYTES <= MAX_CONFIG_BYTES:
            part = file.read(_PART_BYTES)
            if not part:
                break
            parts.append(part)
    return b"".join(parts)


def parse(data, folder=""):
    """Return the Config in the JSON bytes *data*; relative paths start from *folder* (empty, or ending in '/')."""
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError("longer than {} bytes: not a meter's configuration".format(MAX_CONFIG_BYTES))
    try:
        values = json.loads(data.decode())
    except (ValueError, RuntimeError, MemoryError):  # the last two: nested beyond all measure
        raise ConfigError("not valid JSON") from None
    if isinstance(values, dict):
        for name, nothing in _LATER:
            values.setdefault(name, nothing)
    config = _read_table(values, _CONFIG, "", Config)
    broker, line = config.broker, config.line
    return Config(
        config.meter_id, config.profile,
        _from_folder(folder, line), config.slave,
        Broker(broker.host, broker.port, _from(folder, broker.ca), broker.user, broker.password),
        config.gateway_keys, config.campus_key, config.epoch_s, config.telemetry_s,
        _from(folder, config.data_dir), config.drain_s, config.network, config.time_servers,
    )  # fmt: skip


def with_remote(config, telemetry_s, gateway_keys):
    """Return *config* with the values that can be set from afar (see `configuration.py`)."""
    return Config(
        config.meter_id, config.profile, config.line, config.slave, config.broker, gateway_keys, config.campus_key,
        config.epoch_s, telemetry_s, config.data_dir, config.drain_s, config.network, config.time_servers,
    )  # fmt: skip


def _read_table(values, table, prefix, kind):
    """Return *kind* made of the values of a JSON object, each key of *table* checked; no other key may be there."""
    if not isinstance(values, dict):
        raise ConfigError((prefix[:-1] or "the configuration") + " is not a JSON object")
    names = [name for name, _ in table]
    for name in values:
        if name not in names:
            raise ConfigError("unknown key {}{}: remove it, or mend its spelling".format(prefix, name))
    for name in names:
        if name not in values:
            raise ConfigError("key {}{} is missing".format(prefix, name))
    return kind(*[check(values[name], prefix + name) for name, check in table])


def _integer(low, high):
    def check(value, name):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError("{} must be an integer from {} to {}".format(name, low, high))
        return value

    return check


def _text(value, name):
    if not isinstance(value, str) or not value or "\n" in value or "\0" in value:
        raise ConfigError("{} must be a text in one line, not empty".format(name))
    return value


def _short_text(low, high):
    def check(value, name):
        if not low <= len(_text(value, name).encode()) <= high:
            raise ConfigError("{} must have {} to {} bytes".format(name, low, high))
        return value

    return check


def _truth(value, name):
    if value is not True and value is not False:
        raise ConfigError("{} must be true or false".format(name))
    return value


def _or_null(check):
    def check_unless_null(value, name):
        return None if value is None else check(value, name)

    return check_unless_null


def _hex(size):
    def check(value, name):
        if not isinstance(value, str) or len(value) != 2 * size or value.strip(_DIGITS + "abcdef"):
            raise ConfigError("{} must be {} lower-case hex digits".format(name, 2 * size))
        return bytes.fromhex(value)

    return check


def _keys(values, name):
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_GATEWAY_KEYS:
        raise ConfigError("{} must be a list of 1 to {} public keys".format(name, MAX_GATEWAY_KEYS))
    return tuple([_hex(32)(value, name) for value in values])


def _time_servers(values, name):
    if not isinstance(values, list) or len(values) > MAX_TIME_SERVERS:
        raise ConfigError("{} must be a list of up to {} names".format(name, MAX_TIME_SERVERS))
    servers = [_server(value, name) for value in values]
    for server in servers:
        if servers.count(server) > 1:
            raise ConfigError("{} names {} twice: it is one witness of the time, not two".format(name, server[0]))
    return tuple(servers)


def _server(value, name):
    """Return (host, port) of "host", "host:port", "[address]" or "[address]:port"."""
    host, port = _text(value, name), NTP_PORT
    if not host.endswith("]") and ":" in host:
        host, _, port = host.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    is_number = 1 <= len(port) <= 5 and not port.strip(_DIGITS)
    if not host or " " in host or not is_number or not 1 <= int(port) <= 65535:
        raise ConfigError('{} must hold "host" or "host:port", not {}'.format(name, json.dumps(value)))
    return host, int(port)


def _parity(value, name):
    if value not in _PARITIES:
        raise ConfigError('{} must be "none", "even" or "odd"'.format(name))
    return value


def _line(values, name):
    if isinstance(values, dict) and "host" in values:
        return _read_table(values, _TCP_LINE, name + ".", TcpLine)
    return _read_table(values, _LINE, name + ".", Line)


def _broker(values, name):
    return _read_table(values, _BROKER, name + ".", Broker)


def _kind(value, name):
    return value  # `_network` chose the table by it


def _network(values, name):
    kind = values.get("kind") if isinstance(values, dict) else None
    for known, table, made in _NETWORKS:
        if kind == known:
            return _read_table(values, table, name + ".", made)
    raise ConfigError('{} must be null, or an object with the kind "wifi", "lan8720" or "w5500"'.format(name))


def _from_folder(folder, line):
    if hasattr(line, "host") or ":" in line.path:  # a board's UART and pins, which lie in no folder
        return line
    return Line(_from(folder, line.path), line.baud, line.parity, line.stop_bits)


def _from(folder, path):
    return path if path.startswith("/") else folder + path


_LINE = (
    ("path", _text),
    ("baud", _integer(1200, 230_400)),
    ("parity", _parity),
    ("stop_bits", _integer(1, 2)),
)
_TCP_LINE = (
    ("host", _text),
    ("port", _integer(1, 65535)),
)
_BROKER = (
    ("host", _text),
    ("port", _integer(1, 65535)),
    ("ca", _text),
    ("user", _text),
    ("password", _text),
)
_pin = _integer(0, MAX_PIN)
_HOSTNAME = ("hostname", _short_text(1, 32))
_WIFI = (
    ("kind", _kind),
    ("ssid", _short_text(1, 32)),
    ("password", _or_null(_short_text(8, 64))),
    _HOSTNAME,
)
_LAN8720 = (
    ("kind", _kind),
    ("mdc", _pin),
    ("mdio", _pin),
    ("phy_addr", _integer(0, 31)),
    ("ref_clk", _pin),
    ("ref_clk_out", _truth),
    ("power", _or_null(_pin)),
    ("reset", _or_null(_pin)),
    _HOSTNAME,
)
_W5500 = (
    ("kind", _kind),
    ("spi", _integer(1, 2)),
    ("sck", _pin),
    ("mosi", _pin),
    ("miso", _pin),
    ("cs", _pin),
    ("int", _pin),
    ("reset", _or_null(_pin)),
    _HOSTNAME,
)
_CONFIG = (
    ("meter_id", _hex(8)),
    ("profile", _text),
    ("line", _line),
    ("slave", _integer(1, 247)),
    ("broker", _broker),
    ("gateway_keys", _keys),
    ("campus_key", _hex(32)),
    ("epoch_s", _integer(2, 86_400)),
    ("telemetry_s", _integer(1, 86_400)),
    ("data_dir", _text),
    ("drain_s", _integer(0, 3600)),
    ("network", _or_null(_network)),
    ("time_servers", _time_servers),
)
_LATER = (("network", None), ("time_servers", []))
"""Keys that came after the first set, and the value that each has where it is missing: "nothing", as before it came.

Every key to come belongs in here, or no update that brings it could be installed from afar: the meters in the field
have the old file. A key that is not known stays an error, so a new one is written once its version is confirmed.
"""

Line = namedtuple("Line", [name for name, _ in _LINE])
TcpLine = namedtuple("TcpLine", [name for name, _ in _TCP_LINE])
"""A meter behind Modbus TCP instead of a tty."""
Broker = namedtuple("Broker", [name for name, _ in _BROKER])
Wifi = namedtuple("Wifi", [name for name, _ in _WIFI])
Lan8720 = namedtuple("Lan8720", [name for name, _ in _LAN8720])
W5500 = namedtuple("W5500", [name for name, _ in _W5500])
"""The way to the network of a board that brings it up itself; None where the system does."""
_NETWORKS = (("wifi", _WIFI, Wifi), ("lan8720", _LAN8720, Lan8720), ("w5500", _W5500, W5500))
Config = namedtuple("Config", [name for name, _ in _CONFIG])
"""meter_id 8 bytes, gateway_keys and campus_key 32 bytes each; paths absolute or relative to the working folder;
time_servers ((host, port), ...)."""
