"""Changes of the authorities: decided by Q, announced a block ahead, in force two blocks later, judged by height."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.authority import Authority
from ledger.codes import Code
from ledger.consensus.evidence import Evidence
from ledger.consensus.messages import Vote, sign
from ledger.envelope import Kind
from ledger.modules.authorities import DUTIES, OFFENCES, Duty, prove_synced
from ledger.runtime import Runtime
from ledger.state import AUTHORITY_SETS, authorities_at
from ledger.statements import sign_possession
from tests.ledger.chain_kit import AUTHORITIES, Chain, id_of, key_of, make_chain
from tests.ledger.code_kit import must_refuse, next_block
from tests.ledger.reached_by_governance import KEYS, admit, candidate, join, proofs


def sizes(chain: Chain, height: int) -> int:
    return len(authorities_at(chain.state, height))


def enlarge(chain: Chain) -> int:
    """Have a fifth authority admitted and joined; return the height from which on it is in force."""
    admit(chain)
    chain.must(*join(chain))
    return chain.state.header.height + 2


@pytest.fixture
def chain() -> Chain:
    return make_chain()


def test_a_change_is_executed_announced_in_the_next_header_and_in_force_in_the_one_after(chain: Chain) -> None:
    old = chain.state.authority_set.hash
    force = enlarge(chain)
    for _ in range(3):
        chain.block()
    headers = {block.header.height: block.header for block in chain.blocks}
    new = authorities_at(chain.state, force).hash
    assert new != old
    seen = [(headers[height].set_hash, headers[height].next_set_hash) for height in range(force - 2, force + 2)]
    assert seen == [(old, old), (old, new), (new, new), (new, new)]
    assert [len(commit.signatures) for block in chain.blocks[-3:] if (commit := block.last_commit)] == [4, 4, 5]


def test_the_block_that_announces_a_change_is_made_at_once_and_no_other(chain: Chain) -> None:
    assert chain.runtime.next_due_ms(chain.state) is None
    enlarge(chain)
    assert chain.runtime.next_due_ms(chain.state) == chain.state.header.time_ms + 1
    chain.block()
    assert chain.runtime.next_due_ms(chain.state) is None


def test_where_the_authorities_went_on_after_a_loss_is_recorded_for_ever(chain: Chain) -> None:
    height, block_id = chain.state.header.height, chain.state.header.id
    chain.decide("resumption", "record", height, block_id, reference="the fire")
    found = {"height": height, "block_id": block_id, "recorded_at": chain.state.header.height}
    assert chain.ask("resumption", "list_resumptions") == [found]


def test_changes_come_one_at_a_time(chain: Chain) -> None:
    force = enlarge(chain)
    call = ("authorities", "remove", "minutes", id_of(103))
    while chain.state.header.height + 1 < force:
        assert must_refuse(chain, AUTHORITIES[0], *call) is Code.CHANGE_PENDING
    chain.decide("authorities", "remove", id_of(103), reference="the fourth leaves")
    assert sizes(chain, chain.state.header.height + 2) == 5  # Q of five is four: three approvals do not do
    chain.must("EPPO", *call[:2], "the fourth leaves", id_of(103))
    assert sizes(chain, chain.state.header.height + 2) == 4
    assert must_refuse(chain, "authority", "authorities", "remove", "again", id_of(102)) is Code.TOO_FEW_AUTHORITIES


def test_who_joined_decides_from_the_height_on_at_which_it_is_in_force(chain: Chain) -> None:
    force = enlarge(chain)
    call = ("EPPO", "governance", "pause", "minutes", "market")
    assert must_refuse(chain, *call) is Code.NOT_PERMITTED
    assert chain.state.header.height == force - 1
    chain.must(*call)


def test_nobody_joins_without_a_decision_a_synced_node_and_all_three_keys(chain: Chain) -> None:
    chain.must(AUTHORITIES[0], "authorities", "admit", "minutes", *candidate(chain))
    assert chain.ask("authorities", "list_candidates") == []
    for who in AUTHORITIES[1:3]:
        chain.must(who, "authorities", "admit", "minutes", *candidate(chain))
    assert [row["name"] for row in chain.ask("authorities", "list_candidates")] == ["EPPO"]
    for place in range(3):
        chain.block()
        call = list(join(chain))
        call[5 + place] = sign_possession(chain.genesis.chain_id, id_of(105), KEYS[place])
        assert must_refuse(chain, *call) is Code.KEY_NOT_PROVEN
    assert sizes(chain, chain.state.header.height + 2) == 4


def test_a_candidate_may_answer_for_any_of_the_last_blocks_and_lapses_in_the_end(chain: Chain) -> None:
    admit(chain)
    early = join(chain)
    for _ in range(20):
        chain.block()
    chain.must(*early)
    other = make_chain()
    admit(other)
    other.block(time_ms=other.state.header.time_ms + 31 * 86_400_000)
    assert must_refuse(other, *join(other)) is Code.NOT_A_CANDIDATE
    admit(other)  # it may be admitted anew under its id and key


def test_keys_are_rotated_by_a_decision_and_the_old_ones_sign_until_then(chain: Chain) -> None:
    member = authorities_at(chain.state, 1).members[1]
    keys = [key_of(3000 + n) for n in range(3)]
    public = [key.public_key for key in keys]
    chain.decide("authorities", "rotate_keys", member.id, *public, *proofs(chain, 101, keys))
    force = chain.state.header.height + 2
    chain.vote_keys[keys[0].public_key] = keys[0]
    for _ in range(3):
        chain.block()
    assert authorities_at(chain.state, force - 1).members[1] == member
    assert authorities_at(chain.state, force).members[1] == Authority(member.id, member.name, *public)
    stolen = ("rotate_keys", "again", id_of(102), *public, *proofs(chain, 102, keys))
    assert must_refuse(chain, "authority", "authorities", *stolen) is Code.BAD_AUTHORITY
    unproven = ("rotate_keys", "again", member.id, *public, *proofs(chain, 102, keys))
    assert must_refuse(chain, "authority", "authorities", *unproven) is Code.KEY_NOT_PROVEN


def test_who_is_no_authority_any_more_decides_nothing_and_what_he_approved_does_not_count(chain: Chain) -> None:
    enlarge(chain)
    chain.block()
    user = (chain.people["user0"].id, 5)
    chain.must("authority3", "money", "issue", "minutes", *user)
    for who in (*AUTHORITIES[:3], "EPPO"):
        chain.must(who, "authorities", "remove", "the fourth leaves", id_of(103))
    chain.block()
    chain.block()
    assert must_refuse(chain, "authority3", "money", "issue", "more", *user) is Code.NOT_PERMITTED
    for who in AUTHORITIES[:2]:
        chain.must(who, "money", "issue", "minutes", *user)
    [decision] = [row for row in chain.ask("governance", "list_open_decisions") if row["call"] == "money.issue"]
    assert (len(decision["approved_by"]), decision["decided_at"]) == (3, None)
    before = chain.ask("money", "total_supply")
    assert chain.must("authority2", "money", "issue", "minutes", *user).events[-1].name == "issued"
    assert chain.ask("money", "total_supply") == before + 5


def test_missed_votes_and_offences_are_judged_by_the_set_of_their_own_height(chain: Chain) -> None:
    """The newcomer sorts last; a certificate of the height before it came cannot lack its vote."""
    force = enlarge(chain)
    while chain.state.header.height < force:
        chain.block()
    assert chain.state.get(DUTIES, id_of(104)) is None
    commit = chain.commit()
    assert commit is not None
    block = next_block(chain, last_commit=replace(commit, signatures=commit.signatures[:-1]))
    chain.state.apply(Runtime(chain.genesis).execute(chain.state, block))
    assert chain.state.get(DUTIES, id_of(104)) == Duty(1, 0)
    votes = [Vote(Kind.PREVOTE, force - 1, 0, bytes([n] * 32)) for n in (1, 2)]
    early = Evidence.of(*(sign(vote, chain.genesis.chain_id, 4, KEYS[0]) for vote in votes)).encode()
    votes = [Vote(Kind.PREVOTE, force, 0, bytes([n] * 32)) for n in (1, 2)]
    late = Evidence.of(*(sign(vote, chain.genesis.chain_id, 4, KEYS[0]) for vote in votes)).encode()
    chain.block(evidence=[early, late])
    assert chain.blocks[-1].evidence == (late,)
    assert len(list(chain.state.scan(OFFENCES))) == 1
    duties = {row["authority"]: row for row in chain.ask("authorities", "list_duties")}
    assert (duties[id_of(104)]["missed_votes"], duties[id_of(104)]["offences"]) == (1, 1)
    assert sizes(chain, chain.state.header.height + 1) == 5  # it is recorded, and removes nobody


def test_evidence_of_an_authority_that_left_still_counts_against_it(chain: Chain) -> None:
    enlarge(chain)
    chain.block()
    height = chain.state.header.height
    for who in (*AUTHORITIES[:3], "EPPO"):
        chain.must(who, "authorities", "remove", "the fourth leaves", id_of(103))
    for _ in range(3):
        chain.block()
    votes = [Vote(Kind.PRECOMMIT, height, 0, bytes([n] * 32)) for n in (1, 2)]
    proof = Evidence.of(*(sign(vote, chain.genesis.chain_id, 3, key_of(1030)) for vote in votes)).encode()
    chain.block(evidence=[proof])
    assert chain.state.get(DUTIES, id_of(103)) == Duty(0, 1)


def test_every_set_there_was_is_kept_newest_first(chain: Chain) -> None:
    force = enlarge(chain)
    assert [row["from_height"] for row in chain.ask("authorities", "list_sets")] == [force, 0]
    assert [row.from_height for _, row in chain.state.scan(AUTHORITY_SETS)] == [force, 0]


def test_what_a_candidate_answers_hangs_on_the_chain_behind_it_and_on_who_it_is(chain: Chain) -> None:
    other = make_chain()
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)
    other.must("user0", "money", "transfer", chain.people["user1"].id, 2)
    heads = (chain.state.head, other.state.head)
    assert len({prove_synced(head, id_of(number)) for head in heads for number in (1, 2)}) == 4
