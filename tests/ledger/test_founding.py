"""Four institutions start a ledger by the commands of the README, and others try things on one of a single node."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hil.ports import free_ports
from ledger import genesis, keys
from ledger.cli import app
from ledger.errors import LedgerError
from ledger.genesis import Genesis
from ledger.members import founding, institution
from ledger.members.founding import FoundingError
from ledger.members.institution import Entry, EntryError
from ledger.node import settings
from ledger.node.recovery import memory
from ledger.node.recovery.memory import DATABASE
from ledger.node.signers import identity
from ledger.node.storage.store import Store
from ledger.remote.client import LedgerClient
from tests.kernels import compile_kernels
from tests.ledger.node.network import CAMPUSGRID, NAMES, answers, until


def ledger(*arguments: str | Path) -> str:
    """Run a command of the README and return what it prints."""
    command = [CAMPUSGRID, "ledger", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def nodes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a list for running nodes, which are ended with it."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.wait()


def start(nodes: list[subprocess.Popen[bytes]], *arguments: str | Path) -> None:
    compile_kernels()
    command = [CAMPUSGRID, "ledger", "run", *map(str, arguments), "--exit-with-parent"]
    nodes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))


def found(folder: Path) -> tuple[Genesis, list[Entry]]:
    """Make four institutions' folders, and a genesis of their entries."""
    ports = free_ports(4)
    for name, port in zip(NAMES, ports, strict=True):
        founding.make_institution(folder / name, name, f"127.0.0.1:{port}")
    entries = list(institution.load_all([folder / name / "entry.json" for name in NAMES]))
    public = [founding.make_key(folder / f"{name}.key").public_key for name in ("grid", "admin")]
    return founding.make_genesis("campus", entries, *public), entries


async def test_four_institutions_start_a_ledger_by_the_readme_alone(
    tmp_path: Path, nodes: list[subprocess.Popen[bytes]]
) -> None:
    ports, urls = free_ports(8), []
    grid, admin = (line.split()[0] for line in ledger("keys", "make", tmp_path / "g", tmp_path / "a").splitlines())
    rules, _ = found(tmp_path)
    entries = [tmp_path / name / "entry.json" for name in NAMES]
    told = ledger(
        "genesis", *entries, "--name", "campus", "--grid-key", grid, "--admin-key", admin, "--out", tmp_path / "g.json"
    )
    made = genesis.load(tmp_path / "g.json")
    assert f"account {made.grid_account.hex()} is the utility's" in told
    assert all(f"account {one.id.hex()} is {one.name}'s" in told for one in made.authorities.members)
    edited = (tmp_path / "g.json").read_text().replace('"heartbeat_ms": 60000', '"heartbeat_ms": 500')
    (tmp_path / "g.json").write_text(edited)
    for name, port in zip(NAMES, ports[4:], strict=True):
        api = f"127.0.0.1:{port}"
        ledger("begin", tmp_path / name, *entries, "--genesis", tmp_path / "g.json", "--api", api)
        start(nodes, "--config", tmp_path / name / "node.toml")
        urls.append(f"http://{api}")
    async with LedgerClient(urls) as client:
        await until(lambda: answers(client), "a node answers")

        async def is_decided() -> bool:
            status = await client.status()
            assert status.tolerated_faults == 1
            assert not status.development
            return status.height >= 1 and all(peer.connected for peer in status.peers)

        await until(is_decided, "block 1 is final", 90)
    assert rules.chain_id != genesis.load(tmp_path / "g.json").chain_id


async def test_a_development_ledger_says_what_it_is_wherever_it_can(
    tmp_path: Path, nodes: list[subprocess.Popen[bytes]]
) -> None:
    api = f"127.0.0.1:{free_ports(1)[0]}"
    start(nodes, "--dev", "--folder", tmp_path / "dev", "--api", api)
    async with LedgerClient([f"http://{api}"]) as client:
        await until(lambda: answers(client), "the node answers")
        status = await client.status()
    assert (status.development, status.tolerated_faults) == (True, 0)
    assert "NOT FAULT-TOLERANT" in ledger("status", "--url", f"http://{api}")
    nodes[0].send_signal(signal.SIGTERM)
    assert b"NOT FAULT-TOLERANT" in nodes[0].communicate()[1]
    rules = genesis.load(tmp_path / "dev" / "genesis.json")
    assert rules.development
    assert replace(rules, development=False).chain_id != rules.chain_id


