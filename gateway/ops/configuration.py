"""`campusgrid gateway config`: what a gateway.toml says, and a commented one to start from."""

from __future__ import annotations

from gateway.genesis import read_genesis
from gateway.intake.mqtt import make_tls_context
from gateway.roster import read_roster
from gateway.settings import GatewaySettings, read_key


def check_files(settings: GatewaySettings) -> int:
    """Read every file that *settings* name and return the number of enrolled meters; raises SettingsError."""
    read_genesis(settings)
    read_key(settings.receipt_key)
    read_key(settings.ledger.key)
    settings.broker.read_password()
    make_tls_context(settings.broker)
    return len(read_roster(settings.roster))
