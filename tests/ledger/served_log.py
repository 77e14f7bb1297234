"""A log that a test writes, signs with the keys of `proof_kit` or others, and serves over HTTP as a node would."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from ledger import checkpoint, merkle, tiles
from ledger.checkpoint import Checkpoint
from ledger.errors import MalformedError
from ledger.handover import encode_all
from ledger.keys import PrivateKey
from ledger.monitor.fork import SignedCheckpoint
from tests.ledger.proof_kit import CHAIN_ID, NAMES, TIME_S, private_key

Keys = dict[str, PrivateKey]
COSIGNERS: Keys = {name: private_key(f"{name} cosign") for name in NAMES}


def entries(count: int, fork_at: int | None = None) -> list[bytes]:
    """Return *count* entries; from *fork_at* on they are those of another history."""
    return [
        hashlib.sha256(f"{place} {fork_at is not None and place >= fork_at}".encode()).digest()
        for place in range(count)
    ]


@dataclass
class ServedLog:
    """What is served: change it while it is. `signers` cosign; `hidden` paths are answered 404."""

    leaves: list[bytes]
    signers: Sequence[str] = NAMES[:3]
    chain_id: bytes = CHAIN_ID
    cosigners: Keys = field(default_factory=lambda: COSIGNERS)
    log_key: PrivateKey = field(default_factory=lambda: private_key("PEA log"))
    handovers: Sequence[bytes] = ()
    tiles_of: list[bytes] | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def signed(self) -> SignedCheckpoint:
        origin = checkpoint.origin(self.chain_id)
        note = Checkpoint(origin, len(self.leaves), merkle.root(self.leaves))
        lines = [checkpoint.sign_as_log(note, self.log_key)]
        for name in self.signers:
            signer = checkpoint.cosigner_name(origin, name)
            lines.append(checkpoint.cosign(note, signer, self.cosigners[name], TIME_S))
        return SignedCheckpoint(note, tuple(lines))

    def path(self, old_size: int) -> tuple[bytes, ...]:
        """Return the consistency path from the first *old_size* leaves to all."""
        hashes = merkle.hashes_over([merkle.leaf_hash(leaf) for leaf in self.leaves])
        return merkle.consistency_path(old_size, len(self.leaves), hashes)

    def answer(self, path: str) -> bytes | None:
        self.asked.append(path)
        if path == "/v1/checkpoint":
            return str(self.signed).encode()
        if path == "/v1/handovers":
            return encode_all(self.chain_id, self.handovers)
        level, _, place = path.removeprefix("/v1/tile/").partition("/")
        try:
            index, width = tiles.read_place(place)
        except MalformedError:
            return None
        leaves = self.leaves if self.tiles_of is None else self.tiles_of
        first = index * tiles.WIDTH
        if level == "entries":
            return tiles.bundle(leaves[first : first + width]) if first + width <= len(leaves) else None
        span = tiles.WIDTH ** int(level)
        hash_of = merkle.hashes_over([merkle.leaf_hash(leaf) for leaf in leaves])
        if (first + width) * span > len(leaves):
            return None
        return b"".join(hash_of(at * span, (at + 1) * span) for at in range(first, first + width))


@contextlib.contextmanager
def served(log: ServedLog) -> Iterator[str]:
    """Serve *log*; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = log.answer(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
