"""The outbox: what goes first, what a broker's terms and refusals change, and that neither can lose a reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meter import mqtt, pace, reading
from meter.journal import Journal
from meter.outbox import (
    MAX_HINT_CHARACTERS,
    MAX_HINTS,
    RESEND_FIRST_MS,
    RESEND_LIMIT_MS,
    WINDOW,
    Outbox,
)

from ledger.reading import decode
from tests.firmware.test_journal import Storage, sign_one

REFUSED, NO_SUBSCRIBERS = 0x97, 0x10
NAME = "0011223344556677"
READING = f"meter/{NAME}/reading".encode()


@pytest.fixture(scope="module", autouse=True)
def open_pace() -> Iterator[None]:
    """Let the pace hold nothing back, so that the other limits show; it has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "START", pace.MOST)
        yield


class Clock:
    """The board's ticks, by hand."""

    def __init__(self) -> None:
        self.ms = 0

    def ticks_ms(self) -> int:
        return self.ms

    def ticks_since(self, start: int) -> int:
        return self.ms - start


class Bench:
    """An outbox over a journal with *count* readings, in a session under *terms*."""

    def __init__(self, count: int = 0, level: int = mqtt.V5, **terms: Any) -> None:
        self.clock = Clock()
        self.journal: Journal = Storage().open()
        for _ in range(count):
            sign_one(self.journal)
        self.complaints: list[str] = []
        self.outbox = Outbox(self.clock, NAME, self.journal, self.complaints.append, lambda: None)
        self.level = level
        self.begin(**terms)

    def begin(self, *, is_resumed: bool = False, **terms: int) -> list[tuple[int, object]]:
        """Begin a session; return (packet id, content) of what goes first."""
        return self.read(self.outbox.begin(self.level, mqtt.TERMS._replace(**terms), is_resumed))

    def due(self, after_ms: int = 0) -> list[tuple[int, object]]:
        """Let time go by; return (packet id, content) of what is due then."""
        self.clock.ms += after_ms
        return self.read(self.outbox.due())

    def read(self, packets: list[bytes]) -> list[tuple[int, object]]:
        """Return (packet id, reading's number or hint) of each packet."""
        found: list[tuple[int, object]] = []
        for packet in packets:
            (publish,) = mqtt.Parser(self.level).feed(packet)
            is_reading = publish.topic == READING
            content = decode(publish.payload).sequence if is_reading else publish.payload.decode()
            found.append((publish.packet_id, content))
        return found

    def answer(self, packets: list[tuple[int, object]], code: int = 0, text: bytes = b"") -> None:
        """Acknowledge *packets*."""
        for packet_id, _ in packets:
            self.outbox.acknowledge(packet_id, code, text)


def contents(packets: list[tuple[int, object]]) -> list[object]:
    """Return what is in *packets*."""
    return [content for _, content in packets]


@pytest.mark.parametrize(("maximum", "window"), [(1, 1), (3, 3), (20, WINDOW)])
def test_no_more_is_in_flight_than_the_broker_takes(maximum: int, window: int) -> None:
    bench = Bench(40, in_flight=maximum)
    sent = bench.due()
    assert contents(sent) == list(range(1, window + 1))
    assert bench.due() == []
    bench.answer(sent[:1])
    assert contents(bench.due()) == [window + 1]


def test_a_boundary_reading_goes_beyond_the_window_but_not_beyond_the_brokers_limit() -> None:
    bench = Bench(40)
    bench.due()
    bench.outbox.hasten(sign_one(bench.journal, reading.BOUNDARY)[0])
    assert contents(bench.due()) == [41]
    bench = Bench(40, in_flight=WINDOW)
    sent = bench.due()
    bench.outbox.hasten(sign_one(bench.journal, reading.BOUNDARY)[0])
    assert bench.due() == []
    bench.answer(sent[:1])
    assert contents(bench.due()) == [41]


