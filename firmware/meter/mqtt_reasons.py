"""What a broker's codes mean: reason codes of MQTT 5 (§2.4), return codes of 3.1.1 (table 3.1). No I/O here."""

NO_SUBSCRIBERS = 0x10
FIRST_REFUSAL = 0x80
"""Codes from here on are refusals."""
UNSUPPORTED_VERSION = 0x84
NOT_AUTHORISED = 0x87
TAKEN_OVER = 0x8E
OF_VERSION = (1, UNSUPPORTED_VERSION)
"""Refusals of the version of MQTT, in either form: brokers answer in one that they know."""

MAX_TEXT_BYTES = 120
"""More of a broker's explanation is cut off."""

_NAMES = {
    1: "protocol version not supported",
    2: "client identifier refused",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorised",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "refused for a reason of its own",
    UNSUPPORTED_VERSION: "protocol version not supported",
    0x85: "client identifier refused",
    0x86: "bad user name or password",
    NOT_AUTHORISED: "not authorised",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep-alive timeout",
    TAKEN_OVER: "taken over by another device that logs in as this meter: give every meter its own identity",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported",
    0xA2: "wildcard subscriptions not supported",
}


def describe(code, text):
    """Return what *code* means, and *text*, the broker's own explanation as bytes, where there is one."""
    name = _NAMES.get(code, "code 0x{:02x}".format(code))
    if not text:
        return name
    return "{} ({})".format(name, "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in text[:MAX_TEXT_BYTES]]))
