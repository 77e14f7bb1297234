"""A Modbus RTU slave on a pseudo terminal, in a thread: holds input registers, misbehaves when told to."""

from __future__ import annotations

import os
import select
import struct
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Self

from pymodbus.framer import FramerRTU

REQUEST_BYTES = 8
Answer = Callable[[bytes, bytes], bytes]
"""(request, proper answer) -> what is sent instead."""


class BenchMeter:
    """`path` is its tty; `set_float` sets a register pair; `mangle`, when set, replaces each proper answer."""

    def __init__(self, link: Path) -> None:
        self.words: dict[int, int] = {}
        self.mangle: Answer | None = None
        self.requests: list[bytes] = []
        self.request_times: list[float] = []
        self._master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = link
        link.symlink_to(os.ttyname(self.slave))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        os.close(self._master)
        os.close(self.slave)
        self.path.unlink()

    def set_float(self, address: int, value: float) -> None:
        """Put *value* into the register pair at *address*."""
        self.words[address], self.words[address + 1] = struct.unpack(">HH", struct.pack(">f", value))

    def send(self, data: bytes) -> None:
        """Put *data* on the line without being asked."""
        os.write(self._master, data)

    def _serve(self) -> None:
        request = b""
        while not self._stopped.is_set():
            ready, _, _ = select.select([self._master], [], [], 0.02)
            if not ready:
                request = b""  # a silent line ends a frame
                continue
            request += os.read(self._master, 256)
            while len(request) >= REQUEST_BYTES:
                self._answer(request[:REQUEST_BYTES])
                request = request[REQUEST_BYTES:]

    def _answer(self, request: bytes) -> None:
        self.requests.append(request)
        self.request_times.append(time.time())
        slave, function, address, count = struct.unpack(">BBHH", request[:6])
        words = [self.words.get(place, 0) for place in range(address, address + count)]
        answer = with_crc(struct.pack(f">BBB{count}H", slave, function, 2 * count, *words))
        if self.mangle:
            answer = self.mangle(request, answer)
        os.write(self._master, answer)


def with_crc(body: bytes) -> bytes:
    """Return *body* with its CRC as pymodbus computes it."""
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")
