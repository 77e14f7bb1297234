"""Publications are taken out of the broker's stream wherever it is cut, and all else is left as it came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.publications import MAX_PACKET_BYTES, Publication, PublicationFilter

SUBACK = bytes.fromhex("9003000101")
PUBACK = bytes.fromhex("40020007")
PINGRESP = bytes.fromhex("d000")


def packet(head: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        length += bytes([size & 127 | (128 if size > 127 else 0)])
        size >>= 7
        if not size:
            return bytes([head]) + length + body


def publish(publication: Publication, flags: int = 0) -> bytes:
    mid = publication.mid.to_bytes(2) if publication.mid else b""
    body = len(publication.topic).to_bytes(2) + publication.topic + mid + publication.payload
    return packet(0x30 | (2 if mid else 0) | flags, body)


publications = st.builds(Publication, st.binary(max_size=40), st.binary(max_size=200), st.integers(0, 65535))
others = st.sampled_from([SUBACK, PUBACK, PINGRESP, packet(0x34, bytes(50)), packet(0x32, bytes(MAX_PACKET_BYTES))])


@given(st.lists(publications | others, max_size=12), st.lists(st.integers(1, 300), max_size=40))
def test_however_the_stream_is_cut_each_publication_is_found_and_all_else_is_left_in_order(
    content: list[Publication | bytes], cuts: list[int]
) -> None:
    stream = b"".join(publish(one) if isinstance(one, Publication) else one for one in content)
    kept, found, left = PublicationFilter(), [], b""
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        publications, rest = kept.take(piece)
        found += publications
        left += rest
    assert found == [one for one in content if isinstance(one, Publication)]
    assert left == b"".join(one for one in content if isinstance(one, bytes))


def test_a_repeated_or_retained_publication_is_one_too() -> None:
    publication = Publication(b"meter/00/reading", b"abc", 7)
    assert PublicationFilter().take(publish(publication, flags=9)) == ([publication], b"")


def test_of_a_packet_that_is_too_large_nothing_is_kept_while_it_comes() -> None:
    kept, large = PublicationFilter(), packet(0x32, bytes(100_000))
    for place in range(0, len(large), 1000):
        piece = large[place : place + 1000]
        assert kept.take(piece) == ([], piece)
    assert kept.take(PUBACK) == ([], PUBACK)


def test_a_publication_whose_topic_is_longer_than_itself_is_left_to_the_client() -> None:
    broken = packet(0x32, b"\xff\xff" + bytes(10))
    assert PublicationFilter().take(broken + PUBACK) == ([], broken + PUBACK)


def test_after_a_length_that_is_none_the_whole_stream_is_left_to_the_client() -> None:
    kept, broken = PublicationFilter(), b"\x32" + b"\xff" * 5
    assert kept.take(broken) == ([], broken)
    good = publish(Publication(b"a", b"b", 1))
    assert kept.take(good) == ([], good)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_make_it_fail_or_lose_any_that_are_no_publication(data: bytes, size: int) -> None:
    kept, found, left = PublicationFilter(), 0, 0
    for place in range(0, len(data), size):
        publications, rest = kept.take(data[place : place + size])
        found += len(publications)
        left += len(rest)
    assert left + 2 * found <= len(data)
