"""The plan of a campus: what `campusgrid provision campus` turns into keys, certificates and configuration files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ledger.genesis import MAX_SUPPLY_AAIP
from ledger.modules.kinds import Text
from provisioning import files
from provisioning.errors import PlanError

AUTHORITIES: Final = ("ERC", "MEA", "PEA", "EGAT")
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1")
MAX_METERS: Final = 10_000
MAX_BALANCES_AIP: Final = MAX_SUPPLY_AAIP // 10**18
MAX_METERS_A_USER: Final = 10
MAX_NAME_CHARACTERS: Final = 64
PROFILES: Final = Path(__file__).resolve().parents[1] / "firmware" / "meter" / "profiles"


def _visible(text: str) -> str:
    _require(Text(MAX_NAME_CHARACTERS).accepts(text), "has characters that hide or turn others; type it anew")
    return text


def _known_profile(name: str) -> str:
    known = sorted(file.stem for file in PROFILES.glob("*.py") if file.stem != "__init__")
    _require(name in known, f"{name!r} is no meter profile; choose one of {', '.join(known)}")
    return name


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS), AfterValidator(_visible)]
Profile = Annotated[Name, AfterValidator(_known_profile)]
Port = Annotated[int, Field(ge=1, le=65535)]
TimeServer = Annotated[str, Field(max_length=255, pattern=r"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(:[0-9]{1,5})?$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedLine(_Section):
    """The serial line of a meter, as its configuration names it."""

    path: str
    baud: Annotated[int, Field(ge=1200, le=230_400)] = 9600
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1


class PlannedSite(_Section):
    """Where a photovoltaic plant stands, in degrees (north and east positive)."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class PlannedMeter(_Section):
    """One meter: its model's profile, its rating in W, its line and slave address, and whose it is.

    `pv_site` is for one that measures a photovoltaic plant alone, `feeder` the label of the meter that it is behind.
    """

    label: Name
    profile: Profile
    rated_power_w: Annotated[int, Field(ge=1)]
    can_export: bool
    owner: Name
    line: PlannedLine
    slave: Annotated[int, Field(ge=1, le=247)] = 1
    pv_site: PlannedSite | None = None
    feeder: Name | None = None


class PlannedUser(_Section):
    """One user of the market and the AIP that genesis gives them."""

    name: Name
    kind: Literal["prosumer", "consumer"]
    balance_aip: Annotated[int, Field(ge=0)] = 0


class AuthorityPorts(_Section):
    """Where one authority's node listens: HTTP API and peers."""

    api: Port
    peers: Port


class PlannedPorts(_Section):
    """All ports of the campus; one entry of `nodes` per authority."""

    broker: Port = 8883
    gateway: Port = 8080
    nodes: tuple[AuthorityPorts, ...] = tuple(AuthorityPorts(api=9933 + 10 * i, peers=30333 + i) for i in range(4))


class PlannedParameters(_Section):
    """The parameters of market and chain that a campus chooses; `ledger.genesis.Parameters` has the others."""

    epoch_s: Annotated[int, Field(ge=2, le=86_400)] = 900
    telemetry_s: Annotated[int, Field(ge=1)] = 60
    settle_deadline_s: Annotated[int, Field(ge=1)] = 21_600
    settle_deadline_blocks: Annotated[int, Field(ge=1)] = 100
    block_interval_ms: Annotated[int, Field(ge=100)] = 2000
    heartbeat_ms: Annotated[int, Field(ge=100)] = 30_000
    min_order_wh: Annotated[int, Field(ge=1)] = 100
    retail_uaip_per_kwh: Annotated[int, Field(ge=0)] = 4_200_000
    feed_in_uaip_per_kwh: Annotated[int, Field(ge=0)] = 2_200_000
    penalty_uaip_per_kwh: Annotated[int, Field(ge=0)] = 500_000


class CampusPlan(_Section):
    """The whole plan. Every meter's owner is one of the users."""

    name: Name
    host: str = "127.0.0.1"
    gateway_login: Literal["required", "none"] = "required"
    authorities: tuple[Name, ...] = AUTHORITIES
    ports: PlannedPorts = PlannedPorts()
    parameters: PlannedParameters = PlannedParameters()
    time_servers: Annotated[tuple[TimeServer, ...], Field(max_length=8)] = ()
    """"host" or "host:port" each: meters then keep the time by them; none: each meter's system keeps it."""
    grid_balance_aip: Annotated[int, Field(ge=0)] = 1_000_000
    users: Annotated[tuple[PlannedUser, ...], Field(min_length=1)]
    meters: Annotated[tuple[PlannedMeter, ...], Field(min_length=1, max_length=MAX_METERS)]

    @property
    def is_local(self) -> bool:
        """Tell whether everything listens on this machine alone."""
        return self.host in LOOPBACK_HOSTS

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        _require(self.is_local or self.gateway_login == "required", 'gateway_login = "none" needs a loopback host')
        names = [user.name for user in self.users]
        _require(len(set(names)) == len(names), "two users share one name")
        _require(len(set(self.authorities)) == len(self.authorities) >= 4, "it takes 4 authorities of different names")
        _require(len(self.ports.nodes) == len(self.authorities), "ports.nodes needs one entry per authority")
        labels = [meter.label for meter in self.meters]
        _require(len(set(labels)) == len(labels), "two meters share one label")
        for meter in self.meters:
            _require(meter.owner in names, f"meter {meter.label!r}: its owner {meter.owner!r} is not among the users")
            _require(
                meter.feeder is None or (meter.feeder in labels and meter.feeder != meter.label),
                f"meter {meter.label!r}: its feeder {meter.feeder!r} is no other meter of the plan",
            )
        listeners = [
            self.ports.broker,
            self.ports.gateway,
            *(p for node in self.ports.nodes for p in (node.api, node.peers)),
        ]
        twice = next((port for port in listeners if listeners.count(port) > 1), None)
        _require(twice is None, f"port {twice} is given twice, and all listen at one host: give each its own")
        total = self.grid_balance_aip + sum(user.balance_aip for user in self.users)
        _require(
            total <= MAX_BALANCES_AIP, f"all balances together are more than the {MAX_BALANCES_AIP:,} AIP there can be"
        )
        owners = [meter.owner for meter in self.meters]
        for name in names:
            _require(owners.count(name) <= MAX_METERS_A_USER, f"user {name!r} has more than {MAX_METERS_A_USER} meters")
        return self


def load(path: Path) -> CampusPlan:
    """Return the plan in the TOML file *path*; raises PlanError with one clear line."""
    try:
        return CampusPlan.model_validate(tomllib.loads(files.read_text(path)))
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise PlanError(f"{path}: {first_fault(error)}") from error


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong with a plan, in one line."""
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"]) or "plan"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')} ({error.error_count()} to mend)"


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)
