"""The operator's way to the node on this machine: requests to the listener that [api] `operator` in node.toml names."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from ledger.api.sockets import reachable
from ledger.errors import LedgerError
from ledger.node.addresses import Address

REQUEST_TIMEOUT_S: Final = 30.0


class OperatorError(LedgerError):
    """The node does not answer its operator, or refuses; the text says why and what to do."""


def ask(listener: Address | Path, method: str, path: str, body: Any = None) -> Any:
    """Return the JSON answer to *method* /v1/operator/*path* with the JSON *body*; raises OperatorError.

    *listener* is `NodeSettings.operator` of the node.
    """
    with ExitStack() as opened:
        try:
            transport, base = None, f"http://{listener}"
            if isinstance(listener, Path):
                transport, base = httpx.HTTPTransport(uds=opened.enter_context(reachable(listener))), "http://localhost"
            client = opened.enter_context(
                httpx.Client(base_url=base, transport=transport, timeout=REQUEST_TIMEOUT_S, trust_env=False)
            )
            response = client.request(method, f"/v1/operator/{path}", json=body)
            answer = response.json()
        except (OSError, ValueError, httpx.HTTPError) as error:
            text = f"no node answers its operator on {listener} ({error}); start it, or run this as the node's user"
            raise OperatorError(text) from error
    if not response.is_success:
        raise OperatorError(f"{answer['detail']} ({answer['code']})")
    return answer
