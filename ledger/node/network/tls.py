"""TLS between nodes: both sides show a certificate of the campus CA, whose common name is the institution's.

That name binds a link to an authority of the chain. The certificate proves nothing else: whatever counts in consensus
is signed with the authority's keys on chain, so a certificate can be replaced at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import dataclass

from ledger.node.settings import SettingsError, TlsFiles


@dataclass(frozen=True, slots=True)
class Contexts:
    """What accepts links and what dials them; `digest` tells whether the files have changed since."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    digest: bytes


def load(files: TlsFiles) -> Contexts:
    """Read the three *files*; raises SettingsError."""
    try:
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in (files.ca, files.cert, files.key))).digest()
        server, client = (_context(files, side) for side in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"cannot use the TLS files {files.ca}, {files.cert}, {files.key}: {error}") from error
    return Contexts(server, client, digest)


def peer_name(writer: asyncio.StreamWriter) -> str:
    """Return the common name in the peer's certificate, which the campus CA signed; empty where there is not one."""
    subject = (writer.get_extra_info("peercert") or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if len(names) == 1 else ""


def _context(files: TlsFiles, side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(files.ca)
    context.load_cert_chain(files.cert, files.key)
    return context
