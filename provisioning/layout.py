"""Lays out a campus directory from a plan: keys, certificates, genesis, and one configuration file per part.

`provisioning/README.md` shows the directory. What everyone may know is at its top; each authority, the gateway, the
broker and each meter has one folder that can be copied to its machine.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ledger import checkpoint, genesis
from ledger.authority import Authority, AuthoritySet
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.node.recovery import memory
from ledger.transaction import ACCOUNT_ID_BYTES, METER_ID_BYTES
from provisioning import broker, certificates, files, keys, settings
from provisioning import campus as campuses
from provisioning.campus import AAIP_PER_AIP, Campus, CampusMeter, CampusUser
from provisioning.certificates import Certificate
from provisioning.errors import DirectoryError
from provisioning.plan import LOOPBACK_HOSTS, CampusPlan

PASSWORD_BYTES: Final = 18


def lay_out(folder: Path, plan: CampusPlan, hash_tool: Path) -> Campus:
    """Make the campus of *plan* in *folder*, which must be empty or absent; raises ProvisioningError.

    *hash_tool* is mosquitto_passwd. The meters' keys are not made here but by the meters themselves
    (`provisioning.meters.enrol`); `provisioning.roster.write` then completes the directory.
    """
    _require_empty(files.make_folder(folder))
    authority = _make_certificates(folder, plan)
    started = _make_genesis(folder, plan)
    files.write_secret(folder / "genesis.json", genesis.dumps(started))  # it holds the secret of the leaves' salts
    verifiers = checkpoint.verifier_keys(started.authorities, checkpoint.origin(started.chain_id))
    files.write_public(folder / "authorities.vkeys", "".join(f"{key}\n" for key in verifiers))
    users = _make_users(folder, plan)
    campus = Campus(folder, plan, started, _random_id(), users, _name_meters(plan, users))
    for name in plan.authorities:
        _make_node(campus, name, authority)
    _make_gateway(campus, authority)
    logins = (broker.GATEWAY_USER, broker.CAMPUS_USER, *(meter.meter_id.hex() for meter in campus.meters))
    passwords = {name: _password() for name in logins}
    files.write_secret(folder / "gateway" / "broker.password", passwords[broker.GATEWAY_USER] + "\n")
    files.write_secret(folder / campuses.LOGIN_NAME, passwords[broker.CAMPUS_USER] + "\n")
    _make_broker(campus, authority, passwords, hash_tool)
    for meter in campus.meters:
        _make_meter(campus, meter, passwords[meter.meter_id.hex()])
    campus.write()
    return campus


def _require_empty(folder: Path) -> None:
    if any(folder.iterdir()):
        raise DirectoryError(f"{folder} is not empty: a campus is laid out in a new folder. Name another one.")


def _make_certificates(folder: Path, plan: CampusPlan) -> Certificate:
    authority = certificates.make_authority(plan.name)
    files.write_public(folder / "ca.crt", authority.certificate_pem)
    files.write_secret(folder / "ca.key", authority.key_pem)
    return authority


def _make_genesis(folder: Path, plan: CampusPlan) -> Genesis:
    members = sorted((_make_authority(folder, name) for name in plan.authorities), key=lambda member: member.id)
    institutions = tuple(_make_institution(folder, member) for member in members)
    grid = _make_account(folder / "grid.key", Role.GRID, plan.grid_balance_aip)
    admin = _make_account(folder / "admin.key", Role.ADMIN, sum(user.balance_aip for user in plan.users))
    keys.make(folder / "campus.key")
    return Genesis(
        name=plan.name,
        time_ms=time.time_ns() // 1_000_000,
        secret=secrets.token_bytes(genesis.SECRET_BYTES),
        authorities=AuthoritySet(tuple(members)),
        parameters=_parameters(plan),
        grid_account=grid.id,
        accounts=(grid, admin, *institutions),
    )


def _make_authority(folder: Path, name: str) -> Authority:
    home = files.make_folder(folder / "authorities" / name)
    vote, cosign, log = (keys.make(home / f"{purpose}.key") for purpose in ("vote", "cosign", "log"))
    return Authority(_random_id(), name, vote.public_key, cosign.public_key, log.public_key)


def _make_institution(folder: Path, member: Authority) -> GenesisAccount:
    """Return the account with which an authority's people take part in decisions; its node never needs the key."""
    public_key = keys.make(folder / "authorities" / member.name / "account.key").public_key
    return GenesisAccount(member.id, public_key, Role.AUTHORITY)


