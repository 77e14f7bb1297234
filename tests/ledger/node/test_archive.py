"""A log that was written as files and is served by a plain web server is followed as a node's own is."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from ledger import block, cbor, files, merkle, tiles, trust
from ledger.cli import app
from ledger.monitor.memory import WitnessMemory
from ledger.monitor.remote_log import RemoteLog
from ledger.monitor.watcher import ChainSigners, Watcher
from ledger.node import archive, settings
from ledger.node.archive import Archived, ArchiveError
from ledger.node.recovery.memory import DATABASE
from tests.ledger.chain_kit import Chain, make_chain
from tests.ledger.node.provable import Place, cosign


def export(place: Place, folder: Path) -> Archived:
    return archive.export(settings.load(place.config), folder, lambda *_: None)


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve a folder as any web server does."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def chain() -> Chain:
    """More than two tiles of leaves, in few blocks."""
    made = make_chain()
    for _ in range(3):
        made.block(*(made.sign("user1", "money", "transfer", made.people["user2"].id, 1) for _ in range(200)))
    return made


@pytest.fixture
def place(chain: Chain, tmp_path: Path) -> Iterator[Place]:
    made = Place(chain, tmp_path / "node")
    yield made
    made.store.close()


def test_a_watcher_follows_the_archive_from_a_web_server(place: Place, tmp_path: Path) -> None:
    folder, newest = tmp_path / "archive", place.chain.state.header.height
    first = place.prove(newest - 2)
    assert export(place, folder).size == first
    with (
        web_server(folder) as url,
        WitnessMemory(tmp_path / "seen") as memory,
        contextlib.closing(RemoteLog(url)) as log,
    ):
        watcher = Watcher(log, ChainSigners(trust.load(folder / "v1" / "trust.json"), memory), memory)
        assert watcher.look() == f"begins with {first} leaves"
        size = place.prove(newest)
        done = export(place, folder)
        assert (done.size, done.height, done.missing) == (size, newest, 0)
        assert watcher.look() == f"grew from {first} to {size} leaves"
        for tile in tiles.tiles_of(size, 0):
            assert tuple(map(merkle.leaf_hash, log.entries(tile))) == log.tile(tile)
    assert not (folder / "v1" / "tile" / "0" / "000.p").exists(), "a whole tile takes the partial one's place"
    assert export(place, folder).written == 0, "nothing is new"


def test_headers_are_there_with_their_precommits_and_the_genesis_secret_is_not(place: Place, tmp_path: Path) -> None:
    place.prove(place.chain.state.header.height)
    height = export(place, tmp_path / "archive").height
    bundle = (tmp_path / "archive" / "v1" / "headers" / tiles.write_place(0, height)).read_bytes()
    found = [cbor.decode(entry) for entry in tiles.split_bundle(bundle, height)]
    for number, fields in enumerate(found, 1):
        assert isinstance(fields, list)
        header, commit = block.decode_header(cbor.encode(fields[0])), block.decode_commit(fields[1])
        assert header == place.store.header(number)
        assert commit.block_id == header.id
    root = tmp_path / "archive" / "v1"
    assert {path.name for path in root.iterdir()} == {"checkpoint", "handovers", "headers", "tile", "trust.json"}
    assert "secret" not in (root / "trust.json").read_text()


def test_an_archive_that_was_cut_short_is_gone_on_with(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.prove(place.chain.state.header.height)
    left = iter(range(4))

    def replace(path: Path, data: bytes) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, data)

    whole = files.replace
    with monkeypatch.context() as patched:
        patched.setattr(files, "replace", replace)
        with pytest.raises(ArchiveError, match="make room, then run this again"):
            export(place, tmp_path / "archive")
    assert not (tmp_path / "archive" / "v1" / "checkpoint").exists(), "it comes last"
    whole_written = export(place, tmp_path / "other").written
    assert export(place, tmp_path / "archive").written == whole_written - 4


def test_a_fault_is_told_of_what_it_befell(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    place.prove(place.chain.state.header.height)
    export(place, folder)
    (folder / "v1" / "checkpoint").unlink()
    (folder / "v1" / "checkpoint").mkdir()
    with pytest.raises(ArchiveError, match=r"cannot bring .*archive up to date: .*v1/checkpoint.*; mend that"):
        export(place, folder)
    place.store.close()
    (place.config.parent / "data" / DATABASE).write_bytes(b"no database" * 1_000)
    with pytest.raises(ArchiveError, match=r"cannot read the database .*ledger\.sqlite: .*verify-db"):
        export(place, tmp_path / "other")


def test_what_is_no_archive_of_this_ledger_is_refused(place: Place, tmp_path: Path) -> None:
    folder, newest = tmp_path / "archive", place.chain.state.header.height
    with pytest.raises(ArchiveError, match="no checkpoint has a quorum"):
        export(place, folder)
    size = place.prove(newest)
    export(place, folder)
    other = Place(make_chain(users=5), tmp_path / "other-node")
    with contextlib.closing(other.store):
        cosign(other.store, other.chain, 0, merkle.EMPTY_ROOT)
        with pytest.raises(ArchiveError, match="another ledger"):
            export(other, folder)
    place.prove(newest - 1)
    with pytest.raises(ArchiveError, match=f"is of {size} leaves"):
        export(place, folder)
    cosign(place.store, place.chain, size, bytes(32))
    export(place, tmp_path / "lying")
    place.prove(newest)
    with pytest.raises(ArchiveError, match="another history"):
        export(place, tmp_path / "lying")
    (tmp_path / "site" / "v1").mkdir(parents=True)
    (tmp_path / "site" / "v1" / "index.html").write_text("hello")
    with pytest.raises(ArchiveError, match="is no archive"):
        export(place, tmp_path / "site")


def test_the_command_says_what_it_wrote_and_what_is_not_here(place: Place, tmp_path: Path) -> None:
    size = place.prove(place.chain.state.header.height)
    with place.store.transaction():
        place.store._run("UPDATE leaves SET data = x'' WHERE place = ?", (3,))
    told = CliRunner().invoke(app, ["archive", str(tmp_path / "a"), "--config", str(place.config)])
    assert told.exit_code == 0, told.output
    assert f"{size} leaves of the log" in told.output
    assert "1 bundles of entries or headers are not at this node" in told.output
