"""The text of the configuration files in a campus directory; who reads one defines it (named at each function)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from provisioning.broker import GATEWAY_USER
from provisioning.plan import CampusPlan, PlannedMeter

DRAIN_S: Final = 20
GATEWAY_CERTIFICATE: Final = "api"
_HEADER: Final = "# Written by `campusgrid provision`.\n"


@dataclass(frozen=True, slots=True)
class MeterLogin:
    """What a meter proves itself with at the broker, and the keys whose signatures it believes."""

    meter_id: bytes
    password: str
    receipt_key: bytes
    campus_key: bytes


def node(plan: CampusPlan, name: str) -> str:
    """Return node.toml of the authority *name* (`ledger.node.settings`)."""
    own = plan.ports.nodes[plan.authorities.index(name)]
    peers = [
        _table("[peers]", {"name": other, "address": f"{plan.host}:{ports.peers}"})
        for other, ports in zip(plan.authorities, plan.ports.nodes, strict=True)
        if other != name
    ]
    return _HEADER + "\n".join([
        _pairs({
            "name": name, "genesis": "../../genesis.json", "data_dir": "data", "listen": f"{plan.host}:{own.peers}",
        }),
        _table("keys", {"vote": "vote.key", "cosign": "cosign.key", "log": "log.key"}),
        _table("tls", {"ca": "../../ca.crt", "cert": "tls.crt", "key": "tls.key"}),
        _table("api", {"host": plan.host, "port": own.api, **_shown_intervals(plan)}),
        *peers,
    ])  # fmt: skip


def _shown_intervals(plan: CampusPlan) -> dict[str, str]:
    """Hide nobody's intervals where the whole campus is one machine: its books lie in the same directory."""
    return {"intervals": "anybody"} if plan.is_local else {}


def gateway(plan: CampusPlan, account: bytes) -> str:
    """Return gateway.toml (`gateway.settings.GatewaySettings`)."""
    return _HEADER + "\n".join([
        _pairs({
            "roster": "../roster.json", "store": "data/gateway.sqlite", "receipt_key": "receipt.key",
            "epoch_s": plan.parameters.epoch_s,
        }),
        _table("broker", {
            "host": plan.host, "port": plan.ports.broker, "ca": "../ca.crt", "user": GATEWAY_USER,
            "password_file": "broker.password",
        }),
        _table("ledger", {
            "urls": ledger_urls(plan), "genesis": "../genesis.json", "account": account.hex(), "key": "account.key",
        }),
        _table("api", {"host": plan.host, "port": plan.ports.gateway, "login": plan.gateway_login, **_tls(plan)}),
    ])  # fmt: skip


def gateway_url(plan: CampusPlan) -> str:
    """Return the base address of the gateway's HTTP API: in the clear on this machine alone."""
    return f"{'http' if plan.is_local else 'https'}://{plan.host}:{plan.ports.gateway}"


def bidding(plan: CampusPlan, owned: Mapping[str, Sequence[tuple[str, bool]]]) -> str:
    """Return bidding.toml (`gateway.settings.BiddingSettings`); *owned* maps account to (meter id, can export)."""
    users = [
        _table("[users]", {
            "account": account,
            "key_file": f"../users/{account}.key",
            "meters": [{"meter_id": meter_id, "can_export": can_export} for meter_id, can_export in meters],
            "strategy": {"seed": place},
        })
        for place, (account, meters) in enumerate(owned.items())
        if meters
    ]  # fmt: skip
    return _HEADER + "\n".join(
        [
            _pairs({"gateway": gateway_url(plan), **_gateway_access(plan)}),
            _table("ledger", {"urls": ledger_urls(plan), "genesis": "../genesis.json"}),
            *users,
        ]
    )


def meter(plan: CampusPlan, planned: PlannedMeter, login: MeterLogin) -> str:
    """Return config.json of one meter (`firmware/protocol/PROTOCOL.md`)."""
    content = {
        "meter_id": login.meter_id.hex(),
        "profile": planned.profile,
        "line": planned.line.model_dump(),
        "slave": planned.slave,
        "broker": {
            "host": plan.host, "port": plan.ports.broker, "ca": "../../ca.crt", "user": login.meter_id.hex(),
            "password": login.password,
        },
        "gateway_keys": [login.receipt_key.hex()],
        "campus_key": login.campus_key.hex(),
        "epoch_s": plan.parameters.epoch_s,
        "telemetry_s": plan.parameters.telemetry_s,
        "data_dir": "data",
        "drain_s": DRAIN_S,
        "network": None,
        "time_servers": list(plan.time_servers),
    }  # fmt: skip
    return json.dumps(content, indent=2) + "\n"


def ledger_urls(plan: CampusPlan) -> list[str]:
    """Return the base addresses of all nodes' HTTP APIs, in the order of the plan's authorities."""
    return [f"http://{plan.host}:{ports.api}" for ports in plan.ports.nodes]


def _tls(plan: CampusPlan) -> dict[str, str]:
    names = {"cert": f"{GATEWAY_CERTIFICATE}.crt", "key": f"{GATEWAY_CERTIFICATE}.key"}
    return {} if plan.is_local else names


def _gateway_access(plan: CampusPlan) -> dict[str, str]:
    """Return how the agents come into the gateway: its operator makes the key (`provisioning/README.md`)."""
    key = {"gateway_key_file": "bidding.apikey"} if plan.gateway_login == "required" else {}
    return key if plan.is_local else {**key, "gateway_ca": "../ca.crt"}


def _table(name: str, values: Mapping[str, Any]) -> str:
    return f"[{name}]\n{_pairs(values)}"


def _pairs(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: Any) -> str:
    """Return *value* as TOML; JSON's strings, numbers and booleans are TOML's too."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
