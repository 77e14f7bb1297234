"""Who must have signed a checkpoint before it counts, as c2sp.org/tlog-policy writes it: 3 of 4, or a daily 2 of 3.

log <vkey>
witness ERC <vkey>            one line each
group authorities 3 ERC MEA PEA EGAT
quorum authorities
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ledger import checkpoint
from ledger.checkpoint import Checkpoint, SignatureLine, SignatureType, VerifierKey
from ledger.errors import LedgerError, MalformedError

MAX_POLICY_BYTES: Final = 64 * 1024
NONE: Final = "none"
_ANY, _ALL = "any", "all"


class PolicyError(LedgerError):
    """A text that is no policy; it says which line and why."""


class PolicyRefusedError(LedgerError):
    """A checkpoint that not enough of the right keys have signed."""


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these witnesses and groups."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Any of the logs must have signed, and the quorum: a witness, a group, or none. Names mean nothing elsewhere."""

    logs: tuple[VerifierKey, ...]
    witnesses: dict[str, VerifierKey]
    groups: dict[str, Group]
    quorum: str

    def __str__(self) -> str:
        lines = [f"log {key}" for key in self.logs]
        lines += [f"witness {name} {key}" for name, key in self.witnesses.items()]
        lines += [f"group {name} {one.threshold} {' '.join(one.members)}" for name, one in self.groups.items()]
        return "\n".join([*lines, f"quorum {self.quorum}", ""])

    def check(self, note: Checkpoint, lines: Sequence[SignatureLine]) -> tuple[str, ...]:
        """Return the names of the witnesses that cosigned *note*; raises PolicyRefusedError where they do not do.

        Signatures by keys that the policy does not know are no concern of it.
        """
        logs = [key for key in self.logs if key.name == note.origin]
        if not any(checkpoint.is_signed(note, line, key) for key in logs for line in lines):
            raise PolicyRefusedError(f"no log key of the policy signed the checkpoint of {note.origin!r}")
        found = {
            name for name, key in self.witnesses.items() if any(checkpoint.is_signed(note, line, key) for line in lines)
        }
        if self.quorum not in self._find_met(found):
            signers = ", ".join(sorted(found)) or "nobody"
            raise PolicyRefusedError(f"the checkpoint of {note.size} leaves is cosigned by {signers}: too few")
        return tuple(sorted(found))

    def _find_met(self, found: set[str]) -> set[str]:
        """Return what is met where the witnesses *found* have signed: a group's members stand above it."""
        met = {NONE, *found}
        for name, group in self.groups.items():
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(name)
        return met


def of_keys(keys: Sequence[VerifierKey]) -> Policy:
    """Return the policy that two thirds of the cosigners among *keys*, and any of the log keys, must have signed."""
    cosigners = {key.name.rpartition("/")[2]: key for key in keys if key.type is SignatureType.COSIGNATURE}
    group = Group(2 * len(cosigners) // 3 + 1, tuple(cosigners))
    logs = tuple(key for key in keys if key.type is SignatureType.LOG)
    return Policy(logs, cosigners, {"authorities": group}, "authorities")


def parse(text: str) -> Policy:
    """Return the policy that *text* writes; raises PolicyError with the line."""
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise PolicyError(f"it is longer than the {MAX_POLICY_BYTES} bytes of a policy")
    reading = _Reading()
    for number, line in enumerate(text.split("\n"), 1):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        if any(character < " " or character == "\x7f" for word in words for character in word):
            raise PolicyError(f"line {number}: it holds a control character")
        if not words or words[0].startswith("#"):
            continue
        try:
            reading.take(words)
        except (PolicyError, MalformedError) as error:
            raise PolicyError(f"line {number}: {error}") from error
    if reading.quorum is None:
        raise PolicyError("it has no quorum line")
    return Policy(tuple(reading.logs), reading.witnesses, reading.groups, reading.quorum)


@dataclass(slots=True)
class _Reading:
    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: dict[str, VerifierKey] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    members: set[str] = field(default_factory=set)

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", key] | ["log", key, _]:
                self.logs.append(self._key(key, SignatureType.LOG, self.logs))
            case ["witness", name, key] | ["witness", name, key, _]:
                self._require_new(name)
                self.witnesses[name] = self._key(key, SignatureType.COSIGNATURE, list(self.witnesses.values()))
            case ["group", name, threshold, *members] if members:
                self._require_new(name)
                self.groups[name] = self._group(threshold, members)
            case ["quorum", name] if self.quorum is None:
                if name != NONE:
                    self._require_known(name)
                self.quorum = name
            case _:
                raise PolicyError(f"{' '.join(words)[:60]!r} is no line of a policy, or one too many")

    def _key(self, text: str, type_: SignatureType, others: list[VerifierKey]) -> VerifierKey:
        key = checkpoint.parse_key(text)
        if key.type is not type_:
            raise PolicyError(f"the key of {key.name!r} is no {type_.name.lower()} key (0x{type_:02x})")
        if any(key.public_key == other.public_key for other in others):
            raise PolicyError(f"the public key of {key.name!r} is already listed")
        return key

    def _group(self, threshold: str, members: list[str]) -> Group:
        for member in members:
            self._require_known(member)
            if member in self.members:
                raise PolicyError(f"{member!r} is in a group already")
            self.members.add(member)
        number = {_ANY: 1, _ALL: len(members)}.get(threshold)
        if number is None:
            is_plain = threshold.isascii() and threshold.isdigit() and len(threshold) < 9
            number = int(threshold) if is_plain else 0
        if not 1 <= number <= len(members):
            raise PolicyError(f"{threshold[:20]!r} of {len(members)} is no threshold")
        return Group(number, tuple(members))

    def _require_new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyError(f"the name {name!r} is taken")

    def _require_known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyError(f"{name!r} is not defined above")
