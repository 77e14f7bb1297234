"""Who a node is: its name and its keys, which the set of authorities in force gives a place, another place, or none."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import keys
from ledger.authority import AuthoritySet
from ledger.node import settings as node_settings
from ledger.node.settings import KeyFiles, NodeSettings, SettingsError
from ledger.node.signers import hsm


@dataclass(frozen=True, slots=True)
class KeySet:
    """An authority's private keys, which its set entry names all together."""

    vote: keys.Signer
    cosign: keys.Signer
    log: keys.PrivateKey

    @property
    def public(self) -> tuple[bytes, bytes, bytes]:
        """The public keys as an authority's entry has them."""
        return self.vote.public_key, self.cosign.public_key, self.log.public_key


@dataclass(frozen=True, slots=True)
class Seat:
    """A node's place in one set of authorities, and the keys that are right there."""

    place: int
    keys: KeySet


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is. While its keys are rotated it holds those of before and those of after."""

    name: str
    key_sets: tuple[KeySet, ...]

    def seat(self, authorities: AuthoritySet) -> Seat | None:
        """Return the node's seat among *authorities*; None while no member has its name and its keys."""
        for place, member in enumerate(authorities.members):
            for held in self.key_sets if member.name == self.name else ():
                if held.public == (member.vote_key, member.cosign_key, member.log_key):
                    return Seat(place, held)
        return None


def load(settings: NodeSettings) -> Identity:
    """Read the keys that *settings* name, and find those in tokens; raises SettingsError, TokenError."""
    named = [settings.keys, *([settings.next_keys] if settings.next_keys is not None else [])]
    tokens = hsm.Tokens()
    return Identity(settings.name, tuple(_read(files, tokens) for files in named))


def require_seat(identity: Identity, authorities: AuthoritySet, settings: NodeSettings) -> None:
    """Refuse a node that begins a chain and is none of its *authorities*; raises SettingsError."""
    if identity.seat(authorities) is not None:
        return
    otherwise = "or set `joins = true` if it copies a chain that runs already"
    if all(member.name != identity.name for member in authorities.members):
        raise SettingsError(
            f"{identity.name} is no authority of the genesis file {settings.genesis}: mend `name`, {otherwise}"
        )
    raise SettingsError(f"the keys of {identity.name} are not those in the genesis file: compare the two, {otherwise}")


def _read(files: KeyFiles, tokens: hsm.Tokens) -> KeySet:
    vote, cosign = (
        tokens.key(source) if isinstance(source, hsm.KeyPlace) else node_settings.read_key(source)
        for source in (files.vote, files.cosign)
    )
    return KeySet(vote, cosign, node_settings.read_key(files.log))
