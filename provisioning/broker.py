"""The broker's folder: mosquitto.conf, password file and access list, with every limit set by us.

mosquitto's own defaults drop messages silently beyond 1,000 a client and answer success; and its acknowledgement is
not storage (a killed broker loses what it acknowledged), which is why a meter waits for the gateway's receipt.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provisioning import files
from provisioning.errors import DirectoryError

GATEWAY_USER: Final = "gateway"
CAMPUS_USER: Final = "campus"
"""Who sends updates and configurations; a meter believes the campus key's signature, never this login."""
MAX_PACKET_BYTES: Final = 4096
"""A reading has at most 180 bytes; a receipt lists its refusals."""
MAX_QUEUED_MESSAGES: Final = 100_000
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
MAX_INFLIGHT_MESSAGES: Final = 2000
"""A gateway takes a batch of this size while the one before is verified and stored; a smaller window halves intake."""
MAX_CONNECTIONS: Final = 10_000
MAX_KEEPALIVE_S: Final = 300
AUTOSAVE_S: Final = 60
PASSWD_TIMEOUT_S: Final = 30.0

ACCESS_LIST: Final = f"""\
# A meter's user name is its id (%u): it may publish its own readings and last will, and read its own receipts.
pattern write meter/%u/reading
pattern write meter/%u/status
pattern read meter/%u/receipt

user {GATEWAY_USER}
topic read meter/+/reading
topic read meter/+/status
topic write meter/+/receipt

user {CAMPUS_USER}
topic write meter/+/receipt
topic read meter/+/status
topic read meter/+/reading
"""


def lay_out(folder: Path, host: str, port: int, passwords: Mapping[str, str], hash_tool: Path) -> None:
    """Write mosquitto.conf, acl and passwords to *folder*, where server.crt and server.key already are.

    *passwords* maps user name to password; *hash_tool* is mosquitto_passwd, which replaces each with a salted hash.
    """
    files.make_folder(folder / "data")
    files.write_public(folder / "mosquitto.conf", configuration(folder.resolve(), host, port))
    files.write_secret(folder / "acl", ACCESS_LIST)
    files.write_secret(folder / "passwords", "".join(f"{user}:{word}\n" for user, word in passwords.items()))
    _hash_passwords(folder / "passwords", hash_tool)


def configuration(folder: Path, host: str, port: int) -> str:
    """Return mosquitto.conf for a TLS listener on *host*:*port* with its files in *folder* (absolute)."""
    return f"""\
# Written by `campusgrid provision`.
listener {port} {host}
certfile {folder}/server.crt
keyfile {folder}/server.key
tls_version tlsv1.2
max_connections {MAX_CONNECTIONS}

allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
{_run_as()}
persistence true
persistence_location {folder}/data/
autosave_interval {AUTOSAVE_S}
max_packet_size {MAX_PACKET_BYTES}
max_inflight_messages {MAX_INFLIGHT_MESSAGES}
max_queued_messages {MAX_QUEUED_MESSAGES}
max_queued_bytes {MAX_QUEUED_BYTES}
queue_qos0_messages false
max_keepalive {MAX_KEEPALIVE_S}

log_dest stderr
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""


def _run_as() -> str:
    """Return the line that keeps mosquitto root where root starts it: else it would become a user without our files."""
    return "user root\n" if os.geteuid() == 0 else ""


def _hash_passwords(path: Path, hash_tool: Path) -> None:
    try:
        done = subprocess.run(
            [hash_tool, "-U", path], capture_output=True, text=True, timeout=PASSWD_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DirectoryError(f"cannot run {hash_tool} to hash the broker's passwords: {error}") from error
    if done.returncode != 0:
        path.unlink(missing_ok=True)
        raise DirectoryError(f"{hash_tool} could not hash {path}: {(done.stderr or done.stdout).strip()}")
    path.chmod(files.SECRET_MODE)
