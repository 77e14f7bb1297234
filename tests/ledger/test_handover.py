"""From the first authorities to those of today, over real changes of the set, and by no other way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import genesis, handover, trust
from ledger.block import Commit
from ledger.errors import MalformedError
from ledger.handover import Handover, HandoverRefusedError, certify, parse_all, walk
from ledger.state import authorities_at
from ledger.statements import sign_possession
from tests.ledger.chain_kit import AUTHORITIES, Chain, id_of, key_of, make_chain
from tests.ledger.reached_by_governance import KEYS, admit, join

NEW_KEYS = [key_of(7000 + place) for place in range(3)]


def rotate(chain: Chain) -> None:
    """Give the first authority new keys."""
    proofs = [sign_possession(chain.genesis.chain_id, id_of(100), key) for key in NEW_KEYS]
    arguments = (id_of(100), *(key.public_key for key in NEW_KEYS), *proofs)
    chain.vote_keys[NEW_KEYS[0].public_key] = NEW_KEYS[0]
    for who in (*AUTHORITIES[:3], "EPPO"):
        chain.must(who, "authorities", "rotate_keys", "new keys", *arguments)


def play() -> Chain:
    """Return a chain in which an authority joined, one rotated its keys and one left."""
    chain = make_chain()
    chain.vote_keys[KEYS[0].public_key] = KEYS[0]
    admit(chain)
    chain.must(*join(chain))
    chain.block()
    chain.block()
    rotate(chain)
    chain.block()
    chain.block()
    for who in (*AUTHORITIES[:3], "EPPO"):
        chain.must(who, "authorities", "remove", "it leaves", id_of(103))
    chain.block()
    chain.block()
    return chain


def certificates(chain: Chain) -> tuple[Handover, ...]:
    """Return what a node keeps of *chain*: a certificate wherever a header announces another set."""
    headers = {block.header.height: block.header for block in chain.blocks}
    found = []
    for block in chain.blocks[1:]:
        commit = block.last_commit
        assert commit is not None
        sets = (authorities_at(chain.state, height) for height in (commit.height, commit.height + 1))
        certificate = certify(headers[commit.height], commit, *sets)
        if certificate is not None:
            found.append(certificate)
    return tuple(found)


CHAIN = play()
FIRST = CHAIN.genesis.authorities
CHAIN_ID = CHAIN.genesis.chain_id
GOOD = certificates(CHAIN)
FILE = handover.encode_all(CHAIN_ID, [one.encode() for one in GOOD])


def test_three_changes_lead_from_the_genesis_to_the_set_in_force_each_at_its_height() -> None:
    eras = walk(CHAIN_ID, FIRST, parse_all(FILE, CHAIN_ID))
    assert [len(era.authorities) for era in eras.eras] == [4, 5, 5, 4]
    assert eras.newest == CHAIN.state.authority_set
    for height in range(1, CHAIN.state.header.height + 2):
        assert eras.at_height(height) == authorities_at(CHAIN.state, height)
    assert all(len(one.commit.signatures) == quorum for one, quorum in zip(GOOD, (3, 4, 4), strict=True))


def test_the_cosigners_of_a_checkpoint_are_those_of_its_own_era_alone() -> None:
    eras = walk(CHAIN_ID, FIRST, GOOD)
    for block in CHAIN.blocks:
        cosigners = {key.public_key for key in eras.verifiers(block.header.log_size) if key.type == 4}
        expected = authorities_at(CHAIN.state, block.header.height + 1)
        assert cosigners == {member.cosign_key for member in expected.members}


def is_refused(data: bytes, count: int) -> bool:
    try:
        eras = walk(CHAIN_ID, FIRST, parse_all(data, CHAIN_ID))
    except (MalformedError, HandoverRefusedError):
        return True
    return len(eras.eras) != count + 1


def assert_altered_bytes_are_refused(data: bytes, count: int, step: int) -> None:
    assert not is_refused(data, count)
    for place in range(0, len(data), step):
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        assert is_refused(bytes(altered), count), place
    assert all(is_refused(data[:cut], count) for cut in range(0, len(data), 7))


def test_every_altered_byte_is_refused() -> None:
    assert_altered_bytes_are_refused(handover.encode_all(CHAIN_ID, [GOOD[0].encode()]), 1, step=1)
    assert_altered_bytes_are_refused(FILE, 3, step=17)


def refused(handovers: tuple[Handover, ...], because: str) -> None:
    with pytest.raises(HandoverRefusedError, match=because):
        walk(CHAIN_ID, FIRST, handovers)


def test_a_gap_another_order_or_a_repetition_is_refused() -> None:
    refused(GOOD[1:], "not the one that is trusted")
    refused((GOOD[0], GOOD[2]), "not the one that is trusted")
    refused((GOOD[1], GOOD[0]), "not the one that is trusted")
    refused((GOOD[0], GOOD[0]), "does not come after")


@pytest.mark.parametrize(
    ("alter", "because"),
    [
        (lambda commit: replace(commit, signatures=commit.signatures[:2]), "exactly 3 of 4"),
        (lambda commit: replace(commit, signatures=(*commit.signatures[:2], commit.signatures[1])), "does not verify"),
        (lambda commit: replace(commit, round=1), "does not verify"),
        (lambda commit: replace(commit, height=commit.height + 1), "another block"),
    ],
)
def test_precommits_of_fewer_of_one_twice_or_of_something_else_are_refused(
    alter: Callable[[Commit], Commit], because: str
) -> None:
    refused((replace(GOOD[0], commit=alter(GOOD[0].commit)),), because)


def test_other_members_than_announced_or_another_chain_are_refused() -> None:
    refused((replace(GOOD[0], authorities=FIRST),), "does not announce these members")
    with pytest.raises(HandoverRefusedError, match="another chain"):
        walk(b"elsewher", FIRST, GOOD)
    with pytest.raises(MalformedError, match="another chain"):
        parse_all(FILE, b"elsewher")


def test_an_outsider_needs_the_trust_file_alone(tmp_path: Path) -> None:
    """Which says no more than chain and first authorities: the genesis file has the secret that opens salts."""
    root = trust.TrustRoot(CHAIN_ID, FIRST)
    (tmp_path / "trust.json").write_text(trust.dumps(root))
    genesis.dump(CHAIN.genesis, tmp_path / "genesis.json")
    assert trust.load(tmp_path / "trust.json") == trust.load(tmp_path / "genesis.json") == root
    assert "secret" not in (tmp_path / "trust.json").read_text()
    (tmp_path / "trust.json").write_text(trust.dumps(root).replace('"authorities"', '"authority"'))
    with pytest.raises(trust.TrustFileError, match="no trust file"):
        trust.load(tmp_path / "trust.json")
