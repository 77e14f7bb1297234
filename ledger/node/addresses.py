"""Sections of node.toml that say where something listens, and what a section is."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

HTTP_PORT: Final = 9933
WEBSOCKET_PORT: Final = 9944
PEER_PORT: Final = 30333
_UNIX: Final = "unix:"


class Section(BaseModel):
    """A table of the file: a key that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Address(Section):
    """A TCP address, written `host:port`."""

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine reaches it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def resolve(value: Any, info: ValidationInfo) -> Any:
    """Return the path *value*; a relative one starts at the file's folder."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / value if isinstance(value, str) and value else value


def split_address(value: Any) -> Any:
    """Return `host:port` as a table."""
    if not isinstance(value, str):
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError("an address is written host:port")
    return {"host": host.strip("[]"), "port": int(port)}


def _read_operator(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and value.startswith(_UNIX):
        return resolve(value.removeprefix(_UNIX), info)
    return split_address(value)


SocketAddress = Annotated[Address, BeforeValidator(split_address)]


class ApiSettings(Section):
    """Where the API answers. HTTP and WebSockets may share a port, and do where `port` alone is given.

    `operator` is where the operator's own methods are answered: `unix:PATH`, or a loopback address. Left out it is
    operator.sock in the data directory, which only the node's user may open. `cors` are the origins of web pages that
    browsers may let in; none by default. An address may ask `requests_per_s` (this machine's own: without a limit).
    `intervals` are shown to their owners and to those whose role it is, by a viewing pass, or to anybody.
    """

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(HTTP_PORT, ge=1, le=65535)
    websocket: SocketAddress | None = None
    operator: Annotated[Address | Path | None, BeforeValidator(_read_operator)] = None
    cors: tuple[Annotated[str, Field(pattern=r"^https?://[^/*\s]+$")], ...] = ()
    intervals: Literal["owners", "anybody"] = "owners"
    requests_per_s: int = Field(100, ge=1, le=100_000)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if isinstance(self.operator, Address) and not self.operator.is_loopback:
            raise ValueError("operator is a loopback address or unix:PATH: who reaches it may do what the operator may")
        return self

    @property
    def http(self) -> Address:
        """The address of HTTP."""
        return Address(host=self.host, port=self.port)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses to listen on; each answers HTTP and WebSockets."""
        websocket = self.websocket
        if websocket is None and "port" not in self.model_fields_set:
            websocket = Address(host=self.host, port=WEBSOCKET_PORT)
        return (self.http,) if websocket in (None, self.http) else (self.http, websocket)
