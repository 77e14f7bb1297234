"""The typed client of the ledger's HTTP API: any node will do, and a node that fails is left for the next one."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from ledger import cbor, keys, transaction, viewing_pass
from ledger.api import resources
from ledger.api.block_result import BlockResult
from ledger.api.condition import Condition, Health
from ledger.errors import LedgerError
from ledger.remote.following import follow_events
from ledger.remote.nodes import ClientError, Nodes, RefusedError, parse

__all__ = ["AccountClient", "ClientError", "LedgerClient", "NotFinalError", "RefusedError", "ViewingKey"]

FIRST_POLL_S: Final = 0.02
MAX_POLL_S: Final = 1.0
MAX_REMEMBERED_TRANSACTIONS: Final = 1000
VALIDITY_BLOCKS: Final = 1000
HEIGHT_REFRESH_S: Final = 30.0
PASS_VALID_S: Final = 600


class NotFinalError(LedgerError):
    """A transaction was not final in time; it may become so later. `transaction_id` is its id."""

    def __init__(self, transaction_id: bytes, status: str, waited_s: float) -> None:
        super().__init__(f"transaction {transaction_id.hex()} is {status} after {waited_s:g} s")
        self.transaction_id = transaction_id


@dataclass(frozen=True, slots=True)
class ViewingKey:
    """An account whose intervals, and whatever else its role lets it see, a client wants to see; and its key."""

    account: bytes
    key: keys.PrivateKey


class LedgerClient(Nodes):
    """Reads from, and submits to, the first node of *urls* that answers; keep one instance and `close` it."""

    def __init__(self, urls: Sequence[str], viewer: ViewingKey | None = None) -> None:
        """Ask *urls*, with passes of *viewer*: without, intervals may stay hidden (see `ledger.viewing_pass`)."""
        super().__init__(urls)
        self._viewer = viewer
        self._pass = ""
        self._pass_until_s = 0.0
        self._sent: OrderedDict[bytes, bytes] = OrderedDict()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the first good answer, having shown a pass; see `Nodes.request`."""
        return await super().request(method, path, headers=await self._authorize(), **options)

    async def _authorize(self) -> dict[str, str]:
        if self._viewer is None:
            return {}
        if self._pass_until_s - PASS_VALID_S / 2 < time.time():
            until_s = int(time.time()) + PASS_VALID_S
            chain_id = parse(resources.NodeStatus, await super().request("GET", "/v1/status")).chain_id
            self._pass = viewing_pass.write(chain_id, self._viewer.account, until_s, self._viewer.key)
            self._pass_until_s = until_s
        return {"authorization": self._pass}

    async def submit(self, raw: bytes) -> bytes:
        """Submit an encoded transaction and return its 32-byte id; raises RefusedError with the node's code."""
        body = {"transaction": base64.b64encode(raw).decode()}
        answer = parse(resources.Submission, await self.request("POST", "/v1/transactions", json=body))
        self._sent[answer.id] = raw
        if len(self._sent) > MAX_REMEMBERED_TRANSACTIONS:
            self._sent.popitem(last=False)
        return answer.id

    async def submit_all(self, raws: Sequence[bytes]) -> tuple[resources.BulkAnswer, ...]:
        """Submit up to 500 encoded transactions (512 KiB) at once and return what became of each, in their order."""
        body = {"transactions": [base64.b64encode(raw).decode() for raw in raws]}
        return parse(resources.BulkSubmission, await self.request("POST", "/v1/transactions/bulk", json=body)).answers

    async def dry_run(self, raw: bytes) -> resources.DryRun:
        """Return what an encoded transaction would do now; nothing of it is kept. Raises RefusedError as `submit`."""
        body = {"transaction": base64.b64encode(raw).decode()}
        return parse(resources.DryRun, await self.request("POST", "/v1/transactions/dry-run", json=body))

    async def receipt(self, transaction_id: bytes) -> resources.Receipt:
        """Return what is known of a transaction."""
        return parse(resources.Receipt, await self.request("GET", f"/v1/transactions/{transaction_id.hex()}"))

    async def wait_final(self, transaction_id: bytes, timeout_s: float = 30.0) -> resources.Receipt:
        """Return the receipt once the transaction is final; raises NotFinalError after *timeout_s*.

        A transaction that went through this client and that the asked node does not know is submitted to it again.
        """
        deadline, pause_s = time.monotonic() + timeout_s, FIRST_POLL_S
        while True:
            found = await self.receipt(transaction_id)
            if found.status == "final":
                self._sent.pop(transaction_id, None)
                return found
            if time.monotonic() + pause_s > deadline:
                raise NotFinalError(transaction_id, found.status, timeout_s)
            if found.status == "unknown" and transaction_id in self._sent:
                await self.submit(self._sent[transaction_id])
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, MAX_POLL_S)

    async def status(self) -> resources.NodeStatus:
        """Return the answering node's status."""
        return parse(resources.NodeStatus, await self.request("GET", "/v1/status"))

    async def health(self) -> Health:
        """Return how the answering node and its chain are."""
        return parse(Health, await self.request("GET", "/v1/health"))

    async def results(self, height: int) -> tuple[BlockResult, ...]:
        """Return what the answering node, and proposers whose blocks it refused, computed at *height* of late."""
        answer = await self.request("GET", f"/v1/blocks/{height}/results")
        return parse(tuple[BlockResult, ...], answer, "results")

    async def condition(self) -> Condition:
        """Return what may keep the answering node from deciding its next block."""
        return parse(Condition, await self.request("GET", "/v1/condition"))

    async def block(self, height: int) -> resources.BlockSummary:
        """Return the final block of *height*."""
        return parse(resources.BlockSummary, await self.request("GET", f"/v1/blocks/{height}"))

    async def block_by_id(self, block_id: bytes) -> resources.BlockSummary:
        """Return the final block with this id."""
        return parse(resources.BlockSummary, await self.request("GET", f"/v1/blocks/by-id/{block_id.hex()}"))

    async def heads(self, first: int, limit: int = 100) -> tuple[resources.Head, ...]:
        """Return the final blocks from height *first* on, in few words, at most *limit* (up to 100)."""
        query = {"from": first, "limit": limit}
        return parse(tuple[resources.Head, ...], await self.request("GET", "/v1/blocks", params=query), "blocks")

    async def events(
        self,
        after: str = "0.0",
        limit: int = 100,
        *,
        module: str | None = None,
        name: str | None = None,
        account: bytes | None = None,
    ) -> resources.EventPage:
        """Return events behind the cursor *after*: of a module, of a name, with an account or meter in their values."""
        query = {"after": after, "limit": limit, **_wanted(module, name, account)}
        return parse(resources.EventPage, await self.request("GET", "/v1/events", params=query))

    def follow(
        self,
        after: str | None = None,
        *,
        module: str | None = None,
        name: str | None = None,
        account: bytes | None = None,
    ) -> AsyncIterator[resources.PlacedEvent]:
        """Yield events for ever, each once, from the cursor *after* (None: now) on, whichever nodes fail meanwhile.

        Keep the `cursor` of the last event that you are done with, to go on behind it after a restart.
        """
        return follow_events(self.urls, after, _wanted(module, name, account), self._authorize)

    async def account(self, account_id: bytes) -> resources.Account:
        """Return an account."""
        return parse(resources.Account, await self.request("GET", f"/v1/accounts/{account_id.hex()}"))

    async def meter(self, meter_id: bytes) -> resources.Meter:
        """Return a meter."""
        return parse(resources.Meter, await self.request("GET", f"/v1/meters/{meter_id.hex()}"))

    async def meters(self) -> tuple[resources.Meter, ...]:
        """Return all meters, ascending by id."""
        found: list[resources.Meter] = []
        while True:
            query = {"after": found[-1].meter_id.hex()} if found else {}
            page = parse(resources.MeterPage, await self.request("GET", "/v1/meters", params=query))
            found += page.meters
            if not page.more:
                return tuple(found)

    async def anchors(self, gateway: bytes) -> resources.AnchorHead:
        """Return where the chain of anchors of account *gateway* stands."""
        return parse(resources.AnchorHead, await self.request("GET", f"/v1/anchors/{gateway.hex()}"))

    async def orders(self, epoch: int | None = None, account: bytes | None = None) -> tuple[resources.Order, ...]:
        """Return the orders of an epoch, of an account, or both."""
        query = {"epoch": epoch, "account": account and account.hex()}
        wanted = {name: value for name, value in query.items() if value is not None}
        return parse(tuple[resources.Order, ...], await self.request("GET", "/v1/orders", params=wanted), "orders")

    async def epoch(self, number: int) -> resources.Epoch:
        """Return a delivery epoch: phase, clearing result and, once settled, its lines."""
        return parse(resources.Epoch, await self.request("GET", f"/v1/epochs/{number}"))

    async def epochs(self, first: int, last: int) -> tuple[resources.Epoch, ...]:
        """Return the delivery epochs *first* to *last* (both included) that the ledger knows."""
        found: list[resources.Epoch] = []
        while True:
            query = {"from": first, "to": last}
            page = parse(resources.EpochPage, await self.request("GET", "/v1/epochs", params=query))
            found += page.epochs
            if not page.more or not page.epochs:
                return tuple(found)
            first = page.epochs[-1].epoch + 1

    async def supply(self) -> resources.Supply:
        """Return the totals and whether they are conserved."""
        return parse(resources.Supply, await self.request("GET", "/v1/supply"))

    async def parameters(self) -> dict[str, Any]:
        """Return the parameters in force by name."""
        return parse(dict[str, Any], await self.request("GET", "/v1/parameters"))

    async def query(self, module: str, name: str, **arguments: bytes | int | str | bool) -> Any:
        """Return the answer of the query `module.name` (`campusgrid ledger calls` lists them) as JSON has it."""
        written = {key: _write(value) for key, value in arguments.items()}
        return parse(Any, await self.request("GET", _query_path(module, name), params=written), "result")

    async def calls(self) -> list[dict[str, Any]]:
        """Return every call of the modules: arguments, roles, purpose."""
        return parse(list[dict[str, Any]], await self.request("GET", "/v1/calls"), "calls")

    async def queries(self) -> list[dict[str, Any]]:
        """Return every query of the modules: arguments, purpose."""
        return parse(list[dict[str, Any]], await self.request("GET", "/v1/queries"), "queries")

    async def metrics(self) -> str:
        """Return the node's metrics in Prometheus' text form."""
        return (await self.request("GET", "/v1/metrics")).text

    async def authorities(self) -> resources.Authorities:
        """Return the set in force and its verifier keys."""
        return parse(resources.Authorities, await self.request("GET", "/v1/authorities"))

    async def checkpoint(self) -> str:
        """Return the newest provable checkpoint as a C2SP signed note."""
        return (await self.request("GET", "/v1/checkpoint")).text

    async def handovers(self) -> bytes:
        """Return the file of all hand-over certificates, oldest first (`ledger.handover`)."""
        return (await self.request("GET", "/v1/handovers")).content

    async def proof(self, epoch: int, meter_id: bytes, line: int = 0, *, witnesses: bool = False) -> bytes:
        """Return the proof file of a meter's settlement line; raises RefusedError (status 409: not provable yet).

        Where energy of the epoch was booked late or corrected there are more lines than one; they count from 0. With
        *witnesses*, on a checkpoint that outside witnesses have cosigned, too.
        """
        path = f"/v1/proofs/settlements/{epoch}/{meter_id.hex()}"
        return (await self.request("GET", path, params={"line": str(line)} | _witnessed(witnesses))).content

    async def transaction_proof(self, transaction_id: bytes, *, witnesses: bool = False) -> bytes:
        """Return the proof of a final transaction, as `proof` does."""
        path = f"/v1/proofs/transactions/{transaction_id.hex()}"
        return (await self.request("GET", path, params=_witnessed(witnesses))).content

    async def fee_proof(self, height: int, order: bytes, *, witnesses: bool = False) -> bytes:
        """Return the proof of the fee that block *height* took for *order* as it rolled over, as `proof` does."""
        path = f"/v1/proofs/fees/{height}/{order.hex()}"
        return (await self.request("GET", path, params=_witnessed(witnesses))).content


