"""Taking PUBLISH packets (MQTT 3.1.1, §3.3) out of a broker's stream of bytes. Pure.

What a gateway receives in numbers are publications of QoS 1, and a general client spends as much on each as half its
signature check costs. Whatever else comes, or is oddly large or malformed, is left to that client.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_PACKET_BYTES: Final = 4096
"""Larger packets are left to the client, so that what is kept of an unfinished one stays small."""
_PUBLISH: Final = 3
_QOS_2: Final = 4
"""A bit of a PUBLISH packet's first byte, set for QoS 2 alone; that for QoS 1 has the value 2."""
_MAX_HEAD_BYTES: Final = 5
_ENDLESS: Final = 2**63


class Publication(NamedTuple):
    """What was published; `mid` is what to acknowledge, 0 if nothing (QoS 0)."""

    topic: bytes
    payload: bytes
    mid: int


class PublicationFilter:
    """Stands in the stream of one connection."""

    def __init__(self) -> None:
        self._unfinished = b""
        self._to_leave = 0

    def take(self, data: bytes) -> tuple[list[Publication], bytes]:
        """Return the publications that end in *data*, the stream's next piece, and the bytes to leave to the client."""
        data = self._unfinished + data
        found: list[Publication] = []
        left: list[bytes] = []
        place, size = 0, len(data)
        while place < size:
            if not self._to_leave:
                body, end = _measure(data, place)
                if not body or (end > size and _is_for_us(data[place], end - place)):
                    break
                publication = _read(data, place, body, end) if _is_for_us(data[place], end - place) else None
                if publication is not None:
                    found.append(publication)
                    place = end
                    continue
                self._to_leave = end - place
            piece = data[place : place + self._to_leave]
            left.append(piece)
            place += len(piece)
            self._to_leave -= len(piece)
        self._unfinished = data[place:]
        return found, b"".join(left)


def _measure(data: bytes, place: int) -> tuple[int, int]:
    """Return where the body of the packet at *place* begins and ends; (0, 0) where its length is not whole yet."""
    length = 0
    for at in range(place + 1, min(place + _MAX_HEAD_BYTES, len(data))):
        byte = data[at]
        length |= (byte & 127) << 7 * (at - place - 1)
        if byte < 128:  # the highest bit says that the length goes on
            return at + 1, at + 1 + length
    is_malformed = len(data) - place >= _MAX_HEAD_BYTES
    return (place + 1, _ENDLESS) if is_malformed else (0, 0)


def _is_for_us(head: int, size: int) -> bool:
    return head >> 4 == _PUBLISH and not head & _QOS_2 and size <= MAX_PACKET_BYTES


def _read(data: bytes, place: int, body: int, end: int) -> Publication | None:
    """Return the publication between *body* and *end*, or None where the lengths in it do not fit."""
    topic_at = body + 2
    topic_end = topic_at + int.from_bytes(data[body:topic_at], "big")
    payload_at = topic_end + (data[place] & 2)  # QoS 1 has two bytes there, the mid
    if payload_at > end:
        return None
    mid = int.from_bytes(data[topic_end:payload_at], "big")
    return Publication(data[topic_at:topic_end], data[payload_at:end], mid)
