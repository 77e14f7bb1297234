"""The kernel is there before the first clearing, and a cache that fails costs time only."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.market import clearing
from ledger.market.book import Order, Side

SOURCE = """
from ledger.market.clearing import _kernel

@_kernel("int64(int64)")
def double(value):
    return 2 * value
"""


def load_kernel(path: Path) -> Callable[[int], int]:
    spec = importlib.util.spec_from_file_location("tiny_kernel", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.double  # type: ignore[no-any-return]


def test_no_clearing_compiles_anything() -> None:
    compiled = list(clearing._clear.overloads)  # type: ignore[attr-defined]
    assert len(compiled) == 1
    clearing.warm()
    clearing.clear([Order("b", "a", Side.BUY, 2, 1, 1), Order("s", "c", Side.SELL, 1, 1, 2)])
    assert list(clearing._clear.overloads) == compiled  # type: ignore[attr-defined]


def test_a_second_start_loads_what_the_first_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny_kernel.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "cache"))
    assert load_kernel(path)(21) == 42
    again = load_kernel(path)
    assert sum(again.stats.cache_hits.values()) == 1  # type: ignore[attr-defined]
    assert again(21) == 42


def test_without_a_cache_directory_the_kernel_still_works(caplog: pytest.LogCaptureFixture) -> None:
    scope: dict[str, Callable[[int], int]] = {}
    with caplog.at_level(logging.WARNING):
        exec(SOURCE, scope)  # numba finds no place for the cache of a function without a file
    assert scope["double"](21) == 42
    assert "without numba's cache" in caplog.text


@pytest.mark.parametrize("kept", [0, 10, -20])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_cache_torn_by_a_power_cut_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, kept: int
) -> None:
    path = tmp_path / "tiny_kernel.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "cache"))
    load_kernel(path)
    (torn,) = (tmp_path / "cache").rglob(f"*.{suffix}")
    torn.write_bytes(torn.read_bytes()[:kept])
    assert load_kernel(path)(21) == 42
