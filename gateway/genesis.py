"""The ledger's genesis, as the gateway reads it: it names the ledger, and holds the parameters that both must share."""

from __future__ import annotations

from pathlib import Path

from gateway.errors import SettingsError
from gateway.settings import GatewaySettings
from ledger import genesis as genesis_file
from ledger.errors import LedgerError
from ledger.genesis import Genesis


def read_genesis(settings: GatewaySettings) -> Genesis:
    """Return the ledger's genesis; raises SettingsError if it is unusable or its epochs are not the gateway's."""
    genesis = load_genesis(settings.ledger.genesis)
    if genesis.parameters.epoch_s != settings.epoch_s:
        raise SettingsError(
            f"epoch_s is {settings.epoch_s} but the ledger's genesis has {genesis.parameters.epoch_s}; make them equal"
        )
    return genesis


def load_genesis(path: Path) -> Genesis:
    """Return the genesis in the file at *path*; raises SettingsError."""
    try:
        return genesis_file.load(path)
    except LedgerError as error:
        raise SettingsError(str(error)) from error
