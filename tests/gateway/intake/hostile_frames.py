"""Frames as an intruder, a broken meter or a lossy network would make them, around good ones, by chance from a seed.

Good readings come from `healthy` meters, which sign nothing else. Altered readings that are signed again come from
`victims`, whose keys are enrolled too: what those sign need not make sense, and must not disturb anybody.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2

from gateway.roster import FormerKey, Meter, Roster, Succession, make_roster
from ledger import envelope
from ledger.keys import PrivateKey
from ledger.reading import MAX_READING_BYTES, ClockQuality, Reading, Reason, Status, Thinned, encode_payload
from tests.gateway.plant import Pen

FIRST_EPOCH: Final = 300_000_000
GOOD_SHARE: Final = 0.2
KEPT_FRAMES: Final = 200
"""From how many of the newest frames an alteration or a replay is made."""
RATED_POWER_W: Final = 10_000
LIMITS: Final[tuple[Any, ...]] = (
    0, 1, -1, 23, 24, 255, 256, 2**16, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64, 2**127,
    -(2**128), True, False, None, 1.5, float("nan"), "", "text", "\0", b"", bytes(7), bytes(8), bytes(9), bytes(32), [],
    [[]], {}, {1: 2}, [1, 2], [180, -1], [180, 2**63 - 1], [180, 2**63], [280, 1, 180, 1], [1, 1] * 16,
    [1, 1, 1, b"12345678", bytes(32)],
)  # fmt: skip
"""What a field of a reading is changed to."""
_BAD_TOPICS: Final = (
    "", "/", "meter", "meter//reading", "meter/+/reading", "meter/0011/reading", "meter/{id}/readings",
    "METER/{id}/reading", "meter/{id}/reading/", "meter/{ID}/reading", "meter/{id} /reading",
    "meter/٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠/reading", "x" * 65_535,
    "meter/{id}/receipt", "meter/0x{id}/reading", "meter/ {id}/reading", "b'\\xff'", "meter/😀/reading",
)  # fmt: skip

Frame = tuple[str, bytes]
"""(topic, payload)"""


@dataclass(slots=True)
class Hostility:
    """The meters of one run, and an endless `stream` of frames about them.

    `signed` is what each healthy meter signed, in order; `formed` is what other meters signed in the right form, be it
    nonsense: it must be kept too.
    """

    source: random.Random
    healthy: list[Pen]
    victims: list[Pen]
    signed: dict[bytes, list[bytes]] = field(default_factory=dict)
    formed: set[bytes] = field(default_factory=set)
    _restored: Pen = field(init=False)
    _rotated: Pen = field(init=False)
    _replaced: Pen = field(init=False)
    _newest: list[Frame] = field(default_factory=list)

    @classmethod
    def by(cls, seed: int) -> Hostility:
        """Return the meters that *seed* makes."""
        source = random.Random(seed)
        pens = [Pen(PrivateKey(source.randbytes(32)), source.randbytes(8)) for _ in range(9)]
        made = cls(source, pens[:3], pens[3:6])
        made._restored, made._rotated, made._replaced = pens[6:]
        return made

    @property
    def roster(self) -> Roster:
        """All meters as they are enrolled: two of them once had another key."""
        plain = [_enrol(pen, pen.key) for pen in (*self.healthy, *self.victims, self._restored)]
        rotated = _enrol(self._rotated, _later_key(self._rotated), FormerKey(_public(self._rotated), 3, _ROTATION))
        replaced = _enrol(self._replaced, _later_key(self._replaced), FormerKey(_public(self._replaced), 3, _REPLACED))
        return make_roster([*plain, rotated, replaced])

    def stream(self) -> Iterator[Frame]:
        """Yield frames for ever, the first of them a good one."""
        while True:
            is_good = not self._newest or self.source.random() < GOOD_SHARE
            made = self.sign_well() if is_good else self.source.choice(_ATTACKS)(self)
            self._newest = [*self._newest[-KEPT_FRAMES:], made]
            yield made

    def sign_well(self) -> Frame:
        """Return a healthy meter's next reading, every other one a boundary reading."""
        pen = self.source.choice(self.healthy)
        kept = self.signed.setdefault(pen.meter_id, [])
        kept.append(pen.sign(epoch=FIRST_EPOCH + len(kept) // 2 if len(kept) % 2 else None))
        return pen.topic, kept[-1]

    def earlier(self) -> Frame:
        """Return a frame of the newest ones."""
        return self.source.choice(self._newest)

    def flip_bits(self) -> Frame:
        topic, frame = self.earlier()
        changed = bytearray(frame or b"\0")
        for _ in range(self.source.randint(1, 3)):
            changed[self.source.randrange(len(changed))] ^= 1 << self.source.randrange(8)
        return topic, bytes(changed)

    def cut_or_extend(self) -> Frame:
        topic, frame = self.earlier()
        if self.source.random() < 0.5:
            return topic, frame[: self.source.randrange(len(frame) + 1)]
        return topic, frame + self.source.randbytes(self.source.randint(1, 40))

    def splice(self) -> Frame:
        (topic, first), (_, second) = self.earlier(), self.earlier()
        return topic, first[: self.source.randrange(len(first) + 1)] + second[self.source.randrange(len(second) + 1) :]

    def replay(self) -> Frame:
        return self.earlier()

    def misdirect(self) -> Frame:
        pen = self.source.choice(self.healthy)
        form = self.source.choice(_BAD_TOPICS)
        topic = form.replace("{id}", pen.meter_id.hex()).replace("{ID}", pen.meter_id.hex().upper())
        return topic, self.earlier()[1]

    def take_anothers_topic(self) -> Frame:
        return self.source.choice(self.healthy).topic, self.source.choice(self.victims).copy().sign()

    def name_an_unknown_meter(self) -> Frame:
        return Pen(meter_id=self.source.randbytes(8)).topic, self.earlier()[1]

    def sign_with_a_strange_key(self) -> Frame:
        pen = self.source.choice(self.healthy)
        return pen.topic, Pen(PrivateKey(self.source.randbytes(32)), pen.meter_id, pen.sequence).sign()

    def sign_with_a_former_key(self) -> Frame:
        pen = self.source.choice((self._rotated, self._replaced))
        at = self.source.randint(0, 5)
        key = pen.key if self.source.random() < 0.6 else _later_key(pen)
        return self._kept(pen, Pen(key, pen.meter_id, at, self.source.randbytes(8) if at else bytes(8)).sign())

    def send_noise(self) -> Frame:
        size = self.source.choice((0, 0, 1, 7, 100, 180, 181, 4000))
        noise = self.source.choice((
            self.source.randbytes(size), b"\x81" * size, b"\x9f" * size, b"\xbf" * size, b"\x5f" * size,
            b"\x9b" + b"\xff" * 8 + bytes(size), b"\x5b" + b"\x7f" + b"\xff" * 7, b"\xc2\x59" + bytes(size),
            b'{"energy": 1.5}' * (size // 15), b"\xd8\x1c\x82" * (size // 3), b"\x1b" + b"\xff" * 8,
        ))  # fmt: skip
        return self.source.choice((*self.healthy, *self.victims)).topic, noise

    def send_much(self) -> Frame:
        """Return more than any broker of ours lets through (`provisioning.broker.MAX_PACKET_BYTES`)."""
        topic, frame = self.earlier()
        return topic, frame + bytes(self.source.choice((4096, 65_536)))

    def alter_fields(self) -> Frame:
        """Return a victim's next reading with some fields changed, dropped or added, and signed again."""
        pen = self.source.choice(self.victims)
        values = cbor2.loads(envelope.parse(self._next(pen)).payload)
        for _ in range(self.source.randint(1, 2)):
            place = self.source.randrange(len(values))
            change = self.source.randrange(8)
            if change == 0 and len(values) > 1:
                del values[place]
            elif change == 1:
                values.insert(place, self.source.choice(LIMITS))
            else:
                values[place] = self.source.choice(LIMITS)
        return pen.topic, envelope.seal(cbor2.dumps(values), pen.key)

    def encode_otherwise(self) -> Frame:
        """Return a victim's next reading in another than the one encoding of its envelope or payload; signed well."""
        pen = self.source.choice(self.victims)
        payload = envelope.parse(self._next(pen)).payload
        key_id = pen.key.key_id
        canonical = cbor2.dumps({1: -8, 4: key_id})
        loose = b"\x8b\x18\x01" + payload[2:]  # 1 in two bytes
        headers, more, inner = self.source.choice((
            (b"\xa3" + canonical[1:] + canonical[1:3], {}, payload),  # a key twice
            (cbor2.dumps({4: key_id, 1: -8}), {}, payload),
            (canonical, {4: key_id}, payload),
            (cbor2.dumps({1: -8}), {4: key_id}, payload),
            (cbor2.dumps({1: -7, 4: key_id}), {}, payload),
            (b"\xbf" + canonical[1:] + b"\xff", {}, payload),
            (canonical, {}, loose), (canonical, {}, b"\x9f" + payload[1:] + b"\xff"), (canonical, {}, payload + b"\0"),
        ))  # fmt: skip
        signature = pen.key.sign(cbor2.dumps(["Signature1", headers, b"", inner]))
        raw = cbor2.dumps([headers, more, inner, signature])
        return pen.topic, self.source.choice((raw, b"\xd2" + raw, b"\x9f" + raw[1:] + b"\xff"))

    def send_another_kind(self) -> Frame:
        """Return what is no reading, though a meter's key signed it."""
        pen = self.source.choice(self.victims)
        values = cbor2.loads(envelope.parse(self._next(pen)).payload)
        kinds = [kind for kind in envelope.Kind if kind is not envelope.Kind.READING]
        return pen.topic, envelope.seal(cbor2.dumps([int(self.source.choice(kinds)), *values[1:]]), pen.key)

    def sign_at_limits(self) -> Frame:
        """Return a well-formed reading of a victim with numbers that the format just allows, among others."""
        pen, source = self.source.choice(self.victims), self.source
        sequence = source.choice(
            (pen.sequence + 1, pen.sequence + 1, pen.sequence + 5, source.randint(1, 60), 2**32 - 1)
        )
        epoch = source.choice((None, None, FIRST_EPOCH, source.randint(0, 2**32 - 1), 0, 2**32 - 1))
        energy = source.choice((pen.sequence, 0, 2**63 - 1, source.randrange(2**63)))
        registers: tuple[tuple[int, int], ...] = ((180, energy), (280, source.choice((0, 2**63 - 1))))
        if source.random() < 0.2:
            registers = ((1, -(2**63) + 1), (65_535, 2**63 - 1)) if epoch is None else ()
        return self._seal(pen, sequence, Reason.PERIODIC if epoch is None else Reason.BOUNDARY, epoch, registers)

    def give_up_a_run(self) -> Frame:
        """Return a victim's word that it thinned its journal, about numbers that it may or may not have used."""
        pen, source = self.source.choice(self.victims), self.source
        sequence = source.choice((pen.sequence + 1, pen.sequence + 9, source.randint(2, 100)))
        first = source.randint(1, sequence - 1) if sequence > 1 else 1
        last = max(first, min(max(1, sequence - 1), first + source.randint(0, 20)))
        run = Thinned(first, last, source.randint(1, last - first + 1), pen.previous, source.randbytes(32))
        return self._seal(pen, max(sequence, last + 1), Reason.THINNED, None, ((180, sequence),), run)

    def fork(self) -> Frame:
        """Return what a meter signs whose flash was restored: a number again, or one that it skipped, or an epoch."""
        pen, source = self._restored, self.source
        copy = Pen(
            pen.key, pen.meter_id, source.randint(0, pen.sequence), source.choice((bytes(8), source.randbytes(8)))
        )
        return self._kept(pen, copy.sign(r180=source.randrange(2**40), epoch=source.choice((None, FIRST_EPOCH))))

    def skip(self) -> Frame:
        """Return the next reading of the meter that will be restored, which passes a number over."""
        return self._kept(self._restored, self._restored.sign(skip=1))

    def _kept(self, pen: Pen, raw: bytes) -> Frame:
        if len(raw) <= MAX_READING_BYTES:
            self.formed.add(raw)
        return pen.topic, raw

    def _next(self, pen: Pen) -> bytes:
        return pen.sign(epoch=self.source.choice((None, FIRST_EPOCH + pen.sequence)))

    def _seal(
        self,
        pen: Pen,
        sequence: int,
        reason: Reason,
        epoch: int | None,
        registers: tuple[Any, ...],
        thinned: Thinned | None = None,
    ) -> Frame:
        source = self.source
        taken_at = source.choice((0, 2**32 - 1, pen.time, min(2**32 - 1, (epoch or 0) * 5 + source.choice((0, 2, 3)))))
        previous = source.choice((pen.previous, bytes(8), source.randbytes(8)))
        content = Reading(
            sequence, taken_at, source.choice(list(ClockQuality)), source.choice((-32767, 0, 32767)), None, reason,
            epoch, registers, Status(source.randrange(32)), previous, b"", b"", thinned,
        )  # fmt: skip
        return self._kept(pen, envelope.seal(encode_payload(content), pen.key))


_ROTATION, _REPLACED = Succession.ROTATION, Succession.REPLACEMENT
_ATTACKS: Final[tuple[Callable[[Hostility], Frame], ...]] = (
    Hostility.flip_bits, Hostility.flip_bits, Hostility.cut_or_extend, Hostility.splice, Hostility.replay,
    Hostility.misdirect, Hostility.take_anothers_topic, Hostility.name_an_unknown_meter,
    Hostility.sign_with_a_strange_key, Hostility.sign_with_a_former_key, Hostility.send_noise, Hostility.send_much,
    Hostility.alter_fields, Hostility.alter_fields, Hostility.encode_otherwise, Hostility.send_another_kind,
    Hostility.sign_at_limits, Hostility.sign_at_limits, Hostility.give_up_a_run, Hostility.fork, Hostility.skip,
)  # fmt: skip


def _later_key(pen: Pen) -> PrivateKey:
    return PrivateKey(bytes(value ^ 1 for value in pen.key.seed))


def _public(pen: Pen) -> bytes:
    return pen.key.public_key


def _enrol(pen: Pen, key: PrivateKey, *former: FormerKey) -> Meter:
    return Meter(pen.meter_id, key.public_key, "p", RATED_POWER_W, True, bytes(8), "", tuple(former))
