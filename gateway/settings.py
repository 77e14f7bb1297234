"""The two TOML files an operator writes: `gateway.toml` for the gateway, `bidding.toml` for the bidding agents.

Unknown keys are errors, and each error is one line that names the file and the key. Relative paths are relative to
the file's own folder.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway.bidding.instructions import Instructions, parse
from gateway.errors import SettingsError
from ledger.keys import SEED_BYTES, PrivateKey

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)
MAX_FAULTS = 5
"""How many faults of one file are told of at once."""
Port = Annotated[int, Field(ge=1, le=65535)]


def _decode_id(text: str) -> str:
    if len(text) != 16 or text != text.lower() or not all(digit in "0123456789abcdef" for digit in text):
        raise ValueError("an id is 16 lower-case hex digits")
    return text


def _decode_public_key(text: str) -> str:
    if len(text) != 64 or text != text.lower() or not all(digit in "0123456789abcdef" for digit in text):
        raise ValueError("a public key is 64 lower-case hex digits, as `campusgrid gateway backup-key` prints it")
    return text


def _check_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{text!r} is no address, write it as http://127.0.0.1:9933")
    return text


Url = Annotated[str, AfterValidator(_check_url)]
Identifier = Annotated[str, AfterValidator(_decode_id)]
"""An account or meter id as 16 lower-case hex digits."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, use_attribute_docstrings=True)


class BrokerSettings(_Section):
    """Where the MQTT broker is and who the gateway is there. Exactly one of the two ways to give the password."""

    host: str = Field(examples=["127.0.0.1"])
    """Name or address of the broker, as its certificate has it."""
    port: Port = Field(examples=[8883])
    """The broker's TLS port."""
    ca: Path = Field(examples=["../ca.crt"])
    """The certificate of the campus's own authority; no other is trusted."""
    user: str = "gateway"
    """The broker's name for the gateway; its access list knows it."""
    password: str | None = Field(default=None, repr=False)
    """The password itself; better is a file that only the gateway can read."""
    password_file: Path | None = Field(default=None, examples=["broker.password"])
    """The file that holds the password."""
    client_id: str = "campusgrid-gateway"
    """Names the gateway's session, in which the broker keeps readings while the gateway is away."""

    @model_validator(mode="after")
    def _one_password(self) -> BrokerSettings:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("give either password or password_file")
        return self

    def read_password(self) -> str:
        """Return the broker password; raises SettingsError if its file cannot be read."""
        if self.password is not None:
            return self.password
        return read_text(self.password_file or Path()).strip()


class LedgerSettings(_Section):
    """Which ledger nodes to speak to, and as whom the gateway reports."""

    urls: Annotated[list[Url], Field(min_length=1, examples=[["http://127.0.0.1:9933"]])]
    """The HTTP addresses of ledger nodes, the preferred one first; more than one outlives a node."""
    genesis: Path = Field(examples=["../genesis.json"])
    """What the ledger started from: names the ledger beyond doubt."""
    account: Identifier = Field(examples=["0000000000000000"])
    """The gateway's account on the ledger, 16 hex digits."""
    key: Path = Field(examples=["account.key"])
    """The private key that signs reports (64 hex digits)."""


