"""The log of real nodes, watched over HTTP by the command, served by a liar once, and cosigned by a real witness."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from hil.ports import free_port
from ledger import checkpoint, merkle, policy, receipt_proof, tiles, trust
from ledger.checkpoint import SignatureType, VerifierKey
from ledger.keys import PrivateKey
from ledger.monitor import witness
from ledger.monitor.fork import parse_note
from ledger.monitor.remote_log import RemoteLog
from ledger.node.settings import read_key
from ledger.proof import ProofRefusedError
from ledger.remote.client import RefusedError
from ledger.trust import TrustRoot
from tests.ledger.node.network import CAMPUSGRID, NAMES, OTHER, START_TIMEOUT_S, Network, make_network, until
from tests.ledger.served_log import ServedLog, entries, served

WITNESS = "watcher.example/witness"


def watch(network: Network, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(network, url), *options], capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip


def command(network: Network, url: str) -> list[str]:
    trusted = network.root / "trust.json"
    trusted.write_text(trust.dumps(TrustRoot(network.genesis.chain_id, network.genesis.authorities)))
    memory = str(network.root / "seen")
    return [CAMPUSGRID, "ledger", "watch", "--url", url, "--trust", str(trusted), "--memory", memory]


def grow(network: Network) -> int:
    """Make a transfer final, and provable at every node; return the size of the log."""
    return asyncio.run(_grow(network))


async def test_a_proof_of_a_running_node_carries_its_witnesses_where_it_is_asked_to(
    alone: Network, witness_key: tuple[str, VerifierKey]
) -> None:
    url, key = witness_key
    verifiers = checkpoint.verifier_keys(alone.genesis.authorities, checkpoint.origin(alone.genesis.chain_id))
    demanded = policy.of_keys(verifiers)
    demanded = replace(demanded, witnesses={**demanded.witnesses, "w": key}, quorum="w")
    end = f"port = {alone.api_ports[0]}\n"
    async with alone.client(0) as client:
        receipt = await alone.account(client).call_and_wait("money", "transfer", OTHER, 1)
        size = await provable_size(alone, 0, 0)
        with pytest.raises(RefusedError, match="no witness") as refused:
            await client.transaction_proof(receipt.id, witnesses=True)
        assert (refused.value.status, refused.value.code) == (409, "not_witnessed")
        alone.rewrite(0, end, f'{end}[[witnesses]]\nurl = "{url}"\nkey = "{key}"\n')
        await until(partial(_shows, alone, key, size), "the witness is asked")
        data = await client.transaction_proof(receipt.id, witnesses=True)
        assert receipt_proof.verify(data, receipt.id, verifiers, demanded).record.code == 0
        plain = await client.transaction_proof(receipt.id)
        assert receipt_proof.verify(plain, receipt.id, verifiers).record.code == 0
        with pytest.raises(ProofRefusedError, match="too few"):
            receipt_proof.verify(plain, receipt.id, verifiers, demanded)


async def _grow(network: Network) -> int:
    async with network.client(0) as client:
        before = (await client.status()).checkpoint_size
        receipt = await network.account(client).call_and_wait("money", "transfer", OTHER, 1)
        assert receipt.code == 0
    return max([await provable_size(network, place, before) for place in range(len(network.names))])


async def provable_size(network: Network, place: int, before: int) -> int:
    """Wait until the checkpoint of a node is larger than *before*, and return its size."""
    async with network.client(place) as client:

        async def is_provable() -> bool:
            return (await client.status()).checkpoint_size > before

        await until(is_provable, f"the transfer is provable at {NAMES[place]}")
        return (await client.status()).checkpoint_size


def answers(url: str) -> bool:
    try:
        return httpx.post(url, content=b"").status_code == 400
    except httpx.TransportError:
        return False


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Network]:
    """One running node, which is a ledger by itself, whose settings a test changes."""
    made = make_network(tmp_path / "campus", names=NAMES[:1])
    made.start(0)
    try:
        asyncio.run(made.ready(0))
        yield made
    finally:
        made.stop(0, signal.SIGKILL)


@pytest.fixture(scope="module")
def lying(running: Network) -> ServedLog:
    """Another history of the same chain, signed by the keys of three real authorities."""
    keys = {name: read_key(running.directory(place) / "cosign.key") for place, name in enumerate(NAMES)}
    log_key = read_key(running.directory(0) / "log.key")
    return ServedLog(entries(1), NAMES[:3], running.genesis.chain_id, keys, log_key)


def test_a_nodes_tiles_lead_to_its_checkpoint_and_its_entries_to_the_tiles(running: Network) -> None:
    grow(running)
    log = RemoteLog(running.urls[1])
    note = log.checkpoint().checkpoint
    assert tiles.root(note.size, log.reader(note.size)) == note.root
    for tile in tiles.tiles_of(note.size, 0):
        assert tuple(map(merkle.leaf_hash, log.entries(tile))) == log.tile(tile)
    log.close()
    prefix = f"{running.urls[1]}/v1/tile"
    for path in ("0/x000/000", "0/999", "1/000", "8/000", "0/000.p/0", "entries/x001/000", "0/" + "x999/" * 7 + "999"):
        assert httpx.get(f"{prefix}/{path}").status_code in (404, 422), path
    assert "immutable" in httpx.get(f"{prefix}/0/000.p/1").headers["cache-control"]


def test_the_watcher_follows_a_real_log_and_alarms_on_a_second_history(running: Network, lying: ServedLog) -> None:
    grow(running)
    told = watch(running, running.urls[0], "--once")
    assert (told.returncode, told.stdout) == (0, ""), told.stderr
    assert "begins with" in told.stderr
    size = grow(running)
    told = watch(running, running.urls[2], "--once")
    assert told.returncode == 0, told.stderr
    assert "grew from" in told.stderr
    lying.leaves = entries(size + 10_000)
    with served(lying) as url:
        told = watch(running, url, "--once")
    assert told.returncode == 2
    assert "two histories" in told.stderr
    evidence = running.root / "seen" / "fork.json"
    checking = [CAMPUSGRID, "ledger", "check-fork", str(evidence), "--genesis", str(running.root / "trust.json")]
    told = subprocess.run(checking, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert watch(running, running.urls[0], "--once").returncode != 0
    (running.root / "seen").rename(running.root / "seen-and-forked")


def test_a_witness_cosigns_the_log_of_real_nodes_and_goes_on_after_a_kill(running: Network, tmp_path: Path) -> None:
    size, port = grow(running), free_port()
    (tmp_path / "witness.key").write_text("07" * 32)
    options = ["--cosign", str(tmp_path / "witness.key"), "--name", WITNESS, "--listen", f"127.0.0.1:{port}"]
    running_witness = [*command(running, running.urls[3]), "--every", "3600", *options]
    key = VerifierKey(WITNESS, SignatureType.COSIGNATURE, read_key(tmp_path / "witness.key").public_key)
    url = f"http://127.0.0.1:{port}/add-checkpoint"
    for _ in range(2):
        process = subprocess.Popen(running_witness, stderr=subprocess.DEVNULL)
        try:
            log = RemoteLog(running.urls[0])
            wait_for(lambda: answers(url) and (running.root / "seen" / "checkpoint").exists())
            size = grow(running)
            signed = log.checkpoint()
            old_size = int(httpx.post(url, content=witness.write_submission(0, (), signed)).text)
            assert 0 < old_size < signed.checkpoint.size == size
            path = merkle.consistency_path(old_size, size, tiles.hashes_in(log.reader(size)))
            answer = httpx.post(url, content=witness.write_submission(old_size, path, signed))
            assert answer.status_code == 200, answer.text
            line = parse_note(f"{signed}{answer.text}").lines[-1]
            assert checkpoint.is_signed(signed.checkpoint, line, key)
            too_long = httpx.post(url, content=b"old 0\n\n" + bytes(witness.MAX_REQUEST_BYTES))
            assert too_long.status_code == 413
            log.close()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def witness_key(alone: Network, tmp_path: Path) -> Iterator[tuple[str, VerifierKey]]:
    """A running witness of that ledger: its URL and its key."""
    port, key = free_port(), PrivateKey(b"witness." * 4)
    (tmp_path / "witness.key").write_text(key.seed.hex())
    options = ["--cosign", str(tmp_path / "witness.key"), "--name", WITNESS, "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command(alone, alone.urls[0]), *options], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/add-checkpoint"))
        yield f"http://127.0.0.1:{port}", VerifierKey(WITNESS, SignatureType.COSIGNATURE, key.public_key)
    finally:
        process.kill()
        process.wait()


async def test_a_running_node_takes_other_witnesses_over_and_keeps_those_it_has_where_they_are_no_good(
    alone: Network, witness_key: tuple[str, VerifierKey]
) -> None:
    url, key = witness_key
    end, named = f"port = {alone.api_ports[0]}\n", f'[[witnesses]]\nurl = "{url}"\nkey = "{key}"\n'
    await _grow(alone)
    assert not await _shows(alone, key)
    alone.rewrite(0, end, end + named)
    await until(partial(_shows, alone, key), "a new witness is asked")
    alone.rewrite(0, named, named + named)
    await alone.logs(0, "stands here twice")
    size = await _grow(alone)
    await until(partial(_shows, alone, key, size), "the witness is asked still")
    alone.rewrite(0, named + named, "")
    await until(partial(_shows, alone, key, is_shown=False), "what it signed is served no more")


async def _shows(network: Network, verifier: VerifierKey, size: int = 0, *, is_shown: bool = True) -> bool:
    """Tell whether a node serves a checkpoint of at least *size* leaves that a witness has signed, or has not."""
    async with httpx.AsyncClient() as http:
        shown = parse_note((await http.get(f"{network.urls[0]}/v1/checkpoint")).text)
    is_signed = any(checkpoint.is_signed(shown.checkpoint, line, verifier) for line in shown.lines)
    return is_signed is is_shown and shown.checkpoint.size >= size
