"""Export, import and prune on a node's directory: the same state comes out, and the file gets smaller."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from ledger import genesis, merkle, records, tiles
from ledger.cli import app
from ledger.errors import LedgerError
from ledger.node.chain import Candidate, decide, read_state
from ledger.node.recovery.memory import DATABASE
from ledger.node.snapshots import commands as snapshot_commands
from ledger.node.snapshots.offer import FOLDER, SUFFIX
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store
from ledger.records import SettlementLine
from tests.ledger.chain_kit import START_EPOCH, Chain, make_chain
from tests.ledger.snapshot_kit import make_snapshot, store_chain


@dataclass
class Place:
    """A node's directory with a chain in its database."""

    chain: Chain
    config: Path

    @property
    def data(self) -> Path:
        return self.config.parent / "data"

    def open(self) -> Store:
        return Store.open(self.data / DATABASE, self.chain.genesis.chain_id)


def make_place(chain: Chain, folder: Path, *, empty: bool = False) -> Place:
    folder.mkdir()
    genesis.dump(chain.genesis, folder / "genesis.json")
    files = 'genesis = "genesis.json"\ndata_dir = "data"\npeers = []\n'
    keys = '[keys]\nvote = "v"\ncosign = "c"\nlog = "l"\n[tls]\nca = "ca"\ncert = "cert"\nkey = "key"\n'
    (folder / "node.toml").write_text(f'name = "ERC"\n{files}{keys}')
    made = Place(chain, folder / "node.toml")
    made.data.mkdir()
    if not empty:
        store_chain(chain, made.data / DATABASE).close()
    return made


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Transfers, and an epoch whose settlement line has readings."""
    made = make_chain()
    meter = made.add_based_meter("user0", 1)
    start = made.epoch
    made.to_epoch(start + 1)
    made.report(meter.boundary(start + 1, 100, 50))
    made.block(*(made.sign("user1", "money", "transfer", made.people["user2"].id, 1) for _ in range(300)))
    made.must("user0", "money", "transfer", made.people["user1"].id, 5)
    assert any(execution.records for execution in made.executions)
    return made


def test_what_is_exported_and_imported_gives_the_same_state_and_proofs(chain: Chain, tmp_path: Path) -> None:
    old, new = make_place(chain, tmp_path / "old"), make_place(chain, tmp_path / "new", empty=True)
    manifest = snapshot_commands.export(old.config, tmp_path / "one.snapshot")
    assert snapshot_commands.put_into(new.config, tmp_path / "one.snapshot") == manifest
    assert oct((tmp_path / "one.snapshot").stat().st_mode)[-3:] == "600"
    ahead, commit = chain.state, chain.commit()
    assert commit is not None
    proposed, execution = chain.runtime.build(
        ahead, height=ahead.header.height + 1, time_ms=ahead.header.time_ms + 1, proposer=0, evidence=(),
        transactions=[chain.sign("user1", "money", "transfer", chain.people["user2"].id, 1, nonce=300)],
        last_commit=commit,
    )  # fmt: skip
    for place in (old, new):
        store = place.open()
        assert read_state(store).root == manifest.header.state_root
        with store.transaction():
            store.save(decide(Candidate(proposed, proposed.encode(), execution), commit))
        result = store.result(execution.receipts[0].record.transaction_id)
        assert result is not None
        found = store.receipt_leaf(result)
        assert found is not None
        place_in_log, leaf = found
        size = execution.header.log_size
        path = merkle.inclusion_path(place_in_log, size, tiles.hashes_in(store.tree_hashes))
        assert merkle.root_from_path(leaf.hash, place_in_log, size, path) == execution.header.log_root
        store.close()


def test_an_import_is_refused_where_there_is_a_chain_or_the_file_is_another_chains(
    chain: Chain, tmp_path: Path
) -> None:
    old = make_place(chain, tmp_path / "old")
    file = tmp_path / "one.snapshot"
    snapshot_commands.export(old.config, file)
    with pytest.raises(LedgerError, match="exists already"):
        snapshot_commands.export(old.config, file)
    with pytest.raises(LedgerError, match="holds a chain already"):
        snapshot_commands.put_into(old.config, file)
    other = make_place(make_chain(users=5), tmp_path / "other", empty=True)
    with pytest.raises(LedgerError, match="no block of this chain"):
        snapshot_commands.put_into(other.config, file)
    with pytest.raises(LedgerError, match="no database"):
        snapshot_commands.export(other.config, tmp_path / "two.snapshot")
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    new = make_place(chain, tmp_path / "new", empty=True)
    with pytest.raises(LedgerError):
        snapshot_commands.put_into(new.config, file)
    store = new.open()
    assert store.height() == 0
    store.close()


def test_pruning_frees_the_disk_and_keeps_headers_certificates_and_the_log(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind goes by its own time: bodies first, then receipts, at last what bills are proven from."""
    monkeypatch.setattr(snapshot_commands, "time", SimpleNamespace(time_ns=lambda: 4 * 10**18))
    place = make_place(chain, tmp_path / "old")
    nothing = snapshot_commands.prune(place.config, {"bodies_days": 0, "receipts_days": 10**5, "index_days": 10**5})
    assert nothing.up_to[Kept.BODIES] == 0, "without a snapshot nobody could come any more"
    assert "no snapshot here" in nothing.why_no_more[Kept.BODIES]
    assert "younger than 100000 days" in nothing.why_no_more[Kept.RECEIPTS]
    (place.data / FOLDER).mkdir()
    height = chain.state.header.height
    make_snapshot(place.data / DATABASE, place.data / FOLDER / f"{height}{SUFFIX}").close()
    store = place.open()
    before = [store.header(at) for at in range(1, height + 1)], store.some_leaf_hashes(0, 10**4)
    assert len(lines(store)) == 1
    store.close()
    done = snapshot_commands.prune(place.config, {"bodies_days": 0, "receipts_days": 10**5, "index_days": 10**5})
    assert done.up_to == {Kept.BODIES: height, Kept.RECEIPTS: 0, Kept.INDEX: 0}
    assert done.bytes_after < 0.85 * nothing.bytes_after
    done = snapshot_commands.prune(place.config, {"receipts_days": 0, "index_days": 10**5})
    assert done.up_to == {Kept.BODIES: height, Kept.RECEIPTS: height - 1, Kept.INDEX: 0}
    assert done.bytes_after < 0.85 * done.bytes_before
    store = place.open()
    assert len(lines(store)) == 1
    assert store.reading(lines(store)[0].first_reading or b"") is not None
    store.close()
    done = snapshot_commands.prune(place.config, {"receipts_days": 0, "index_days": 0})
    assert done.up_to[Kept.INDEX] == height - 1
    store = place.open()
    assert [store.header(at) for at in range(1, height + 1)] == before[0]
    assert store.some_leaf_hashes(0, 10**4) == before[1]
    assert all(store.commit(at) is not None for at in range(1, height + 1))
    assert all(store.decided(at) is None for at in range(1, height + 1))
    assert lines(store) == []
    assert read_state(store).root == chain.state.root
    store.close()


