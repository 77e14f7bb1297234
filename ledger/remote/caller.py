"""A call as a person writes it at the command line: read by the call's declaration, signed, sent, and waited for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ledger.api.resources import Receipt
from ledger.codes import Refusal
from ledger.errors import LedgerError
from ledger.modules import find_call
from ledger.node.settings import read_key
from ledger.remote.client import AccountClient, LedgerClient, NotFinalError
from ledger.transaction import ACCOUNT_ID_BYTES, Call


class CallError(LedgerError):
    """What was written is no call, or not final yet; the text says what to write or do."""


def read_call(name: str, written: Sequence[str]) -> Call:
    """Return the call that *name* (module.function) and arguments *written* as name=value say; raises CallError."""
    module, _, function = name.partition(".")
    definition = find_call(module, function)
    if isinstance(definition, Refusal):
        raise CallError(f"{definition.text}; `campusgrid ledger calls` lists them")
    given = dict(item.partition("=")[::2] for item in written)
    names = [label for label, _ in definition.arguments]
    if sorted(given) != sorted(names) or len(given) != len(written):
        raise CallError(f"{name} takes exactly: {', '.join(f'{label}=…' for label in names) or 'nothing'}")
    values: list[Any] = []
    for label, kind in definition.arguments:
        try:
            values.append(kind.parse(given[label]))
        except ValueError as error:
            raise CallError(f"{name}: {label} is {kind}, not {given[label][:40]!r}") from error
    refusal = definition.check(tuple(values))
    if refusal is not None:
        raise CallError(refusal.text)
    return Call(module, function, tuple(values))


async def send(call: Call, account: str, key: Path, url: str) -> dict[str, Any]:
    """Send *call* for *account* (hex), signed with the key in file *key*, to the node at *url*; return its receipt."""
    if re.fullmatch(f"[0-9a-f]{{{2 * ACCOUNT_ID_BYTES}}}", account) is None:
        raise CallError("give the sender's account with --account, 16 lower-case hex digits")
    private_key = read_key(key)
    async with LedgerClient([url]) as client:
        chain_id = (await client.status()).chain_id
        sender = AccountClient(client, chain_id, bytes.fromhex(account), private_key)
        try:
            receipt = await sender.call_and_wait(call.module, call.function, *call.arguments)
        except NotFinalError as error:
            id_ = error.transaction_id.hex()
            text = f"{error}; do not send it again, ask later: `curl {url.rstrip('/')}/v1/transactions/{id_}`"
            raise CallError(f"{text}; `campusgrid ledger why-stuck --url {url}` says what holds it up") from error
    shown: dict[str, Any] = TypeAdapter(Receipt).dump_python(receipt, mode="json")
    return shown
