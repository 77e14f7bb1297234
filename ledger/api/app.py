"""The routes of the ledger's HTTP API. Handlers read in the chain's thread or the store's, never in the loop."""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ledger import checkpoint, keys
from ledger.api import proofs, resources, views
from ledger.api.problems import ProblemError, install, not_found
from ledger.codes import Refusal
from ledger.modules import describe_calls, describe_queries, find_query, meters
from ledger.modules.module import QueryDefinition
from ledger.node import status as node_status
from ledger.node.chain import Chain
from ledger.node.service import Admitted, Node
from ledger.node.store import Store
from ledger.transaction import MAX_TRANSACTION_BYTES

MAX_BODY_BYTES: Final = MAX_TRANSACTION_BYTES * 4 // 3 + 1024
MAX_HEIGHT: Final = 2**63 - 1
MAX_EPOCH: Final = 2**32 - 1


class SubmissionBody(BaseModel):
    """What a client posts: a transaction's envelope in base64."""

    model_config = ConfigDict(extra="forbid", strict=True)
    transaction: str


_SUBMISSION: Final = TypeAdapter(SubmissionBody)
Id = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Height = Annotated[int, Path(ge=0, le=MAX_HEIGHT)]
EpochNumber = Annotated[int, Path(ge=0, le=MAX_EPOCH)]


def make_app(node: Node) -> FastAPI:
    """Return the API of *node*."""
    app = FastAPI(title="campusgrid ledger", docs_url=None, redoc_url=None)
    install(app)
    for routes in (_chain_routes, _transaction_routes, _table_routes, _anchor_routes, _module_routes, _proof_routes):
        app.include_router(routes(node), prefix="/v1")
    return app


def _chain_routes(node: Node) -> APIRouter:
    router = APIRouter()

    @router.get("/status")
    async def read_status() -> resources.NodeStatus:
        return node_status.describe(node)

    @router.get("/blocks/{height}")
    async def read_block(height: Height) -> resources.BlockSummary:
        found = await node.disk.read(partial(Store.decided, height=height))
        if found is None:
            raise not_found("unknown_block", f"there is no block {height} here; the newest is {_newest(node)}")
        return views.show_block(found[0])

    @router.get("/authorities")
    async def read_authorities() -> resources.Authorities:
        members = node.driver.position.authorities
        origin = checkpoint.origin(node.genesis.chain_id)
        names = tuple(resources.AuthorityName(member.name, member.id) for member in members.members)
        return resources.Authorities(origin, tuple(map(str, checkpoint.verifier_keys(members, origin))), names)

    @router.get("/parameters")
    async def read_parameters() -> dict[str, Any]:
        return await node.ledger.run(lambda chain: views.show_parameters(chain.runtime.look(chain.state).parameters))

    return router


def _module_routes(node: Node) -> APIRouter:
    router = APIRouter()

    @router.get("/calls")
    async def list_calls() -> dict[str, list[dict[str, object]]]:
        return {"calls": describe_calls()}

    @router.get("/queries")
    async def list_queries() -> dict[str, list[dict[str, object]]]:
        return {"queries": describe_queries()}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> str:
        return await node.ledger.run(lambda chain: views.show_metrics(chain.runtime.look(chain.state)))

    @router.get("/queries/{module}/{name}")
    async def query(module: str, name: str, request: Request) -> dict[str, Any]:
        definition = find_query(module, name)
        if isinstance(definition, Refusal):
            raise not_found(definition.code.name.lower(), definition.text)
        arguments = _read_arguments(definition, request)
        return await node.ledger.run(lambda chain: _ask(chain, definition, arguments))

    return router


def _transaction_routes(node: Node) -> APIRouter:
    router = APIRouter()

    @router.post("/transactions", status_code=HTTPStatus.ACCEPTED)
    async def submit(request: Request) -> resources.Submission:
        raw = _decode_submission(await _read_body(request))
        answer = await node.admit(raw)
        if isinstance(answer, Admitted):
            return resources.Submission(answer.id, "pending")
        known = hashlib.sha256(raw).digest()  # submitted again after it became final: not an error
        if await node.disk.read(lambda store: store.result(known)) is not None:
            return resources.Submission(known, "final")
        code = answer.code.name.lower()
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, code, answer.text)

    @router.get("/transactions/{transaction_id}")
    async def read_transaction(transaction_id: Hash) -> resources.Receipt:
        wanted = bytes.fromhex(transaction_id)
        result = await node.disk.read(lambda store: store.result(wanted))
        if result is not None:
            return views.show_receipt(result)
        return resources.Receipt(wanted, "pending" if wanted in node.mempool else "unknown")

    return router


