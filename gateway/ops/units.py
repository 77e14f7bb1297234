"""The texts of the systemd units: each service may write its own folders and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

USER: Final = "campusgrid"
HOME: Final = Path("/var/lib/campusgrid")
SYSUSERS: Final = f'u {USER} - "campusgrid gateway and ledger node" {HOME}\n'
_MARK: Final = "# Written by `campusgrid gateway install`; changes belong into a drop-in (systemctl edit).\n"
_HARDENING: Final = """\
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
CacheDirectory=campusgrid
Environment=NUMBA_CACHE_DIR=/var/cache/campusgrid NICEGUI_STORAGE_PATH=/var/cache/campusgrid
"""


def gateway(program: Path, config: Path, folder: Path) -> str:
    """Return the unit of a gateway whose database lies in *folder*."""
    command = f"{program} gateway run --config {config}\nExecReload=/bin/kill -HUP $MAINPID"  # reads the roster again
    return _service("campusgrid gateway", command, [folder], " mosquitto.service")


def ledger_node(program: Path, config: Path, folder: Path) -> str:
    """Return the unit of a ledger node that keeps its data in *folder*; a reload reads part of node.toml again."""
    command = f"{program} ledger run --config {config}"
    return _service("campusgrid ledger node", command, [folder], "", "ExecReload=/bin/kill -HUP $MAINPID\n")


def backup(program: Path, config: Path, folders: Sequence[Path]) -> str:
    """Return the unit that makes one backup; it writes *folders*: the database's, for its work, and the backups'."""
    return f"""\
{_MARK}[Unit]
Description=campusgrid gateway backup, restored on trial
RequiresMountsFor={_paths(folders)}

[Service]
Type=oneshot
User={USER}
Group={USER}
ExecStart={program} gateway backup --config {config}
TimeoutStartSec=6h
Nice=19
IOSchedulingClass=idle
ReadWritePaths={_paths(folders)}
{_HARDENING}"""


def backup_timer() -> str:
    """Return the timer of the backup: every night, or when the machine is up again."""
    return f"""\
{_MARK}[Unit]
Description=campusgrid gateway backup every night

[Timer]
OnCalendar=*-*-* 02:30:00
RandomizedDelaySec=15min
Persistent=yes

[Install]
WantedBy=timers.target
"""


def _service(description: str, command: str, folders: Sequence[Path], after: str, reload: str = "") -> str:
    return f"""\
{_MARK}[Unit]
Description={description}
Wants=network-online.target
After=network-online.target time-sync.target{after}
RequiresMountsFor={_paths(folders)}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User={USER}
Group={USER}
ExecStart={command}
{reload}WorkingDirectory={folders[0]}
Restart=always
RestartSec=5
WatchdogSec=60
TimeoutStartSec=1h
TimeoutStopSec=30
ReadWritePaths={_paths(folders)}
{_HARDENING}
[Install]
WantedBy=multi-user.target
"""


def _paths(folders: Sequence[Path]) -> str:
    return " ".join(str(folder) for folder in folders)