def _make_account(path: Path, role: Role, balance_aip: int) -> GenesisAccount:
    return GenesisAccount(_random_id(), keys.make(path).public_key, role, balance_aip * AAIP_PER_AIP)


def _parameters(plan: CampusPlan) -> Parameters:
    chosen = plan.parameters.model_dump(exclude={"telemetry_s"})
    return Parameters(**chosen)


def _make_node(campus: Campus, name: str, authority: Certificate) -> None:
    home = campus.folder / "authorities" / name
    memory.begin(files.make_folder(home / "data"), campus.genesis.chain_id)
    _issue(authority, home, "tls", (name, campus.plan.host, *LOOPBACK_HOSTS))
    files.write_public(home / "node.toml", settings.node(campus.plan, name))


def _name_meters(plan: CampusPlan, users: tuple[CampusUser, ...]) -> tuple[CampusMeter, ...]:
    owners = {user.plan.name: user.account for user in users}
    return tuple(CampusMeter(secrets.token_bytes(METER_ID_BYTES), owners[m.owner], m) for m in plan.meters)


def _make_users(folder: Path, plan: CampusPlan) -> tuple[CampusUser, ...]:
    files.make_folder(folder / "users")
    users = tuple(CampusUser(_random_id(), user) for user in plan.users)
    for user in users:
        keys.make(folder / "users" / f"{user.account.hex()}.key")
    return users


def _make_gateway(campus: Campus, authority: Certificate) -> None:
    home = files.make_folder(campus.folder / "gateway")
    files.make_folder(home / "data")
    if not campus.plan.is_local:
        _issue(authority, home, settings.GATEWAY_CERTIFICATE, (campus.plan.host, *LOOPBACK_HOSTS))
    keys.make(home / "account.key")
    keys.make(home / "receipt.key")
    files.write_public(home / "gateway.toml", settings.gateway(campus.plan, campus.gateway_account))
    owned: Mapping[str, list[tuple[str, bool]]] = {user.account.hex(): [] for user in campus.users}
    for meter in campus.meters:
        owned[meter.account.hex()].append((meter.meter_id.hex(), meter.plan.can_export))
    files.write_public(home / "bidding.toml", settings.bidding(campus.plan, owned))


def _make_broker(campus: Campus, authority: Certificate, passwords: Mapping[str, str], hash_tool: Path) -> None:
    home = files.make_folder(campus.folder / "broker")
    _issue(authority, home, "server", (campus.plan.host, *LOOPBACK_HOSTS))
    broker.lay_out(home, campus.plan.host, campus.plan.ports.broker, passwords, hash_tool)


def _make_meter(campus: Campus, meter: CampusMeter, password: str) -> None:
    home = files.make_folder(meter.config(campus.folder).parent)
    files.make_folder(home / "data")
    receipt_key = keys.read(campus.folder / "gateway" / "receipt.key")
    campus_key = keys.read(campus.folder / "campus.key")
    login = settings.MeterLogin(meter.meter_id, password, receipt_key.public_key, campus_key.public_key)
    files.write_secret(meter.config(campus.folder), settings.meter(campus.plan, meter.plan, login))


def _issue(authority: Certificate, home: Path, stem: str, hosts: tuple[str, ...]) -> None:
    """Issue a certificate whose common name is the first of *hosts*, and write it to *home*."""
    issued = certificates.issue(authority, hosts[0], tuple(dict.fromkeys(hosts)))
    files.write_public(home / f"{stem}.crt", issued.certificate_pem)
    files.write_secret(home / f"{stem}.key", issued.key_pem)


def _random_id() -> bytes:
    return secrets.token_bytes(ACCOUNT_ID_BYTES)


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)
