"""node.toml: what one authority's node needs to know before it reads the genesis file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, ValidationError, ValidationInfo

from ledger import checkpoint, keys
from ledger.checkpoint import SignatureType, VerifierKey
from ledger.errors import LedgerError, MalformedError
from ledger.logs import LogLevels, parse_levels
from ledger.node.addresses import PEER_PORT, Address, ApiSettings, Section, SocketAddress, resolve, split_address
from ledger.node.signers import hsm

MAX_SETTINGS_BYTES: Final = 64 * 1024
OPERATOR_SOCKET: Final = "operator.sock"


class SettingsError(LedgerError):
    """The settings, or a file that they name, cannot be used: the operator must mend it."""


FilePath = Annotated[Path, BeforeValidator(resolve)]
"""A path of the settings file; a relative one starts at the file's folder."""


def _resolve_key(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str) or not value.startswith(hsm.SCHEME):
        return resolve(value, info)
    try:
        return hsm.parse(value, resolve(".", info))
    except hsm.TokenError as error:
        raise ValueError(str(error)) from error


KeySource = Annotated[Path | hsm.KeyPlace, BeforeValidator(_resolve_key)]
"""Where a key is: a file with its Ed25519 seed (64 hexadecimal characters), or a PKCS#11 URI (`node.signers.hsm`)."""


class KeyFiles(Section):
    """Where the node's keys are; the log's is always in a file."""

    vote: KeySource
    cosign: KeySource
    log: FilePath

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the node reads for its keys; of a key in a token, the one with the PIN."""
        sources = (self.vote, self.cosign, self.log)
        return tuple(source.pin_file if isinstance(source, hsm.KeyPlace) else source for source in sources)


class TlsFiles(Section):
    """PEM files: the campus CA, this node's certificate (CN = its name) and its key."""

    ca: FilePath
    cert: FilePath
    key: FilePath


class PeerAddress(Section):
    """Where another authority's node listens."""

    name: str = Field(min_length=1)
    address: SocketAddress


def _read_levels(value: Any) -> Any:
    return parse_levels(value) if isinstance(value, str) else value


class SnapshotSettings(Section):
    """Snapshots for nodes that are far behind; all nodes of a ledger should have the same `every_blocks`.

    This node makes one after the first block with a transaction in every `every_blocks` heights (0: none, and then it
    prunes no bodies); as a new node it takes one where it is `after_blocks` behind.
    """

    every_blocks: int = Field(5_000, ge=0, le=10**9)
    after_blocks: int = Field(1_000, ge=2, le=10**9)


class KeepSettings(Section):
    """How many days this node keeps bodies of blocks, receipts, and the settlement lines that bills are proven from.

    Headers, certificates, hand-overs and the hashes of the log are kept for ever.
    """

    bodies_days: int = Field(400, ge=0, le=10**6)
    receipts_days: int = Field(400, ge=0, le=10**6)
    index_days: int = Field(3_650, ge=0, le=10**6)


def _read_witness_key(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        key = checkpoint.parse_key(value)
    except MalformedError as error:
        raise ValueError(str(error)) from error
    if key.type is not SignatureType.COSIGNATURE:
        raise ValueError("a witness has a cosigner key (type 0x04)")
    return key


class WitnessSettings(Section):
    """A witness (c2sp.org/tlog-witness) that is asked for cosignatures: its URL, to which `/add-checkpoint` comes.

    Its key is written `name+hash+base64`, as it prints it when it starts.
    """

    url: HttpUrl
    key: Annotated[VerifierKey, BeforeValidator(_read_witness_key)]


def _refuse_twins(witnesses: tuple[WitnessSettings, ...]) -> tuple[WitnessSettings, ...]:
    """Refuse one key in two places: its cosignature would count twice."""
    seen: set[bytes] = set()
    for one in witnesses:
        if one.key.public_key in seen:
            raise ValueError(f"the key of {one.key.name} stands here twice: leave one of the two out")
        seen.add(one.key.public_key)
    return witnesses


class NodeSettings(Section):
    """The whole of node.toml.

    A node that `joins` copies a chain that runs already before it signs: a newcomer, or one whose keys or data are no
    longer those with which the chain began. `next_keys` are those which a rotation will put in force. `peers` may name
    institutions that are no authorities: they copy the chain. `log` is written "info,market=debug".
    `announce` is what the node tells its peers of where it can be reached; without it they keep to their own files.
    """

    name: str = Field(min_length=1)
    genesis: FilePath
    data_dir: FilePath
    listen: SocketAddress = Address(host="0.0.0.0", port=PEER_PORT)  # noqa: S104 - peers prove who they are
    announce: SocketAddress | None = None
    keys: KeyFiles
    next_keys: KeyFiles | None = None
    joins: bool = False
    tls: TlsFiles
    api: Annotated[ApiSettings, BeforeValidator(split_address)] = ApiSettings()
    log: Annotated[LogLevels, BeforeValidator(_read_levels)] = LogLevels()
    snapshots: SnapshotSettings = SnapshotSettings()
    keep: KeepSettings = KeepSettings()
    peers: tuple[PeerAddress, ...]
    witnesses: Annotated[tuple[WitnessSettings, ...], Field(max_length=16), AfterValidator(_refuse_twins)] = ()

    @property
    def operator(self) -> Address | Path:
        """Where the operator's own methods are answered."""
        return self.api.operator or self.data_dir / OPERATOR_SOCKET


def load(path: Path) -> NodeSettings:
    """Return the settings in the TOML file *path*; raises SettingsError with one clear line."""
    try:
        with path.open("rb") as file:
            values = tomllib.loads(file.read(MAX_SETTINGS_BYTES).decode())
    except FileNotFoundError as error:
        text = f"there are no settings {path}: name a node's with --config"
        raise SettingsError(
            f"{text}; `campusgrid ledger init`, then `begin`, make a folder with a node.toml"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read the settings {path}: {error}") from error
    try:
        return NodeSettings.model_validate(values, context={"folder": path.parent})
    except ValidationError as error:
        raise SettingsError(f"{path}: {_first_fault(error)}") from error


def read_key(path: Path) -> keys.PrivateKey:
    """Return the private key in the file *path*; raises SettingsError, which never shows the file's content."""
    try:
        seed = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise SettingsError(f"cannot read the key file {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"the key file {path} is not 64 hexadecimal characters") from error
    if len(seed) != keys.SEED_BYTES:
        raise SettingsError(f"the key file {path} is not 64 hexadecimal characters")
    return keys.PrivateKey(seed)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"]) or "settings"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')} ({error.error_count()} to mend)"
