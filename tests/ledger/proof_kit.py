"""A small log with one settlement line in it, cosigned by four authorities: what the proof tests turn over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from ledger import checkpoint, envelope, keys, merkle, policy, reading, records
from ledger.authority import Authority, AuthoritySet
from ledger.proof import Opening, Proof

NAMES = ("ERC", "MEA", "PEA", "EGAT")
WITNESSES = ("alpha.example/w", "beta.example/w")
CHAIN_ID = b"campus01"
EPOCH = 1_900_000
TIME_S = 1_800_000_000


def private_key(purpose: str) -> keys.PrivateKey:
    """Return the test key that *purpose* names."""
    return keys.PrivateKey(hashlib.sha256(purpose.encode()).digest())


def witness_key(name: str) -> checkpoint.VerifierKey:
    """Return the verifier key of an outside witness."""
    return checkpoint.VerifierKey(name, checkpoint.SignatureType.COSIGNATURE, private_key(name).public_key)


def authority_set() -> AuthoritySet:
    """Return four authorities with separate vote, cosign and log keys."""
    members = [
        Authority(
            hashlib.sha256(name.encode()).digest()[:8],
            name,
            *(private_key(f"{name} {use}").public_key for use in ("vote", "cosign", "log")),
        )
        for name in NAMES
    ]
    return AuthoritySet(tuple(sorted(members, key=lambda member: member.id)))


def boundary_reading(
    key: keys.PrivateKey, sequence: int, epoch: int, import_wh: int, export_wh: int
) -> reading.Reading:
    """Return a signed boundary reading as a meter makes it."""
    unsigned = reading.Reading(
        sequence, epoch * 900, reading.ClockQuality.SYNCED, 12, None, reading.Reason.BOUNDARY, epoch,
        ((reading.ENERGY_IMPORT, import_wh), (reading.ENERGY_EXPORT, export_wh)), reading.Status(0), bytes(8), b"", b"",
    )  # fmt: skip
    return reading.decode(envelope.seal(reading.encode_payload(unsigned), key))


@dataclass(frozen=True)
class ProofKit:
    """The line, its opening, the log around it, and whoever may sign for it."""

    authorities: AuthoritySet
    line: records.SettlementLine
    opening: Opening
    leaves: tuple[bytes, ...]
    index: int

    @property
    def origin(self) -> str:
        """The log's origin name."""
        return checkpoint.origin(CHAIN_ID)

    @property
    def verifiers(self) -> list[checkpoint.VerifierKey]:
        """The verifier keys that a tenant holds."""
        return checkpoint.verifier_keys(self.authorities, self.origin)

    def covered(self) -> checkpoint.Checkpoint:
        """Return the checkpoint over all leaves."""
        return checkpoint.Checkpoint(self.origin, len(self.leaves), merkle.root(self.leaves))

    def cosignatures(self) -> list[checkpoint.SignatureLine]:
        """Return one cosignature by each authority, in set order."""
        note = self.covered()
        return [
            checkpoint.cosign(
                note,
                checkpoint.cosigner_name(self.origin, member.name),
                private_key(f"{member.name} cosign"),
                TIME_S + place,
            )
            for place, member in enumerate(self.authorities.members)
        ]

    def witnessed(self, *names: str) -> list[checkpoint.SignatureLine]:
        """Return one cosignature by each of these outside witnesses."""
        return [checkpoint.cosign(self.covered(), name, private_key(name), TIME_S) for name in names]

    @property
    def policy(self) -> policy.Policy:
        """The policy that both of the outside witnesses have signed, too."""
        lines = [f"log {key}" for key in self.verifiers if key.type is checkpoint.SignatureType.LOG]
        lines += [f"witness w{place} {witness_key(name)}" for place, name in enumerate(WITNESSES)]
        return policy.parse("\n".join([*lines, "group both all w0 w1", "quorum both"]))

    def proof(self, signers: tuple[int, ...] = (0, 1, 3), witnesses: tuple[str, ...] = ()) -> Proof:
        """Return the proof with the cosignatures of the authorities at *signers* and *witnesses*, in that order."""
        hashes = [merkle.leaf_hash(leaf) for leaf in self.leaves]
        path = merkle.inclusion_path(self.index, len(hashes), merkle.hashes_over(hashes))
        lines = self.cosignatures()
        log = checkpoint.sign_as_log(self.covered(), private_key("PEA log"))
        signatures = (log, *(lines[place] for place in signers), *self.witnessed(*witnesses))
        return Proof(self.opening, self.index, path, self.covered(), signatures)


def make(leaves: int = 11, index: int = 6, first_signer: str = "meter", **changes: object) -> ProofKit:
    """Return a kit with the line at *index* of *leaves*; *changes* replace fields of the settlement line."""
    meter = private_key("meter")
    first = boundary_reading(private_key(first_signer), 41, EPOCH, 100_000, 2_000)
    last = boundary_reading(meter, 57, EPOCH + 1, 100_420, 2_000)
    line = records.SettlementLine(
        account=b"tenant-1", epoch=EPOCH, meter=b"meter--1", key_thumbprint=keys.thumbprint(meter.public_key),
        first_reading=first.hash, last_reading=last.hash, import_wh=420, export_wh=0, sold_wh=0, bought_wh=300,
        delivered_wh=0, received_wh=300, price_uaip_per_kwh=3_100_000, market_income_aaip=0,
        market_cost_aaip=300 * 3_100_000 * 10**9, grid_income_aaip=0, grid_cost_aaip=120 * 4_200_000 * 10**9,
        penalty_aaip=0, minted_agrid=0, burned_agrid=300 * 10**15, flags=0,
    )  # fmt: skip
    line = replace(line, **changes)  # type: ignore[arg-type]
    salt = records.salt(bytes(32), index)
    opening = Opening(salt, records.encode(line), meter.public_key, (first.raw, last.raw))
    others = [hashlib.sha256(bytes([place])).digest() for place in range(leaves)]
    log = (*others[:index], opening.leaf(), *others[index + 1 :])
    return ProofKit(authority_set(), line, opening, log, index)
