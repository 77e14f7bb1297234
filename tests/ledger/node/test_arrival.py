"""Taking a snapshot: only what two peers offer, each part from anybody, nothing of a liar's, and no block meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ledger import cbor, snapshot
from ledger.errors import MalformedError
from ledger.node.network.wire import Frame, FrameType
from ledger.node.snapshots import wire as snapshot_wire
from ledger.node.snapshots.arrival import ANSWER_TIMEOUT_S, MAX_ASKED, PATIENCE_S, Arrival
from ledger.node.snapshots.copying import Copy
from ledger.node.snapshots.file import SnapshotFile
from ledger.node.snapshots.wire import Offer
from tests.ledger.snapshot_kit import make_snapshot, store_chain
from tests.ledger.test_handover import play

CHAIN = play()
CHAIN.must("user0", "money", "transfer", CHAIN.people["user1"].id, 5)
HEIGHT = CHAIN.state.header.height
PEERS = ("EPPO", "ERC", "MEA", "PEA")
AHEAD = dict.fromkeys(PEERS, HEIGHT + 1)
AFTER = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnapshotFile]:
    folder = tmp_path_factory.mktemp("snapshots")
    store = store_chain(CHAIN, folder / "ledger.sqlite")
    file = make_snapshot(folder / "ledger.sqlite", folder / "one.snapshot")
    store.close()
    yield file
    file.close()


Answer = Callable[[str, Frame, Frame], Frame | None]
"""Gives what a peer answers: its name, the request, and the answer of an honest one."""


def honestly(_: str, __: Frame, answer: Frame) -> Frame | None:
    return answer


@dataclass
class Newcomer:
    """A node that is new, and peers who all have one snapshot; `answer` makes some of them lie."""

    made: SnapshotFile
    folder: Path
    answer: Answer = honestly
    offering: tuple[str, ...] = PEERS
    first_block: int = 1
    is_new: bool = True
    height: int = 1
    now_s: float = 100.0
    whole: list[Copy] = field(default_factory=list)
    asked: list[tuple[str, Frame]] = field(default_factory=list)
    most_asked: int = 0
    blamed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arrival = Arrival(
            CHAIN.genesis, self.folder, AFTER, self.send, self.whole.append, self.blamed.append, is_new=self.is_new
        )

    def is_waiting(self) -> bool:
        return self.arrival.holds_back

    def send(self, name: str, frame: Frame) -> None:
        self.asked.append((name, frame))

    def run(self, seconds: float = 60.0, *, stop: int = 10**6) -> int:
        """Let frames go to and fro; return how many parts came."""
        end_s, parts = self.now_s + seconds, 0
        while self.now_s < end_s and not self.whole:
            self.arrival.tick(self.height, AHEAD, self.now_s)
            while self.asked:
                self.most_asked = max(self.most_asked, sum(f.kind is FrameType.PART_WANTED for _, f in self.asked))
                name, request = self.asked.pop(0)
                honest = self.reply(name, request)
                found = self.answer(name, request, honest) if honest is not None else None
                if found is not None:
                    parts += found.kind is FrameType.PART
                    self.arrival.take_frame(name, found, self.height, self.now_s)
                if parts == stop:
                    return parts
            self.now_s += 0.4
        return parts

    def reply(self, name: str, request: Frame) -> Frame | None:
        block_id = self.made.manifest.header.id
        match request.kind:
            case FrameType.SNAPSHOTS_WANTED:
                held = {self.made.manifest.height: block_id} if name in self.offering else {}
                return snapshot_wire.snapshots(Offer(self.first_block, held))
            case FrameType.MANIFEST_WANTED:
                return snapshot_wire.manifest(self.made.manifest_bytes)
            case _:
                wanted, number = snapshot_wire.read_part_wanted(request.payload)
                data = self.made.part(number)
                return snapshot_wire.part(wanted, number, data) if data is not None else None


def test_a_new_node_takes_what_its_peers_offer_and_hands_it_in_whole(made: SnapshotFile, tmp_path: Path) -> None:
    newcomer = Newcomer(made, tmp_path / "incoming")
    assert newcomer.run() == len(made.manifest.parts) > 2 * MAX_ASKED
    (copy,) = newcomer.whole
    assert copy.is_whole
    assert all(copy.part(number) == made.part(number) for number in made.manifest.parts)
    assert newcomer.is_waiting()
    assert newcomer.most_asked <= MAX_ASKED
    newcomer.arrival.tick(HEIGHT + 1, AHEAD, newcomer.now_s)
    assert not newcomer.is_waiting()
    assert not (tmp_path / "incoming").exists()


def test_what_one_peer_alone_offers_is_not_taken_and_blocks_are_copied_instead(
    made: SnapshotFile, tmp_path: Path
) -> None:
    newcomer = Newcomer(made, tmp_path / "incoming", offering=("MEA",))
    newcomer.run(PATIENCE_S + 1)
    assert not newcomer.is_waiting()
    assert newcomer.whole == []


def test_two_who_were_never_authorities_do_not_make_a_snapshot(made: SnapshotFile, tmp_path: Path) -> None:
    newcomer = Newcomer(made, tmp_path / "incoming", offering=("observer1", "observer2"))
    for name in newcomer.offering:
        newcomer.arrival.take_frame(name, snapshot_wire.snapshots(Offer(1, {HEIGHT: made.manifest.header.id})), 1, 0.0)
    newcomer.run(30)
    assert newcomer.whole == []


def test_a_node_with_a_past_copies_blocks_unless_its_peers_have_pruned_them(made: SnapshotFile, tmp_path: Path) -> None:
    for first_block, taken in ((1, 0), (3, 0), (HEIGHT, 1)):
        newcomer = Newcomer(made, tmp_path / str(first_block), is_new=False, height=3, first_block=first_block)
        newcomer.run(20)
        assert len(newcomer.whole) == taken, first_block


def test_a_node_that_is_killed_goes_on_where_it_was(made: SnapshotFile, tmp_path: Path) -> None:
    first = Newcomer(made, tmp_path / "incoming").run(stop=10)
    second = Newcomer(made, tmp_path / "incoming")
    assert second.is_waiting()
    assert second.run() == len(made.manifest.parts) - first
    assert len(second.whole) == 1


def altered_part(name: str, _: Frame, answer: Frame) -> Frame | None:
    if name != "MEA" or answer.kind is not FrameType.PART:
        return answer
    block_id, number, data = snapshot_wire.read_part(answer.payload)
    return snapshot_wire.part(block_id, number, bytes([data[0] ^ 1]) + data[1:])


def another_part(name: str, _: Frame, answer: Frame) -> Frame | None:
    if name != "MEA" or answer.kind is not FrameType.PART:
        return answer
    block_id, number, _data = snapshot_wire.read_part(answer.payload)
    return snapshot_wire.part(block_id, number, b"\x80")


def silent(name: str, _: Frame, answer: Frame) -> Frame | None:
    return None if name == "MEA" and answer.kind is not FrameType.SNAPSHOTS else answer


def wrong_secret(name: str, _: Frame, answer: Frame) -> Frame | None:
    if name != "EPPO" or answer.kind is not FrameType.MANIFEST:
        return answer
    return snapshot_wire.manifest(replace(snapshot.parse(answer.payload), secret=b"s" * 32).encode())


def garbage(name: str, _: Frame, answer: Frame) -> Frame | None:
    return snapshot_wire.manifest(b"garbage") if name == "EPPO" and answer.kind is FrameType.MANIFEST else answer


@pytest.mark.parametrize("lie", [altered_part, another_part, silent, wrong_secret, garbage])
def test_a_liar_is_found_out_left_alone_and_delays_no_more_than_an_answer(
    made: SnapshotFile, tmp_path: Path, lie: Answer
) -> None:
    asked: list[tuple[str, float]] = []
    newcomer = Newcomer(made, tmp_path / "incoming")

    def answer(name: str, request: Frame, honest: Frame) -> Frame | None:
        found = lie(name, request, honest)
        if found != honest:
            asked.append((name, newcomer.now_s))
        return found

    newcomer.answer = answer
    newcomer.run()
    (copy,) = newcomer.whole
    assert all(copy.part(number) == made.part(number) for number in made.manifest.parts)
    assert 0 < len(asked) <= MAX_ASKED
    assert set(newcomer.blamed) == (set() if lie is silent else {name for name, _ in asked})
    assert newcomer.now_s < 100 + ANSWER_TIMEOUT_S + 2


def test_a_snapshot_that_nobody_has_any_more_gives_way_to_what_there_is(made: SnapshotFile, tmp_path: Path) -> None:
    Newcomer(made, tmp_path / "incoming").run(stop=10)
    later = Newcomer(made, tmp_path / "incoming", offering=())
    later.run(PATIENCE_S + 1)
    assert not later.is_waiting()
    assert not (tmp_path / "incoming").exists()


def test_parts_that_nobody_asked_for_are_not_kept(made: SnapshotFile, tmp_path: Path) -> None:
    newcomer = Newcomer(made, tmp_path / "incoming")
    number = made.manifest.parts[0]
    data = made.part(number)
    assert data is not None
    frame = snapshot_wire.part(made.manifest.header.id, number, data)
    newcomer.arrival.take_frame("MEA", frame, 1, 0.0)
    newcomer.arrival.take_frame("MEA", snapshot_wire.manifest(made.manifest_bytes), 1, 0.0)
    assert not newcomer.is_waiting()
    assert not (tmp_path / "incoming").exists()


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", cbor.encode([]), cbor.encode([1, [[1, b"short"]]]), cbor.encode([[], []])]
)
def test_malformed_frames_raise_nothing_else(made: SnapshotFile, tmp_path: Path, payload: bytes) -> None:
    newcomer = Newcomer(made, tmp_path / "incoming")
    for kind in (FrameType.SNAPSHOTS, FrameType.PART, FrameType.PART_WANTED):
        with pytest.raises(MalformedError):
            newcomer.arrival.take_frame("MEA", Frame(kind, payload), 1, 0.0)
    for read in (snapshot_wire.read_part_wanted, snapshot_wire.read_manifest_wanted):
        with pytest.raises(MalformedError):
            read(payload)