def lines(store: Store) -> list[SettlementLine]:
    epochs = range(START_EPOCH - 2, START_EPOCH + 4)
    leaves = [leaf for epoch in epochs for leaf in store.settlement_leaves(epoch)]
    return [records.decode_settlement_line(leaf.record) for leaf in leaves if leaf.record is not None]


def test_an_export_waits_for_a_block_that_can_be_certified_where_a_node_makes_blocks(tmp_path: Path) -> None:
    chain = make_chain()
    chain.block()
    place, file, told = make_place(chain, tmp_path / "node"), tmp_path / "one.snapshot", list[str]()
    with pytest.raises(LedgerError, match=r"holds no transaction.*The node does not run: start it first"):
        snapshot_commands.export(place.config, file, 60, told.append)
    store = place.open()
    with pytest.raises(LedgerError, match="holds no transaction"):
        snapshot_commands.export(place.config, file)

    def decide_one_more(text: str) -> None:
        told.append(text)
        proposed, execution = chain.runtime.build(
            chain.state, height=chain.state.header.height + 1, time_ms=chain.state.header.time_ms + 1, proposer=0,
            evidence=(), last_commit=chain.commit(),
            transactions=[chain.sign("user1", "money", "transfer", chain.people["user2"].id, 1)],
        )  # fmt: skip
        chain.state.apply(execution)
        commit = chain.commit()
        assert commit is not None
        with store.transaction():
            store.save(decide(Candidate(proposed, proposed.encode(), execution), commit))

    manifest = snapshot_commands.export(place.config, file, 60, decide_one_more)
    store.close()
    assert manifest.header == chain.state.header
    assert len(told) == 1
    assert "Waiting 60 s" in told[0]


def test_an_export_ends_in_time_where_blocks_without_a_transaction_keep_coming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = make_chain()
    chain.block()
    place, versions = make_place(chain, tmp_path / "node"), itertools.count()
    store = place.open()
    monkeypatch.setattr(Store, "data_version", lambda _: next(versions))
    with pytest.raises(LedgerError, match="holds no transaction"):
        snapshot_commands.export(place.config, tmp_path / "one.snapshot", 0.1)
    store.close()


def test_the_commands_say_what_they_did(chain: Chain, tmp_path: Path) -> None:
    old, new = make_place(chain, tmp_path / "old"), make_place(chain, tmp_path / "new", empty=True)
    file = str(tmp_path / "one.snapshot")
    for arguments, expected in (
        (("snapshot", "export", file, "--config", str(old.config)), chain.state.header.id.hex()),
        (("snapshot", "import", file, "--config", str(new.config)), "compare that id"),
        (("prune", "--config", str(new.config)), "bytes before"),
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert expected in done.output