class ApiSettings(_Section):
    """Where the HTTP API and the dashboard listen, and how they are reached.

    `login` "none" is for loopback addresses alone. Other addresses need TLS: `cert` and `key`, or `behind_proxy`, which
    believes `trusted_proxy` (addresses, comma-separated) when it says who asks and that it was asked over https.
    `url` is the address that people type, where it is another one than host and port.
    """

    host: str = "127.0.0.1"
    """The address to listen on. Other than loopback addresses need `cert` and `key`, or `behind_proxy`."""
    port: Port = 8080
    """The port to listen on."""
    login: Literal["required", "none"] = "required"
    """Whether people and programs must log in; "none" is for a demo, on a loopback host: all is seen, none written."""
    cert: Path | None = None
    """The certificate (PEM) of the server, for TLS 1.2 or newer; it goes with `key`."""
    key: Path | None = None
    """The private key of the certificate (PEM)."""
    behind_proxy: bool = False
    """Whether a TLS proxy stands in front; then nobody else is answered."""
    trusted_proxy: str = ""
    """The proxy's addresses, comma-separated: what they say in X-Forwarded-For and X-Forwarded-Proto is believed."""
    url: str | None = None
    """The address that people type, where it is not host and port: links begin with it."""

    @model_validator(mode="after")
    def _is_safe(self) -> ApiSettings:
        _require((self.cert is None) == (self.key is None), "give both cert and key, or neither")
        _require(self.behind_proxy == bool(self.trusted_proxy), "behind_proxy and trusted_proxy need each other")
        for address in filter(None, self.trusted_proxy.split(",")):
            _require(_is_address(address.strip()), f"trusted_proxy: {address.strip()!r} is no IP address")
        if self.login == "none":
            _require(
                self.is_loopback and not self.behind_proxy,
                'login = "none" is for a loopback host without a proxy; leave it out, or set host = "127.0.0.1"',
            )
        _require(
            self.is_loopback or self.is_secure,
            f"{self.host} can be reached from outside, so passwords would travel in the clear: give cert and key, or"
            " set behind_proxy and trusted_proxy",
        )
        return self

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine reaches the address."""
        return self.host == "localhost" or (_is_address(self.host) and ipaddress.ip_address(self.host).is_loopback)

    @property
    def is_secure(self) -> bool:
        """Tell whether browsers come over https."""
        return self.cert is not None or self.behind_proxy

    @property
    def base_url(self) -> str:
        """The address that people type, ending with a slash."""
        if self.url is not None:
            return self.url.rstrip("/") + "/"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.cert else 'http'}://{host}:{self.port}/"


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class BackupSettings(_Section):
    """Where encrypted backups go (`campusgrid gateway backup`). Without this section there are none."""

    folder: Path = Field(examples=["/var/backups/campusgrid"])
    """Where the backups are kept: best another disk, or a mounted share of another machine."""
    public_key: Annotated[str, AfterValidator(_decode_public_key)] = Field(examples=["00" * 32])
    """What they are encrypted to, printed by `campusgrid gateway backup-key`; the private key stays off the gateway."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 14
    """How many backups are kept; beyond it the oldest goes."""


class RetentionSettings(_Section):
    """What the gateway keeps for how long. Boundary readings, so all intervals, are kept for ever."""

    raw_days: Annotated[int, Field(ge=14, le=36_500)] = 90
    """Days for which readings between the boundaries are kept once they are receipted."""


class ClockSettings(_Section):
    """What `campusgrid doctor` holds the clock against, besides the ledger's nodes."""

    time_servers: list[str] = []
    """NTP servers, each "host" or "host:port"."""


Level = Literal["debug", "info", "warning", "error"]
Module = Annotated[str, Field(pattern=r"^gateway(\.[a-z_]+)*$|^ledger(\.[a-z_]+)*$")]


class LogSettings(_Section):
    """What the log tells, and how; it goes to standard error, so with systemd to the journal."""

    level: Level = "info"
    """Lines below it are left out: "debug", "info", "warning" or "error"."""
    levels: dict[Module, Level] = {}
    """Other levels for some modules and all below them, as {"gateway.intake"="warning"}."""
    form: Literal["auto", "json", "text"] = "auto"
    """One JSON object a line, or "text" for people; "auto" is text on a terminal alone."""


class GatewaySettings(_Section):
    """`gateway.toml`, whole."""

    roster: Path = Field(examples=["../roster.json"])
    """The enrolled meters with their keys, written by `campusgrid provision`."""
    store: Path = Field(examples=["data/gateway.sqlite"])
    """The gateway's database; its folder is made if need be."""
    receipt_key: Path = Field(examples=["receipt.key"])
    """The private key that signs receipts (64 hex digits); the meters know its public key."""
    epoch_s: Annotated[int, Field(ge=1, le=86400)] = 900
    """Seconds of an epoch, the same as in the ledger's genesis."""
    broker: BrokerSettings
    ledger: LedgerSettings
    api: ApiSettings = ApiSettings()
    backup: BackupSettings | None = None
    retention: RetentionSettings = RetentionSettings()
    clock: ClockSettings = ClockSettings()
    log: LogSettings = LogSettings()


class BiddingMeter(_Section):
    """A meter that an agent bids for."""

    meter_id: Identifier
    can_export: bool


class StrategySettings(_Section):
    """How eager an agent is (see `gateway.bidding.agent`)."""

    seed: int = 0
    margin_permille: Annotated[int, Field(ge=0, le=1000)] = 150


class BiddingUser(_Section):
    """One user whom an agent bids for, with the key that signs the orders."""

    account: Identifier
    key_file: Path
    meters: Annotated[list[BiddingMeter], Field(min_length=1, max_length=10)]
    strategy: StrategySettings = StrategySettings()


