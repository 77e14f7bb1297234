"""How an institution's node comes to be: its keys and certificate, the genesis of a new chain, its node.toml.

A node's TLS certificate is signed by itself, and every node trusts exactly the certificates of the others' entries:
no authority of certificates has to be trusted, and none can speak for another institution.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ledger import genesis, keys
from ledger.authority import AuthoritySet, require_name
from ledger.errors import LedgerError
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.members import institution
from ledger.members.institution import Entry
from ledger.node.recovery import memory
from ledger.transaction import ACCOUNT_ID_BYTES

USES: Final = ("vote", "cosign", "log")
ENTRY: Final = "entry.json"
TRUSTED: Final = "peers.crt"
LIFETIME: Final = dt.timedelta(days=3650)
CLOCK_ALLOWANCE: Final = dt.timedelta(days=1)
MIN_AUTHORITIES: Final = 4


class FoundingError(LedgerError):
    """What was asked for would overwrite something, or does not fit together; nothing was changed."""


def make_key(path: Path) -> keys.PrivateKey:
    """Make a key in the new file *path*, for its owner's eyes alone; raises FoundingError where the file exists."""
    key = keys.PrivateKey(secrets.token_bytes(keys.SEED_BYTES))
    write(path, key.seed.hex() + "\n")
    return key


def make_institution(folder: Path, name: str, address: str) -> Entry:
    """Make keys and certificate of an institution in *folder*, and its entry for the others."""
    require_name(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FoundingError(f"cannot make the folder {folder}: {error.strerror}; choose another place") from error
    existing = sorted(path.name for path in folder.iterdir())
    if existing:
        raise FoundingError(f"{folder} holds {existing[0]}: keys are never overwritten; name a new folder")
    vote, cosign, log, account = (make_key(folder / f"{use}.key").public_key for use in (*USES, "account"))
    certificate = _make_certificate(folder, name, address.rpartition(":")[0].strip("[]"))
    entry = Entry(
        name, secrets.token_bytes(ACCOUNT_ID_BYTES), vote, cosign, log, account, address, certificate.decode()
    )
    write(folder / ENTRY, entry.dumps(), mode=0o644)
    return entry


def make_genesis(
    name: str, entries: Sequence[Entry], grid_key: bytes, admin_key: bytes, *, development: bool = False
) -> Genesis:
    """Return the genesis of a new chain of *entries*, with the utility's account and an administrator's."""
    if len(entries) < MIN_AUTHORITIES and not development:
        raise FoundingError(f"a ledger has {MIN_AUTHORITIES} institutions or more; these are {len(entries)} entries")
    grid, admin = secrets.token_bytes(ACCOUNT_ID_BYTES), secrets.token_bytes(ACCOUNT_ID_BYTES)
    accounts = [GenesisAccount(one.id, one.account_key, Role.AUTHORITY) for one in entries]
    accounts += [GenesisAccount(grid, grid_key, Role.GRID), GenesisAccount(admin, admin_key, Role.ADMIN)]
    members = AuthoritySet(tuple(entry.authority for entry in entries))
    return Genesis(
        name, time.time_ns() // 1_000_000, secrets.token_bytes(genesis.SECRET_BYTES), members, Parameters(), grid,
        tuple(accounts), development,
    )  # fmt: skip


def describe_account(rules: Genesis, account: GenesisAccount) -> str:
    """Return whose *account* of a new chain is, as `make_genesis` made it."""
    names = {member.id: f"{member.name}'s" for member in rules.authorities.members}
    return names.get(account.id, "the utility's" if account.id == rules.grid_account else "the administrator's")


def set_up(folder: Path, rules: Genesis, entries: Sequence[Entry], *, api: str, joins: bool) -> Path:
    """Complete an institution's *folder* for its node on the chain of *rules* with all *entries*; return node.toml.

    A node that `joins` copies a chain that runs already; any other begins the chain, and never did before.
    """
    own = institution.load(folder / ENTRY)
    others = [entry for entry in entries if entry.name != own.name]
    named = {entry.name: entry.authority for entry in (*entries, own)}
    wrong = [member.name for member in rules.authorities.members if named.get(member.name) not in (member, None)]
    missing = [member.name for member in rules.authorities.members if member.name not in named]
    if (wrong or missing) and not joins:
        raise FoundingError(f"the genesis file and the entries differ on {(wrong + missing)[0]}: get both anew")
    if own.authority not in rules.authorities.members and not joins:
        raise FoundingError(f"{own.name} is no authority of that genesis: join a running chain with --joins")
    write(folder / "genesis.json", genesis.dumps(rules))
    write(folder / TRUSTED, "".join(entry.certificate for entry in others) or own.certificate, mode=0o644)
    write(folder / "node.toml", _node_toml(own, others, api, joins=joins), mode=0o644)
    if not joins:
        memory.begin(folder / "data", rules.chain_id)
    return folder / "node.toml"


def write(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write the new file *path* durably and whole; raises FoundingError where it exists or cannot be made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise FoundingError(f"{path} exists and is never overwritten; move it away if it may go") from error
    except OSError as error:
        raise FoundingError(f"cannot make {path}: {error.strerror}; choose another place") from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink()  # what is left would stand in the way of the next attempt, as a file that is never overwritten
        raise FoundingError(f"cannot write {path}: {error.strerror}; mend that, then run this again") from error


def _node_toml(own: Entry, others: Sequence[Entry], api: str, *, joins: bool) -> str:
    host, _, port = own.address.rpartition(":")
    listen = own.address if host == "127.0.0.1" else f"0.0.0.0:{port}"
    peers = "".join(f'\n[[peers]]\nname = "{one.name}"\naddress = "{one.address}"\n' for one in others)
    choices = ("joins = true\n" if joins else "") + ("" if others else "peers = []\n")
    key_files = "".join(f'{use} = "{use}.key"\n' for use in USES)
    return f"""# Made by `campusgrid ledger begin`; see ledger/README.md.
name = "{own.name}"
genesis = "genesis.json"
data_dir = "data"
listen = "{listen}"
api = "{api}"
{choices}
[keys]
{key_files}
[tls]
ca = "{TRUSTED}"
cert = "tls.crt"
key = "tls.key"
{peers}"""


def _make_certificate(folder: Path, name: str, host: str) -> bytes:
    """Make the node's TLS key and the certificate of it, which it signs itself and which can sign no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternative: x509.GeneralName = x509.DNSName(host)
    with suppress(ValueError):
        alternative = x509.IPAddress(ipaddress.ip_address(host))
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_ALLOWANCE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(folder / "tls.key", encoded.decode())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    write(folder / "tls.crt", pem.decode(), mode=0o644)
    return pem
