"""The socket under the client loses and reorders nothing, however little the peer reads."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.intake.tls_socket import MAX_UNSENT_BYTES, BufferedTlsSocket
from provisioning import certificates
from tests.gateway.plant import BOUND_S


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[BufferedTlsSocket, ssl.SSLSocket]]:
    """Yield the client's end, not blocking, and the broker's end of a connection with small system buffers."""
    authority = certificates.make_authority("test")
    issued = certificates.issue(authority, "broker", ("127.0.0.1",))
    (tmp_path / "server.pem").write_bytes(issued.certificate_pem + issued.key_pem)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client.sslsocket_class = BufferedTlsSocket
    near, far = socket.socketpair()
    for one in (near, far):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        one.settimeout(BOUND_S)
    wrapped = client.wrap_socket(near, server_hostname="127.0.0.1", do_handshake_on_connect=False)
    accepted = server.wrap_socket(far, server_side=True, do_handshake_on_connect=False)
    assert isinstance(wrapped, BufferedTlsSocket)
    _shake_hands(wrapped, accepted)
    with contextlib.closing(wrapped), contextlib.closing(accepted):
        yield wrapped, accepted


def _shake_hands(near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
    near.setblocking(False)
    far.setblocking(False)
    waiting = [near, far]
    while waiting:
        for end in list(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
    far.settimeout(BOUND_S)


def test_what_is_sent_goes_out_with_the_flush_in_one_record(ends: tuple[BufferedTlsSocket, ssl.SSLSocket]) -> None:
    near, far = ends
    for number in range(100):
        assert near.send(bytes([number]) * 4) == 4
    assert not select.select([far], [], [], 0)[0]
    near.flush()
    assert far.recv(1000) == b"".join(bytes([number]) * 4 for number in range(100))


def test_a_peer_that_does_not_read_bounds_what_is_collected_and_later_gets_all(
    ends: tuple[BufferedTlsSocket, ssl.SSLSocket],
) -> None:
    near, far = ends
    sent = bytearray()
    with pytest.raises(ssl.SSLWantWriteError):
        while len(sent) < 10 * MAX_UNSENT_BYTES:
            sent += bytes([len(sent) // 1000 % 256]) * near.send(bytes([len(sent) // 1000 % 256]) * 1000)
    assert len(sent) < 4 * MAX_UNSENT_BYTES
    received = bytearray()
    far.setblocking(False)
    deadline = time.monotonic() + BOUND_S
    while len(received) < len(sent):
        assert time.monotonic() < deadline
        near.flush()
        with contextlib.suppress(ssl.SSLWantReadError):  # the record's other half is still to be flushed
            received += far.recv(65536)
    assert received == sent
    assert not near.has_unsent


def test_the_client_receives_what_it_is_given_and_then_waits_until_the_end(
    ends: tuple[BufferedTlsSocket, ssl.SSLSocket],
) -> None:
    near, far = ends
    near.give(b"abc")
    assert (near.recv(1), near.recv(10)) == (b"a", b"bc")
    with pytest.raises(ssl.SSLWantReadError):
        near.recv(1)
    far.sendall(b"def")
    select.select([near], [], [], BOUND_S)
    assert near.receive() == b"def"
    with pytest.raises(ssl.SSLWantReadError):
        near.recv(1)
    far.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):  # says goodbye, and does not wait for the answer
        far.unwrap()
    select.select([near], [], [], BOUND_S)
    assert near.receive() == b""
    assert near.recv(1) == b""


def test_closing_sends_what_was_collected(ends: tuple[BufferedTlsSocket, ssl.SSLSocket]) -> None:
    near, far = ends
    near.send(b"goodbye")
    near.close()
    assert far.recv(100) == b"goodbye"
