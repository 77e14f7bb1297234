"""An electricity meter on a pseudo terminal whose register moves with each answer, and who remembers what it told."""

from __future__ import annotations

from pathlib import Path

from tests.firmware.bench_meter import BenchMeter

IMPORT_KWH = 72
FIRST_WH = 100_000


class CountingMeter(BenchMeter):
    """`told_wh` are all values of the import register that anybody was ever told, each once."""

    def __init__(self, link: Path) -> None:
        super().__init__(link)
        self.told_wh: list[int] = []
        self._show(FIRST_WH)
        self.set_float(0, 230.0)
        self.mangle = self._count

    def _show(self, energy_wh: int) -> None:
        self._shown_wh = energy_wh
        self.set_float(IMPORT_KWH, energy_wh / 1000)

    def _count(self, request: bytes, answer: bytes) -> bytes:
        first, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
        if first <= IMPORT_KWH < first + count:
            self.told_wh.append(self._shown_wh)
            self._show(self._shown_wh + 1)
        return answer