class AccountClient:
    """Signs and submits one account's calls, with nonces that are right under concurrent calls and after refusals."""

    def __init__(self, client: LedgerClient, chain_id: bytes, account_id: bytes, key: keys.PrivateKey) -> None:
        self._client = client
        self._chain_id = chain_id
        self._account_id = account_id
        self._key = key
        self._lock = asyncio.Lock()
        self._nonce: int | None = None
        self._unfinal: dict[int, bytes] = {}
        self._height = 0
        self._refreshed_s = 0.0

    async def call(self, module: str, function: str, *arguments: cbor.Value) -> bytes:
        """Submit `module.function(arguments)` and return the transaction's id; raises RefusedError, ClientError."""
        return await self.submit(transaction.Call(module, function, arguments))

    async def submit(self, call: transaction.Call) -> bytes:
        """Submit *call* and return the transaction's id; a refusal of the nonce is retried once with a fresh one."""
        async with self._lock:
            fresh = await self._refresh_if_stale()
            try:
                return await self._send(call)
            except RefusedError as error:
                self._nonce = None
                if fresh or "nonce" not in error.code:
                    raise
            await self._refresh_if_stale()
            return await self._send(call)

    async def call_and_wait(self, module: str, function: str, *arguments: cbor.Value) -> resources.Receipt:
        """Submit a call and return its receipt once it is final."""
        return await self._client.wait_final(await self.call(module, function, *arguments))

    async def _send(self, call: transaction.Call) -> bytes:
        assert self._nonce is not None
        until = self._height + VALIDITY_BLOCKS
        raw = transaction.sign(self._chain_id, self._account_id, self._nonce, until, call, self._key)
        try:
            found = await self._client.submit(raw)
        except ClientError:
            self._nonce = None  # it may have reached a node or not: ask before the next one
            raise
        self._unfinal[self._nonce] = raw
        if len(self._unfinal) > MAX_REMEMBERED_TRANSACTIONS:
            del self._unfinal[min(self._unfinal)]
        self._nonce += 1
        return found

    async def _refresh_if_stale(self) -> bool:
        now_s = time.monotonic()
        if self._nonce is not None and now_s - self._refreshed_s < HEIGHT_REFRESH_S:
            return False
        account = await self._client.account(self._account_id)
        self._unfinal = {nonce: raw for nonce, raw in self._unfinal.items() if nonce >= account.nonce}
        if self._nonce is None:
            self._nonce = account.next_nonce
        for nonce in range(account.next_nonce, self._nonce):
            if nonce in self._unfinal:  # the node that took it may have died before it passed it on
                await self._client.submit(self._unfinal[nonce])
        self._height, self._refreshed_s = account.height, now_s
        return True


def _query_path(module: str, name: str) -> str:
    return f"/v1/queries/{quote(module, safe='')}/{quote(name, safe='')}"


def _write(value: bytes | int | str | bool) -> str:
    """Return an argument as a query string has it."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _witnessed(is_wanted: bool) -> dict[str, str]:
    return {"witnesses": "true"} if is_wanted else {}


def _wanted(module: str | None, name: str | None, account: bytes | None) -> dict[str, str]:
    given = {"module": module, "name": name, "account": None if account is None else account.hex()}
    return {key: value for key, value in given.items() if value is not None}
