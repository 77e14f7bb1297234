"""What can be said of a transaction without the state: decoded, its call looked up, its arguments held against it."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import transaction
from ledger.codes import Refusal
from ledger.modules import find_call
from ledger.modules.module import CallDefinition
from ledger.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decoded transaction with what its call is, or why there is none such; `misfit` is why the arguments do not fit.

    `readings` are the signed readings among the arguments, `signature_count` all signatures that are to be checked.
    Of a call that does not exist or fit nothing is checked but the transaction's own signature.
    """

    transaction: Transaction
    definition: CallDefinition | Refusal
    misfit: Refusal | None
    readings: tuple[bytes, ...]
    signature_count: int


def prepare(raw: bytes) -> Prepared:
    """Return what can be said of the transaction that *raw* canonically encodes; raises MalformedError."""
    decoded = transaction.decode(raw)
    call = decoded.call
    definition = find_call(call.module, call.function)
    if isinstance(definition, Refusal):
        return Prepared(decoded, definition, None, (), 1)
    misfit = definition.check(call.arguments)
    if misfit is not None:
        return Prepared(decoded, definition, misfit, (), 1)
    readings = tuple(definition.signatures(call.arguments))
    return Prepared(decoded, definition, None, readings, 1 + definition.count_signatures(call.arguments))
