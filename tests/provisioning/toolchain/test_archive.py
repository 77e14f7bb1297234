"""Packages are taken only from an archive that Debian's key signs; what another signs is left aside."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provisioning.toolchain import archive, sources
from provisioning.toolchain.cache import CACHE
from provisioning.toolchain.errors import ToolchainError

PACKAGES = f"Package: mosquitto\nVersion: 99\nArchitecture: all\nFilename: x.deb\nSize: 1\nSHA256: {0:064d}\n"
RELEASE = """\
Origin: Debian
Suite: bookworm
Codename: bookworm
Date: Fri, 01 Jan 2021 00:00:00 UTC
Architectures: amd64 arm64
Components: main
SHA256:
"""


class Quiet(SimpleHTTPRequestHandler):
    """A file server that does not write to the test's output."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def unsigned_mirror(tmp_path: Path) -> Iterator[str]:
    """Serve an archive that calls itself Debian and has no signature; return its address."""
    release = RELEASE
    for architecture in ("amd64", "arm64"):
        index = f"main/binary-{architecture}/Packages"
        path = tmp_path / "dists/bookworm" / index
        path.parent.mkdir(parents=True)
        path.write_text(PACKAGES)
        release += f" {hashlib.sha256(PACKAGES.encode()).hexdigest()} {len(PACKAGES)} {index}\n"
    (tmp_path / "dists/bookworm/Release").write_text(release)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_archive_that_debian_did_not_sign_is_refused(unsigned_mirror: str) -> None:
    found = sources.signed_by_debian(sources.parse_one_line(f"deb {unsigned_mirror} bookworm main"))
    with pytest.raises(ToolchainError, match="not signed"), archive.opened(found):
        pytest.fail("an unsigned archive was opened")


def test_an_archive_out_of_reach_is_named_with_what_to_do() -> None:
    found = sources.signed_by_debian(sources.parse_one_line("deb http://127.0.0.1:9 bookworm main"))
    with pytest.raises(ToolchainError, match=r"http://127\.0\.0\.1:9 bookworm failed: .* Check the network"):  # noqa: SIM117
        with archive.opened(found):
            pytest.fail("an archive out of reach was opened")


def test_nothing_of_a_failed_attempt_is_left(unsigned_mirror: str) -> None:
    found = sources.signed_by_debian(sources.parse_one_line(f"deb {unsigned_mirror} bookworm main"))
    with pytest.raises(ToolchainError), archive.opened(found):
        pytest.fail("an unsigned archive was opened")
    assert list(CACHE.glob("apt-*")) == []
