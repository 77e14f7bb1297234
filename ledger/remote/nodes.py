"""Requests to a ledger's nodes: any of them will do, and one that fails is left for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from ledger.api import resources
from ledger.errors import LedgerError

REQUEST_TIMEOUT_S: Final = 5.0
T = TypeVar("T")


class ClientError(LedgerError):
    """No node could answer; the text names the last one and why."""


class RefusedError(LedgerError):
    """A node understood the request and refused it; `code` says why and `status` is the HTTP status."""

    def __init__(self, problem: resources.Problem) -> None:
        super().__init__(f"{problem.detail} ({problem.code})")
        self.code = problem.code
        self.status = problem.status


class Nodes:
    """The nodes at *urls*; the first one that answers is asked until it fails. Keep one instance and `close` it."""

    def __init__(self, urls: Sequence[str]) -> None:
        if not urls:
            raise ClientError("the ledger client needs the URL of at least one node")
        self.urls = [url.rstrip("/") for url in urls]
        self._current = 0
        self._http = httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def node(self) -> str:
        """The node that is asked first."""
        return self.urls[self._current]

    def leave_node(self, node: str) -> None:
        """Ask the next node from now on, unless *node* was left already: it answered what does not hold."""
        if node == self.node:
            self._current = (self._current + 1) % len(self.urls)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the first good answer; raises RefusedError where a node refuses, ClientError where none answers."""
        fault = ""
        for _ in self.urls:
            url = self.urls[self._current]
            try:
                response = await self._http.request(method, url + path, **options)
                if response.status_code < 500 and response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                    return _accepted(response)
                fault = f"{url} answered {response.status_code}"
            except (httpx.TransportError, ClientError) as error:
                fault = f"{url}: {str(error) or type(error).__name__}"
            self.leave_node(url)
        raise ClientError(f"no ledger node answered {method} {path}; the last one tried, {fault}")


def _accepted(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    raise RefusedError(parse(resources.Problem, response))


def parse(kind: type[T], response: httpx.Response, member: str | None = None) -> T:
    """Return the answer, or its *member*, as *kind*; raises ClientError where it is none."""
    try:
        values = response.json()
        return TypeAdapter(kind).validate_python(values[member] if member else values)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ClientError(f"{response.url} did not answer as a ledger node does: {error}") from error