def test_what_was_made_is_what_a_node_starts_with_and_secrets_stay_where_they_are(tmp_path: Path) -> None:
    rules, entries = found(tmp_path)
    assert len({entry.id for entry in entries}) == 4
    home = tmp_path / "MEA"
    config = settings.load(founding.set_up(home, rules, entries, api="127.0.0.1:9", joins=False))
    identity.require_seat(identity.load(config), rules.authorities, config)
    assert {peer.name for peer in config.peers} == set(NAMES) - {"MEA"}
    assert {path.name for path in home.iterdir() if path.is_file() and path.stat().st_mode & 0o77} == {
        "entry.json", "node.toml", "peers.crt", "tls.crt",
    }  # fmt: skip
    seeds = [path.read_text().strip() for path in home.glob("*.key")]
    assert not any(seed in (home / "entry.json").read_text() for seed in seeds)
    store = Store.open(home / "data" / DATABASE, rules.chain_id)
    memory.note_loss(store)
    assert memory.is_whole(store)
    store.close()


def test_init_says_which_account_it_made_and_what_comes_next(tmp_path: Path) -> None:
    arguments = ["init", str(tmp_path / "erc"), "--name", "ERC", "--address", "erc.example:30333"]
    told = CliRunner().invoke(app, arguments).output
    assert f"account {institution.load(tmp_path / 'erc' / 'entry.json').id.hex()} is ERC's" in told
    assert "campusgrid ledger genesis" in told


def test_a_full_disk_leaves_no_half_of_a_key_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FoundingError, match="No space left on device; mend that, then run this again"):
            founding.make_key(tmp_path / "grid.key")
    assert not (tmp_path / "grid.key").exists()
    founding.make_key(tmp_path / "grid.key")


def test_nothing_is_overwritten_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    rules, entries = found(tmp_path)
    with pytest.raises(FoundingError, match="never overwritten"):
        founding.make_institution(tmp_path / "ERC", "ERC", "127.0.0.1:1")
    with pytest.raises(FoundingError, match="never overwritten"):
        founding.make_key(tmp_path / "grid.key")
    with pytest.raises(FoundingError, match="4 institutions or more"):
        founding.make_genesis("campus", entries[:3], bytes(32), bytes(31) + b"\1")
    with pytest.raises(FoundingError, match="differ on"):
        founding.set_up(tmp_path / "ERC", rules, entries[:2], api="127.0.0.1:9", joins=False)
    founding.make_institution(tmp_path / "EPPO", "EPPO", "127.0.0.1:1")
    with pytest.raises(FoundingError, match="--joins"):
        founding.set_up(tmp_path / "EPPO", rules, entries, api="127.0.0.1:9", joins=False)
    config = founding.set_up(tmp_path / "EPPO", rules, entries, api="127.0.0.1:9", joins=True)
    assert settings.load(config).joins
    assert not (tmp_path / "EPPO" / "data").exists(), "whoever joins has not begun"
    with pytest.raises(LedgerError, match="authority name"):
        founding.make_institution(tmp_path / "bad", "no name!", "127.0.0.1:1")
    assert not (tmp_path / "bad").exists(), "so that the same command with a better name works"
    with pytest.raises(FoundingError, match="choose another place"):
        founding.make_institution(tmp_path / "grid.key", "EPPO", "127.0.0.1:1")


@pytest.mark.parametrize("change", [{"id": "00"}, {"vote_key": "zz"}, {"name": 7}, {"more": "x"}, {"log_key": None}])
def test_an_entry_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    import json

    founding.make_institution(tmp_path / "ERC", "ERC", "127.0.0.1:1")
    path = tmp_path / "ERC" / "entry.json"
    assert institution.load(path).dumps() == path.read_text()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EntryError, match="ledger init"):
        institution.load(path)


def test_keys_are_shown_without_what_is_secret(tmp_path: Path) -> None:
    shown = ledger("keys", "make", tmp_path / "one.key") + ledger("keys", "show", tmp_path / "one.key")
    key = keys.PrivateKey(bytes.fromhex((tmp_path / "one.key").read_text()))
    assert shown.count(key.public_key.hex()) == 2
    assert key.seed.hex() not in shown