def _table_routes(node: Node) -> APIRouter:
    router = APIRouter()

    @router.get("/accounts/{account}")
    async def read_account(account: Id) -> resources.Account:
        wanted = bytes.fromhex(account)
        found = await node.ledger.run(
            lambda chain: views.show_account(chain.state, wanted, node.mempool.next_nonce(wanted, 0))
        )
        if found is None:
            raise not_found("unknown_account", f"there is no account {account}")
        return found

    @router.get("/meters")
    async def list_meters() -> dict[str, tuple[resources.Meter, ...]]:
        return {"meters": await node.ledger.run(lambda chain: views.show_meters(chain.state))}

    @router.get("/meters/{meter}")
    async def read_meter(meter: Id) -> resources.Meter:
        found = await node.ledger.run(lambda chain: views.show_meter(chain.state, bytes.fromhex(meter)))
        if found is None:
            raise not_found("unknown_meter", f"there is no meter {meter}")
        return found

    @router.get("/orders")
    async def list_orders(
        epoch: Annotated[int | None, Query(ge=0, le=MAX_EPOCH)] = None,
        account: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")] = None,
    ) -> dict[str, tuple[resources.Order, ...]]:
        owner = bytes.fromhex(account) if account else None
        return {"orders": await node.ledger.run(lambda chain: views.show_orders(chain.state, epoch, owner))}

    @router.get("/epochs/{number}")
    async def read_epoch(number: EpochNumber) -> resources.Epoch:
        return await _show_epoch(node, number)

    @router.get("/epochs")
    async def list_epochs(
        first: Annotated[int, Query(alias="from", ge=0, le=MAX_EPOCH)],
        last: Annotated[int, Query(alias="to", ge=0, le=MAX_EPOCH)],
    ) -> dict[str, list[resources.Epoch]]:
        numbers = await node.ledger.run(lambda chain: views.list_epochs(chain.state, first, last))
        return {"epochs": [await _show_epoch(node, number) for number in numbers]}

    @router.get("/supply")
    async def read_supply() -> resources.Supply:
        return await node.ledger.run(lambda chain: views.show_supply(chain.state))

    return router


def _anchor_routes(node: Node) -> APIRouter:
    router = APIRouter()

    @router.get("/anchors/{account}")
    async def read_anchors(account: Id) -> resources.AnchorHead:
        return await node.ledger.run(lambda chain: views.show_anchors(chain.state, bytes.fromhex(account)))

    return router


def _proof_routes(node: Node) -> APIRouter:
    router = APIRouter()

    @router.get("/checkpoint", response_class=PlainTextResponse)
    async def read_checkpoint() -> str:
        provable = node.cosigning.provable
        if provable is None:
            raise not_found("no_checkpoint", "no checkpoint has a quorum of cosignatures yet")
        own = checkpoint.sign_as_log(provable.checkpoint, node.log_key)
        return checkpoint.note(provable.checkpoint, (own, *provable.lines))

    @router.get("/proofs/settlements/{epoch}/{meter}", response_class=PlainTextResponse)
    async def read_proof(epoch: EpochNumber, meter: Id) -> Response:
        wanted = bytes.fromhex(meter)
        held = await node.ledger.run(lambda chain: meters.list_keys(chain.state, wanted))
        by_thumbprint = {keys.thumbprint(key.public_key): key.public_key for key in held}
        provable, log_key = node.cosigning.provable, node.log_key
        found = await node.disk.read(lambda store: proofs.prove(store, epoch, wanted, by_thumbprint, provable, log_key))
        if isinstance(found, bytes):
            return PlainTextResponse(found)
        if isinstance(found, proofs.NotProvable):
            text = f"the line of epoch {epoch} is final but not provable yet; ask again in a few seconds"
            raise ProblemError(HTTPStatus.CONFLICT, "not_provable_yet", text)
        raise not_found("unknown_line", f"there is no settlement line of epoch {epoch} and meter {meter}")

    @router.get("/proofs/transactions/{transaction_id}")
    async def read_receipt_proof(transaction_id: Hash) -> Response:
        wanted, provable, log_key = bytes.fromhex(transaction_id), node.cosigning.provable, node.log_key
        found = await node.disk.read(lambda store: proofs.prove_receipt(store, wanted, provable, log_key))
        if isinstance(found, bytes):
            return Response(found, media_type="application/cbor")
        if isinstance(found, proofs.NotProvable):
            text = f"transaction {transaction_id} is final but not provable yet; ask again in a few seconds"
            raise ProblemError(HTTPStatus.CONFLICT, "not_provable_yet", text)
        raise not_found("unknown_transaction", f"no block holds transaction {transaction_id}")

    return router


async def _show_epoch(node: Node, number: int) -> resources.Epoch:
    leaves = await node.disk.read(lambda store: store.settlement_leaves(number))
    lines = [views.show_line(leaf) for leaf in leaves]
    return await node.ledger.run(lambda chain: views.show_epoch(chain.runtime.look(chain.state), number, lines))


def _read_arguments(definition: QueryDefinition, request: Request) -> tuple[Any, ...]:
    """Return the arguments that the query string writes, by name."""
    given, names = dict(request.query_params), [name for name, _ in definition.arguments]
    if sorted(given) != sorted(names) or len(request.query_params.multi_items()) != len(names):
        text = f"{definition.module}.{definition.name} takes exactly: {', '.join(names) or 'nothing'}"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_arguments", text)
    try:
        return tuple(kind.parse(given[name]) for name, kind in definition.arguments)
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_arguments", str(error)) from error


def _ask(chain: Chain, definition: QueryDefinition, arguments: tuple[Any, ...]) -> dict[str, Any]:
    look = chain.runtime.look(chain.state)
    answer = definition.ask(look, arguments)
    if isinstance(answer, Refusal):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, answer.code.name.lower(), answer.text)
    return {"height": look.height, "result": views.show_answer(definition, answer)}


async def _read_body(request: Request) -> bytes:
    """Return the body; a longer one than any transaction is refused before it is read whole."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            text = f"a submission has at most {MAX_BODY_BYTES} bytes"
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", text)
    return bytes(body)


def _decode_submission(body: bytes) -> bytes:
    try:
        return base64.b64decode(_SUBMISSION.validate_json(body).transaction, validate=True)
    except (ValidationError, binascii.Error) as error:
        text = "the body is no submission: give an object with the one key `transaction`, base64 of an envelope"
        raise ProblemError(HTTPStatus.BAD_REQUEST, "bad_request", text) from error


def _newest(node: Node) -> int:
    return node.driver.position.header.height