class BiddingLedger(_Section):
    """Which ledger nodes the agents speak to."""

    urls: Annotated[list[Url], Field(min_length=1)]
    genesis: Path


def _parse_instructions(value: object) -> Instructions:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise ValueError('must be a list of sentences, as ["sell surplus at 3.20 or more", "keep 20 %"]')
    return parse(value)


class BiddingSettings(_Section):
    """`bidding.toml`, whole. A gateway with a login wants an API key; `gateway_ca` signs its certificate.

    `instructions` has, by meter id, what the meter's user says in the language of `gateway.bidding.instructions`.
    """

    gateway: str
    gateway_key_file: Path | None = None
    gateway_ca: Path | None = None
    ledger: BiddingLedger
    users: Annotated[list[BiddingUser], Field(min_length=1)]
    instructions: dict[Identifier, Annotated[Instructions, BeforeValidator(_parse_instructions)]] = {}

    @model_validator(mode="after")
    def _names_own_meters(self) -> BiddingSettings:
        known = {meter.meter_id for user in self.users for meter in user.meters}
        for meter_id in self.instructions:
            _require(
                meter_id in known, f"instructions.{meter_id}: no user has this meter; the meters are {_list(known)}"
            )
        return self


def _list(names: set[str]) -> str:
    more = len(names) - MAX_FAULTS
    return ", ".join(sorted(names)[:MAX_FAULTS]) + (f" and {more} more" if more > 0 else "")


def load_gateway(path: Path) -> GatewaySettings:
    """Return the settings in the gateway.toml at *path*; raises SettingsError."""
    return _load(path, GatewaySettings)


def load_bidding(path: Path) -> BiddingSettings:
    """Return the settings in the bidding.toml at *path*; raises SettingsError."""
    return _load(path, BiddingSettings)


def read_key(path: Path) -> PrivateKey:
    """Return the Ed25519 private key in the file at *path*; raises SettingsError."""
    return PrivateKey(read_secret(path))


def read_secret(path: Path) -> bytes:
    """Return the 32 secret bytes in the file at *path* (64 hex digits); raises SettingsError."""
    text = read_text(path).strip()
    try:
        seed = bytes.fromhex(text)
    except ValueError as error:
        raise SettingsError(f"{path}: a key file holds {2 * SEED_BYTES} hex digits and nothing else") from error
    if len(seed) != SEED_BYTES:
        raise SettingsError(f"{path}: a key file holds {2 * SEED_BYTES} hex digits, this one has {len(text)}")
    return seed


def read_text(path: Path) -> str:
    """Return the text of the file at *path*; raises SettingsError with one line."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path}: cannot be read: {_cause(error)}; copy it from the campus directory that campusgrid provision"
            " campus wrote, or correct its path"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {_cause(error)}") from error


def _load(path: Path, model: type[M]) -> M:
    try:
        values = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error
    try:
        return _resolve(model.model_validate(values), path.resolve().parent)
    except ValidationError as error:
        raise SettingsError(_describe(path, error)) from error


def _resolve(section: M, folder: Path) -> M:
    """Return *section* with every relative path made absolute from *folder*."""
    changed = {name: _resolve_value(getattr(section, name), folder) for name in type(section).model_fields}
    return section.model_copy(update=changed)


def _resolve_value(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return _place(folder, value)
    if isinstance(value, BaseModel):
        return _resolve(value, folder)
    if isinstance(value, list):
        return [_resolve_value(item, folder) for item in value]
    return value


def _place(folder: Path, path: Path) -> Path:
    """Return *path* as it is from *folder* on, which takes no detours, without its own leading ones."""
    while path.parts[:1] == ("..",):
        folder, path = folder.parent, Path(*path.parts[1:])
    return folder / path


def _describe(path: Path, error: ValidationError) -> str:
    faults = [_describe_fault(fault) for fault in error.errors()]
    more = len(faults) - MAX_FAULTS
    return "\n".join(f"{path}: {fault}" for fault in faults[:MAX_FAULTS]) + (f" (and {more} more)" if more > 0 else "")


def _describe_fault(fault: ErrorDetails) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "(file)"
    text = {"extra_forbidden": "is not a known key; remove it", "missing": "is missing; add it"}.get(
        fault["type"], fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    )
    return f"{key}: {text}"


def _cause(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
