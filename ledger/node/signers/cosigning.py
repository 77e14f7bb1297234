"""Cosignatures over the log's checkpoint after every block, until a quorum of them makes it provable."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ledger import cbor, checkpoint, keys
from ledger.authority import AuthoritySet
from ledger.block import Header
from ledger.checkpoint import Checkpoint, SignatureLine, SignatureType, VerifierKey
from ledger.node.network.wire import CosignatureReport
from ledger.node.storage.store import Signed, SignedType

MAX_EARLY_COSIGNATURES: Final = 8
"""Cosignatures of one authority over blocks that this node has not decided yet; older ones go first."""


@dataclass(frozen=True, slots=True)
class Provable:
    """A checkpoint with exactly a quorum of cosignatures, in set order; those of witnesses may follow, by name."""

    checkpoint: Checkpoint
    lines: tuple[SignatureLine, ...]

    def note(self, log_key: keys.PrivateKey) -> str:
        """Return the signed note under which whoever has *log_key* serves the checkpoint."""
        own = checkpoint.sign_as_log(self.checkpoint, log_key)
        return checkpoint.note(self.checkpoint, (own, *self.lines))

    def is_fresh(self, now_s: float, fresh_s: int) -> bool:
        """Tell whether anybody cosigned less than *fresh_s* seconds from now, as they say themselves."""
        return any(abs(now_s - checkpoint.read_time_s(line)) < fresh_s for line in self.lines)

    def encode(self) -> bytes:
        """Return what the store keeps."""
        lines = [[line.name, line.data] for line in self.lines]
        return cbor.encode([self.checkpoint.origin, self.checkpoint.size, self.checkpoint.root, lines])


def decode_provable(data: bytes) -> Provable:
    """Return what `Provable.encode` stored."""
    origin, size, root, lines = cbor.decode(data)
    return Provable(Checkpoint(origin, size, root), tuple(SignatureLine(name, line) for name, line in lines))


@dataclass(slots=True)
class Cosigning:
    """The newest checkpoint of one node and who has cosigned it. A later checkpoint replaces an incomplete one."""

    origin: str
    authorities: AuthoritySet
    newest: Checkpoint
    provable: Provable | None = None
    _held: dict[int, CosignatureReport] = field(default_factory=dict)
    _early: dict[int, deque[CosignatureReport]] = field(default_factory=dict)

    @property
    def provable_size(self) -> int:
        """The size of the log that is provable."""
        return self.provable.checkpoint.size if self.provable else 0

    def sign(self, header: Header, name: str, key: keys.Signer, time_s: int) -> Signed:
        """Return authority *name*'s cosignature over the log after *header*, to be stored before it leaves."""
        note = Checkpoint(self.origin, header.log_size, header.log_root)
        line = checkpoint.cosign(note, checkpoint.cosigner_name(self.origin, name), key, time_s)
        value = header.log_size.to_bytes(8, "big") + header.log_root
        return Signed(header.height, 0, SignedType.COSIGNATURE, value, line.data)

    def start(self, header: Header, authorities: AuthoritySet) -> None:
        """Turn to the log after *header*, counting the cosignatures that came early."""
        self.authorities = authorities
        self.newest = Checkpoint(self.origin, header.log_size, header.log_root)
        self._held = {}
        for reports in self._early.values():
            for report in reports:
                if report.size == header.log_size:
                    self.receive(report)

    def receive(self, report: CosignatureReport) -> bool:
        """Take a cosignature in; one for a later log waits, an old one is nothing. False: it is forged."""
        if report.authority >= len(self.authorities) or report.authority in self._held:
            return True
        if report.size > self.newest.size:
            self._early.setdefault(report.authority, deque(maxlen=MAX_EARLY_COSIGNATURES)).append(report)
        elif report.size == self.newest.size:
            if not self._is_good(report):
                return False
            self._held[report.authority] = report
            self._complete()
        return True

    def reports(self) -> list[CosignatureReport]:
        """Return all cosignatures held over the newest checkpoint, for a peer that lacks them."""
        return list(self._held.values())

    def _complete(self) -> None:
        """Keep the first quorum; further cosignatures add nothing."""
        if len(self._held) >= self.authorities.quorum and self.provable_size < self.newest.size:
            lines = [SignatureLine(self._name(index), self._held[index].data) for index in sorted(self._held)]
            self.provable = Provable(self.newest, tuple(lines[: self.authorities.quorum]))

    def _is_good(self, report: CosignatureReport) -> bool:
        name = self._name(report.authority)
        key = VerifierKey(name, SignatureType.COSIGNATURE, self.authorities.members[report.authority].cosign_key)
        return checkpoint.is_signed(self.newest, SignatureLine(name, report.data), key)

    def _name(self, authority: int) -> str:
        return checkpoint.cosigner_name(self.origin, self.authorities.members[authority].name)
