"""A real mosquitto with TLS and a password on a free loopback port, with a throw-away CA."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Self

from hil.ports import free_port
from provisioning.certificates import Certificate, issue, make_authority
from provisioning.toolchain.mosquitto import find_mosquitto, find_mosquitto_passwd

START_LIMIT_S = 15


class Broker:
    """`start` and `kill` it as often as needed; everything lies in *folder*. The one user is `meter`, `secret`.

    *options* are further lines of mosquitto.conf; *access* is an access list, by which else everything is allowed.
    """

    def __init__(
        self, folder: Path, hosts: tuple[str, ...] = ("127.0.0.1",), options: str = "", access: str = ""
    ) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.authority: Certificate = make_authority("throw-away")
        server = issue(self.authority, "broker", hosts)
        (folder / "ca.crt").write_bytes(self.authority.certificate_pem)
        (folder / "server.crt").write_bytes(server.certificate_pem)
        (folder / "server.key").write_bytes(server.key_pem)
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwords\n"
            f"cafile {folder}/ca.crt\ncertfile {folder}/server.crt\nkeyfile {folder}/server.key\n"
            "persistence false\nuser root\n" + options
        )
        if access:
            self.allow(access)
            with (folder / "mosquitto.conf").open("a") as configuration:
                configuration.write(f"acl_file {folder}/acl\n")
        subprocess.run([find_mosquitto_passwd(), "-b", "-c", folder / "passwords", "meter", "secret"], check=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def ca(self) -> Path:
        """The certificate of the CA."""
        return self.folder / "ca.crt"

    def start(self) -> None:
        """Start mosquitto and wait until it answers with TLS."""
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([find_mosquitto(), "-c", self.folder / "mosquitto.conf"], stderr=log)
        wait_for_port(self.port, self.ca)

    @property
    def log(self) -> str:
        """What mosquitto wrote so far."""
        return (self.folder / "mosquitto.log").read_text()

    def allow(self, access: str) -> None:
        """Let *access* be the access list from now on."""
        (self.folder / "acl").write_text(access)
        if self._process:
            self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End mosquitto with SIGKILL."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """End mosquitto in order: it publishes every will that it still holds."""
        assert self._process
        self._process.terminate()
        self._process.wait(START_LIMIT_S)
        self._process = None

    def freeze(self) -> None:
        """Stop mosquitto in its tracks: connections stay open and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let mosquitto go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)


def wait_for_port(port: int, ca: Path) -> None:
    """Wait until a broker whose certificate *ca* vouches for answers on the loopback."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    limit = time.monotonic() + START_LIMIT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as plain, context.wrap_socket(plain):
                return
        except OSError:
            assert time.monotonic() < limit, "mosquitto does not answer"
            time.sleep(0.05)
