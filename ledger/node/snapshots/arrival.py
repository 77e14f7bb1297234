"""How a node that is far behind takes a snapshot from its peers. Nothing here believes a peer.

A snapshot is taken where at least two peers, and a weak quorum of the authorities that certified it, offer the same
one. All else is checked: the manifest from the genesis authorities on, then each part alone, whoever sent it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from ledger import snapshot
from ledger.errors import MalformedError
from ledger.genesis import Genesis
from ledger.node.network.sync import LAG_BLOCKS
from ledger.node.network.wire import Frame, FrameType
from ledger.node.snapshots import wire as snapshot_wire
from ledger.node.snapshots.copying import Copy
from ledger.node.snapshots.wire import Offer
from ledger.snapshot import SnapshotRefusedError

MIN_SOURCES: Final = 2
OFFER_INTERVAL_S: Final = 2.0
PATIENCE_S: Final = 5.0
"""So long a new node waits for offers before it copies blocks instead."""
ANSWER_TIMEOUT_S: Final = 5.0
AVOIDED_S: Final = 15.0
"""So long a peer that did not answer is asked for nothing; it may serve others just now."""
MAX_ASKED: Final = 8
MAX_ASKED_OF_PEER: Final = 4
STALL_S: Final = 60.0
"""Without a part for so long, the snapshot is given up for whatever is offered then."""

Send = Callable[[str, Frame], None]
log = structlog.get_logger("arrival")


class Arrival:
    """Looks whether a snapshot is needed, and takes it; runs in the loop and never waits. Times are monotonic seconds.

    A new node takes one if it is `after_blocks` behind; any node does if no peer has the blocks that it needs. A whole
    copy goes to `adopt`; once the node works beyond its height, the copy is deleted.
    """

    def __init__(
        self,
        genesis: Genesis,
        folder: Path,
        after_blocks: int,
        send: Send,
        adopt: Callable[[Copy], None],
        blame: Callable[[str], None],
        *,
        is_new: bool,
    ) -> None:
        """Keep what is copied in *folder*; what a node that was killed left there is used. *blame* is told of liars."""
        self._genesis, self._folder, self._after_blocks = genesis, folder, after_blocks
        self._send, self._adopt, self._blame = send, adopt, blame
        self._is_new = is_new
        self._is_patient = False
        self._behind_since_s: float | None = None
        self._offers: dict[str, Offer] = {}
        self._avoided_until: dict[str, float] = {}
        self._offers_asked_s = -math.inf
        self._manifest_asked: tuple[str, bytes, float] | None = None
        self._copy = Copy.resume(folder, genesis)
        self._asked: dict[int, tuple[str, float]] = {}
        self._progress_s = math.inf
        self._is_adopting = False

    @property
    def holds_back(self) -> bool:
        """Whether this node should leave blocks alone, because a snapshot comes or may come."""
        return self._copy is not None or self._manifest_asked is not None or self._is_patient

    def tick(self, height: int, heights: Mapping[str, int], now_s: float) -> None:
        """Do what is due while this node works on *height* and its peers on *heights*; call it a few times a second."""
        if self._copy is None:
            self._look(height, heights, now_s)
        elif self._copy.manifest.height < height:
            self.give_up()
        elif not self._is_adopting:
            self._go_on(self._copy, heights, now_s)

    def take_frame(self, name: str, frame: Frame, height: int, now_s: float) -> Offer | None:
        """Take in what peer *name* sent, and return its offer if it is one; raises MalformedError."""
        match frame.kind:
            case FrameType.SNAPSHOTS:
                self._offers[name] = snapshot_wire.read_snapshots(frame.payload)
                return self._offers[name]
            case FrameType.MANIFEST:
                self._take_manifest(name, frame.payload, height, now_s)
            case FrameType.PART:
                self._take_part(name, *snapshot_wire.read_part(frame.payload), now_s)
            case _:
                raise MalformedError(f"a {frame.kind.name} frame has no place here")
        return None

    def give_up(self) -> None:
        """Forget the copy and start anew if need be."""
        if self._copy is not None:
            self._copy.remove()
        self._copy, self._manifest_asked, self._is_adopting = None, None, False
        self._asked.clear()
        self._offers.clear()
        self._offers_asked_s = -math.inf

    # ---- which one

    def _look(self, height: int, heights: Mapping[str, int], now_s: float) -> None:
        if not any(theirs >= height + LAG_BLOCKS for theirs in heights.values()):
            return
        self._ask_for_offers(heights, now_s)
        self._ask_for_manifest(height, now_s)
        if self._is_new and self._manifest_asked is None:
            self._wait_for_offers(height, heights, now_s)

    def _wait_for_offers(self, height: int, heights: Mapping[str, int], now_s: float) -> None:
        """Be patient for a while where this new node is far behind; if nothing fits, blocks will have to do."""
        if not any(theirs >= height + self._after_blocks for theirs in heights.values()):
            return
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        have_all_told = len(self._offers) >= max(MIN_SOURCES, len(heights))
        self._is_patient = now_s < self._behind_since_s + PATIENCE_S and not have_all_told
        if not self._is_patient:
            self._is_new = False
            log.info("no snapshot is offered by enough peers: copying blocks", height=height)

    def _ask_for_offers(self, heights: Mapping[str, int], now_s: float) -> None:
        if now_s >= self._offers_asked_s + OFFER_INTERVAL_S:
            self._offers_asked_s = now_s
            for name in heights:
                self._send(name, snapshot_wire.snapshots_wanted())

    def _ask_for_manifest(self, height: int, now_s: float) -> None:
        if self._manifest_asked is not None:
            name, _, asked_s = self._manifest_asked
            if now_s < asked_s + ANSWER_TIMEOUT_S:
                return
            self._avoid(name, now_s + AVOIDED_S)
        self._manifest_asked = None
        block_id = self._choose(height)
        sources = self._sources(block_id, now_s) if block_id is not None else []
        if block_id is not None and sources:
            self._manifest_asked = sources[0], block_id, now_s
            self._send(sources[0], snapshot_wire.manifest_wanted(block_id))

    def _choose(self, height: int) -> bytes | None:
        """Return the block of the newest snapshot that is needed and that enough peers offer."""
        offers = [offer for name, offer in self._offers.items() if self._avoided_until.get(name) != math.inf]
        pruned = sum(offer.first_block > height for offer in offers)
        is_pruned = pruned >= MIN_SOURCES and 2 * pruned > len(offers)
        if not is_pruned and not self._is_new:
            return None
        least = height if is_pruned else height - 1 + self._after_blocks
        counts = Counter((h, block_id) for offer in offers for h, block_id in offer.snapshots.items() if h >= least)
        agreed = [(h, block_id) for (h, block_id), count in counts.items() if count >= MIN_SOURCES]
        return max(agreed)[1] if agreed else None

    def _sources(self, block_id: bytes, now_s: float) -> list[str]:
        """Return who offers the snapshot of the block and is not avoided."""
        return sorted(
            name
            for name, offer in self._offers.items()
            if block_id in offer.snapshots.values() and self._avoided_until.get(name, now_s) <= now_s
        )

    def _take_manifest(self, name: str, data: bytes, height: int, now_s: float) -> None:
        if self._manifest_asked is None or self._manifest_asked[0] != name or self._copy is not None:
            return
        _, block_id, _ = self._manifest_asked
        self._manifest_asked = None
        try:
            manifest = snapshot.parse(data)
            authorities = snapshot.check(manifest, self._genesis.chain_id, self._genesis.authorities)
        except (MalformedError, SnapshotRefusedError) as error:
            self._refuse(name, str(error))
            return
        if manifest.header.id != block_id or manifest.height < height:
            self._refuse(name, "it sent another manifest than it offered")
            return
        names = {member.name for member in authorities.members}
        offering = sum(block_id in offer.snapshots.values() for peer, offer in self._offers.items() if peer in names)
        if offering < max(MIN_SOURCES, authorities.weak_quorum):
            log.warning("too few authorities offer this snapshot", height=manifest.height, offering=offering)
            self._avoid(name, now_s + AVOIDED_S)
            return
        self._is_new = self._is_patient = False
        log.info("taking a snapshot", height=manifest.height, block=block_id.hex(), parts=len(manifest.parts))
        self._copy, self._progress_s = Copy.begin(self._folder, manifest), now_s
        self._ask_for_parts(self._copy, now_s)

    # ---- its parts

    def _go_on(self, copy: Copy, heights: Mapping[str, int], now_s: float) -> None:
        self._progress_s = min(self._progress_s, now_s)
        offers, block_id = self._offers.values(), copy.manifest.header.id
        is_over = len(offers) >= MIN_SOURCES and not any(block_id in one.snapshots.values() for one in offers)
        if is_over or now_s > self._progress_s + STALL_S:
            log.warning("nobody sends the snapshot any more: starting anew", height=copy.manifest.height)
            self.give_up()
            return
        self._ask_for_offers(heights, now_s)
        for number, (name, asked_s) in list(self._asked.items()):
            if now_s >= asked_s + ANSWER_TIMEOUT_S:
                self._avoid(name, now_s + AVOIDED_S)
                self._ask_again(copy, number)
        self._hand_in(copy)
        self._ask_for_parts(copy, now_s)

    def _ask_for_parts(self, copy: Copy, now_s: float) -> None:
        block_id = copy.manifest.header.id
        sources = self._sources(block_id, now_s)
        load = Counter(name for name, _ in self._asked.values())
        while copy.missing and sources and len(self._asked) < MAX_ASKED:
            name = min(sources, key=lambda source: load[source])
            if load[name] >= MAX_ASKED_OF_PEER:
                return
            number = copy.missing.pop()
            self._asked[number] = name, now_s
            load[name] += 1
            self._send(name, snapshot_wire.part_wanted(block_id, number))

    def _take_part(self, name: str, block_id: bytes, number: int, data: bytes, now_s: float) -> None:
        copy = self._copy
        if copy is None or block_id != copy.manifest.header.id or self._asked.get(number, ("",))[0] != name:
            return
        try:
            copy.keep(number, data)
        except SnapshotRefusedError as error:
            self._refuse(name, str(error))
            self._ask_again(copy, number)
            return
        del self._asked[number]
        self._progress_s = now_s
        self._hand_in(copy)
        self._ask_for_parts(copy, now_s)

    def _ask_again(self, copy: Copy, number: int) -> None:
        del self._asked[number]
        copy.missing.append(number)

    def _hand_in(self, copy: Copy) -> None:
        if copy.is_whole and not self._is_adopting:
            self._is_adopting = True
            log.info("a snapshot is here", height=copy.manifest.height)
            self._adopt(copy)

    def _avoid(self, name: str, until_s: float) -> None:
        self._avoided_until[name] = max(until_s, self._avoided_until.get(name, until_s))

    def _refuse(self, name: str, fault: str) -> None:
        """Take nothing more from a peer that sent what is not so, until this node starts anew."""
        log.warning("a peer's snapshot is refused", peer=name, fault=fault)
        self._blame(name)
        self._avoid(name, math.inf)