def test_a_refused_reading_is_told_of_and_sent_again_at_growing_intervals() -> None:
    bench = Bench(3)
    interval_ms, sent = RESEND_FIRST_MS, bench.due()
    while interval_ms < RESEND_LIMIT_MS:
        bench.answer(sent, REFUSED, b"10 a day")
        assert len(bench.complaints) == 1, "three refusals, one word"
        said = bench.complaints.pop()
        assert said.startswith("the broker refused reading 1: quota exceeded (10 a day); it stays in the journal")
        assert f"in {interval_ms // 1000} s" in said
        assert bench.due(interval_ms) == []
        sent = bench.due(1)
        assert contents(sent) == [1, 2, 3]
        interval_ms *= 2
    bench.answer(sent)
    assert bench.complaints == []


def test_while_a_broker_refuses_a_new_boundary_reading_tries_it_and_one_that_gets_through_lets_all_go() -> None:
    bench = Bench(3)
    bench.answer(bench.due(), REFUSED)
    for number in (4, 5):
        bench.outbox.hasten(sign_one(bench.journal, reading.BOUNDARY)[0])
        sent = bench.due()
        assert contents(sent) == [number]
        bench.answer(sent, REFUSED if number == 4 else 0)
    assert len(bench.complaints) == 1
    assert contents(bench.due()) == [1, 2, 3, 4, 5]


def test_a_broker_that_refuses_every_other_reading_is_not_stormed() -> None:
    bench = Bench(40)
    packets = 0
    for _ in range(600):  # a minute
        sent = bench.due(100)
        packets += len(sent)
        for place, packet in enumerate(sent):
            bench.answer([packet], REFUSED if place % 2 else 0)
    assert packets <= 5 * WINDOW
    assert len(bench.complaints) <= 5


def test_a_refused_boundary_reading_that_was_asked_for_anew_is_sent_again() -> None:
    bench = Bench()
    for _ in range(3):
        sequence, sealed = sign_one(bench.journal, reading.BOUNDARY)
    assert bench.journal.settle(sequence, decode(sealed).hash)
    bench.outbox.send_again(0, 100)
    sent = bench.due()
    assert contents(sent) == [1, 2, 3]
    bench.answer(sent[1:2], REFUSED)
    bench.answer([sent[0], sent[2]])
    assert bench.due() == []
    again = bench.due(RESEND_FIRST_MS + 1)
    assert contents(again) == [2, 3]
    bench.answer(again)
    assert bench.due() == []
    assert bench.due(RESEND_LIMIT_MS) == []


def test_a_reading_too_long_for_the_broker_is_named_and_waits() -> None:
    bench = Bench(2, packet_bytes=100)
    assert bench.due() == []
    assert len(bench.complaints) == 1
    assert bench.complaints[0].startswith("reading 1 needs a packet of ")
    assert "the broker takes at most 100: raise its maximum packet size; it stays in the journal" in bench.complaints[0]
    assert bench.due(RESEND_FIRST_MS) == []
    assert len(bench.complaints) == 1
    bench.begin()
    assert contents(bench.due()) == [1, 2]


def test_nobody_who_listens_is_told_of_once() -> None:
    bench = Bench(6, in_flight=2)
    for code in (NO_SUBSCRIBERS, NO_SUBSCRIBERS, 0):
        bench.answer(bench.due(), code)
    assert len(bench.complaints) == 1
    assert "no gateway is subscribed" in bench.complaints[0]
    assert bench.due() == []


def test_a_new_session_starts_from_the_newest_receipt_and_one_taken_up_again_where_it_was() -> None:
    bench = Bench(20)
    sent = bench.due()
    bench.answer(sent[:2])
    assert contents(bench.due()) == [9, 10]
    assert bench.begin(is_resumed=True) == [*sent[2:], (9, 9), (10, 10)]
    assert bench.due() == []
    assert bench.begin() == []
    assert contents(bench.due()) == list(range(1, WINDOW + 1))


def test_a_session_taken_up_again_under_narrower_terms_keeps_to_them_and_loses_nothing() -> None:
    bench = Bench(8)
    sent = bench.due()
    first = bench.begin(is_resumed=True, in_flight=3)
    assert first == sent[:3]
    bench.answer(first)
    assert contents(bench.due(RESEND_FIRST_MS + 1)) == [1, 2, 3]


