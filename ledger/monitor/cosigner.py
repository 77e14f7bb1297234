"""A witness's service (c2sp.org/tlog-witness): `POST /add-checkpoint`, cosigned if it continues what is remembered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import Response

from ledger import checkpoint
from ledger.checkpoint import SignatureType, VerifierKey
from ledger.errors import MalformedError
from ledger.keys import PrivateKey
from ledger.monitor import witness
from ledger.monitor.fork import SignedCheckpoint
from ledger.monitor.memory import ForkFoundError, UnusableMemoryError, WitnessMemory
from ledger.monitor.watcher import Signers
from ledger.monitor.witness import MAX_REQUEST_BYTES, Submission, Verdict
from ledger.policy import PolicyRefusedError

PLAIN: Final = "text/plain; charset=utf-8"
SIZE: Final = "text/x.tlog.size"

log = structlog.get_logger("witness")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, body, what the body is."""

    status: HTTPStatus
    body: str
    kind: str = PLAIN


@dataclass(frozen=True, slots=True)
class Cosigner:
    """Cosigns the log *origin* under *name*, once *signers* have signed, as *memory* allows."""

    origin: str
    signers: Signers
    memory: WitnessMemory
    name: str
    key: PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        """The key that others check the cosignatures with."""
        return VerifierKey(self.name, SignatureType.COSIGNATURE, self.key.public_key)

    def add(self, body: bytes) -> Answer:
        """Return the answer to an add-checkpoint request; what is cosigned is remembered before."""
        try:
            asked = witness.parse_submission(body)
        except MalformedError as error:
            return Answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
        note = asked.signed.checkpoint
        if note.origin != self.origin:
            return Answer(HTTPStatus.NOT_FOUND, f"unknown log {note.origin!r}: this witness knows {self.origin!r}\n")
        try:
            self.signers.policy(note.size).check(note, asked.signed.lines)
        except PolicyRefusedError as error:
            return Answer(HTTPStatus.FORBIDDEN, f"invalid signature: {error}\n")
        if asked.old_size > note.size:
            return Answer(HTTPStatus.BAD_REQUEST, "the old size is beyond the checkpoint's\n")
        with self.memory.lock:
            return self._take(asked)

    def cosign(self, signed: SignedCheckpoint) -> str:
        """Return this witness's cosignature over what is remembered already, as a line of a note."""
        return str(checkpoint.cosign(signed.checkpoint, self.name, self.key, int(time.time())))

    def _take(self, asked: Submission) -> Answer:
        remembered = self.memory.remembered
        old, note = remembered.checkpoint if remembered else None, asked.signed.checkpoint
        known = old.size if old else 0
        try:
            self.memory.require_no_fork()
            if remembered is not None and (found := witness.find_fork(remembered, asked.signed, ())) is not None:
                self.memory.keep_fork(found)
        except ForkFoundError as error:
            log.critical("fork", reason=str(error))
            return Answer(HTTPStatus.CONFLICT, f"{known}\n", SIZE)
        if asked.old_size != known:
            return Answer(HTTPStatus.CONFLICT, f"{known}\n", SIZE)
        match witness.judge(old, note, asked.path):
            case Verdict.NEWER:
                try:
                    self.memory.remember(asked.signed)
                except UnusableMemoryError as error:  # what is not remembered must not be cosigned
                    log.critical("memory", reason=str(error))
                    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "this witness cannot remember: ask again later\n")
            case Verdict.SAME:
                pass
            case _:
                return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "the consistency proof does not verify\n")
        return Answer(HTTPStatus.OK, self.cosign(asked.signed))


def make_app(cosigner: Cosigner) -> FastAPI:
    """Return the service."""
    app = FastAPI(title="campusgrid witness", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_REQUEST_BYTES:
                return Response("the request is too long\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        answer = await asyncio.to_thread(cosigner.add, bytes(body))
        return Response(answer.body, answer.status, {"Content-Type": answer.kind})

    return app