def test_what_is_sent_again_under_its_old_identifier_says_so() -> None:
    bench = Bench(1)
    (first,) = bench.outbox.due()
    (again,) = bench.outbox.begin(mqtt.V5, mqtt.TERMS, is_resumed=True)
    assert (first[0], again[0], again[1:]) == (0x32, 0x3A, first[1:])


def test_of_each_kind_the_newest_hint_is_kept_and_goes_before_the_backlog() -> None:
    bench = Bench(40, in_flight=2)
    for text in ("safe no meter", "update 2 loading", "update 2 trial"):
        bench.outbox.tell(text)
    sent = bench.due()
    assert contents(sent) == ["safe no meter", "update 2 trial"]
    bench.answer(sent)
    assert contents(bench.due()) == [1, 2]


def test_hints_are_kept_over_a_lost_session_but_neither_without_bound_nor_after_they_were_taken() -> None:
    bench = Bench()
    for kind in range(MAX_HINTS + 3):
        bench.outbox.tell(f"kind{kind} " + "x" * 1000)
    sent = bench.due()
    assert [str(content).split(" ")[0] for content in contents(sent)] == ["kind3", "kind4", "kind5", "kind6"]
    assert {len(str(content)) for content in contents(sent)} == {MAX_HINT_CHARACTERS}
    bench.answer(sent[:1])
    bench.begin()
    assert contents(bench.due()) == contents(sent[1:])


def test_a_refused_hint_is_told_of_and_given_up() -> None:
    bench = Bench()
    bench.outbox.tell("safe no meter")
    bench.answer(bench.due(), 0x87)
    assert bench.complaints == ['the broker refused the hint "safe no meter": not authorised']
    bench.begin(packet_bytes=20)
    bench.outbox.tell("safe no meter")
    assert bench.due() == []
    assert 'the hint "safe no meter" needs a packet' in bench.complaints[1]
    assert bench.due(RESEND_LIMIT_MS) == []


ACTIONS = st.sampled_from(
    ["sign", "boundary", "tell", "ok", "refuse", "unheard", "wait", "new", "resume", "receipt", "narrow"]
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([mqtt.V311, mqtt.V5]), st.lists(ACTIONS, max_size=60))
def test_whatever_the_broker_does_everything_arrives_once_it_behaves(level: int, actions: list[str]) -> None:
    bench = Bench(3, level)
    flying: list[tuple[int, object]] = []
    limit = mqtt.TERMS.in_flight
    for action in actions:
        if action in {"sign", "boundary"}:
            sequence, _ = sign_one(bench.journal, reading.BOUNDARY if action == "boundary" else reading.PERIODIC)
            if action == "boundary":
                bench.outbox.hasten(sequence)
        elif action == "tell":
            bench.outbox.tell(f"safe {len(flying)}")
        elif action in {"ok", "refuse", "unheard"} and flying:
            bench.answer([flying.pop(0)], {"ok": 0, "refuse": REFUSED, "unheard": NO_SUBSCRIBERS}[action])
        elif action == "wait":
            flying += bench.due(7_000)
        elif action in {"new", "resume", "narrow"}:
            limit = 2 if action == "narrow" else mqtt.TERMS.in_flight
            flying = bench.begin(is_resumed=action == "resume", in_flight=limit)
        elif action == "receipt" and bench.journal.pending(0, 1):
            sequence, sealed = bench.journal.pending(0, 1)[0]
            assert bench.journal.settle(sequence, decode(sealed).hash)
            bench.outbox.receipted()
        flying += bench.due()
        assert len(flying) <= limit
        assert len({packet_id for packet_id, _ in flying}) == len(flying)
    arrived: set[object] = set()
    for after_ms in (0, RESEND_LIMIT_MS + 1, *[100] * 40):
        bench.answer(flying)
        arrived |= set(contents(flying))
        flying = bench.due(after_ms)
    assert {sequence for sequence, _ in bench.journal.pending(0, 1000)} <= arrived
