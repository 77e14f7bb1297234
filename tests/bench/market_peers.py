"""Our clearing beside other market engines of Python, each in an environment of its own under .cache.

An engine that cannot be installed here, or does not end in its time, is reported as absent; it counts as nothing.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ledger.market.book import Order, Rule, SelfTrade, Side
from ledger.market.clearing import clear, warm
from tests.bench.measure import AbsentError, Row, at_most, unfinished
from tests.ledger.market.books import CASES, number, read_orders

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("peer_driver.py")
SIZES = {"1e3": 10**3, "1e4": 10**4}
RUNS = 3
INSTALL_LIMIT_S, CLEAR_LIMIT_S = 240, 90
RATIO_BAR = 1.0


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine, what pip installs of it, and its mechanisms; the first is timed, the best counts for the cases."""

    name: str
    requirements: tuple[str, ...]
    mechanisms: tuple[str, ...]


PEERS = (
    # its code is older than pandas 3 and numpy 2
    Peer("pymarket", ("pymarket==0.7.6", "pandas<3", "numpy<2"), ("huang", "muda", "p2p")),
    Peer("assume", ("assume-framework==0.6.0",), ("pay_as_clear",)),
)


def measure() -> Iterator[Row]:
    """Time each engine with the same books and count the hand-made cases that it clears right."""
    warm()
    for peer in PEERS:
        try:
            python = _install(peer)
        except AbsentError as error:
            yield unfinished(f"market_peers.{peer.name}", f"absent: {error}")
            continue
        for label, count in SIZES.items():
            yield _compare(python, peer, label, count)
        yield _count_cases(python, peer)


def _install(peer: Peer) -> Path:
    """Return the Python of the peer's environment, made at the first run and kept."""
    folder = ROOT / ".cache" / "bench-peers" / peer.name
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requirements]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    except subprocess.CalledProcessError as error:
        raise AbsentError((error.stderr.strip().splitlines() or ["pip failed"])[-1][:120]) from error
    except subprocess.TimeoutExpired as error:
        raise AbsentError(f"not installed after {INSTALL_LIMIT_S} s") from error
    done.touch()
    return python


def _compare(python: Path, peer: Peer, label: str, count: int) -> Row:
    name, orders = f"market_peers.{peer.name}_{label}_ratio", _draw_orders(count)
    ours_s = [_time_ours(orders) for _ in range(RUNS)]
    try:
        answers = _ask(python, peer.name, peer.mechanisms[0], [_as_dicts(orders)])
    except AbsentError as error:
        return unfinished(name, f"absent: {error}")
    if isinstance(answers[0], str):
        return unfinished(name, f"absent: {answers[0]}")
    ours_s += [_time_ours(orders) for _ in range(RUNS)]
    theirs_s = answers[0][0]
    return at_most(name, round(median(ours_s) / theirs_s, 5), f"ours/{peer.name} ({theirs_s:.2g} s)", RATIO_BAR)


def _count_cases(python: Path, peer: Peer) -> Row:
    """Count the cases whose volume and welfare the best of its mechanisms gets right; ours should not be fewer."""
    name = f"market_peers.{peer.name}_right_cases"
    books = [_as_dicts(read_orders(case)) for case in CASES]
    try:
        answers = {way: _ask(python, peer.name, way, books) for way in peer.mechanisms}
    except AbsentError as error:
        return unfinished(name, f"absent: {error}")
    right = {way: sum(map(_is_right, CASES, given)) for way, given in answers.items()}
    best = max(right, key=lambda way: right[way])
    ours = sum(_clears_right(case) for case in CASES)
    return at_most(name, right[best], f"of {len(CASES)} cases, by {best}; ours {ours}", ours)


def _is_right(case: dict[str, Any], answer: Any) -> bool:
    """Tell whether fills are a book's: none beyond its order, bought = sold = expected, and the welfare as expected."""
    if isinstance(answer, str):
        return False
    orders, fills = read_orders(case), answer[1]
    bought = sum(fill for order, fill in zip(orders, fills, strict=True) if order.side is Side.BUY)
    welfare = sum(
        order.price_uaip_per_kwh * (fill if order.side is Side.BUY else -fill)
        for order, fill in zip(orders, fills, strict=True)
    )
    return (
        all(0 <= fill <= order.quantity_wh for order, fill in zip(orders, fills, strict=True))
        and bought == sum(fills) - bought == case["expect"]["matched_wh"]
        and welfare == case["expect"]["welfare"]
    )


def _clears_right(case: dict[str, Any]) -> bool:
    """Tell whether we do: as expected, or, for what is beyond the limits, by rejecting every order."""
    orders = read_orders(case)
    cleared = clear(orders, rule=Rule.PRO_RATA, self_trade=SelfTrade.ALLOW)
    if case["id"] == "sum-over-int64":
        return len(cleared.rejected) == len(orders)
    return _is_right(case, [0, [cleared.fills_wh[order.order_id] for order in orders]])


def _ask(python: Path, engine: str, mechanism: str, books: Sequence[list[dict[str, Any]]]) -> list[Any]:
    """Return a peer's answer to each book: `[seconds, fills]`, or the text of its fault."""
    try:
        done = subprocess.run(
            [python, DRIVER, engine, mechanism], input="".join(json.dumps(book) + "\n" for book in books),
            capture_output=True, text=True, check=True, timeout=CLEAR_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise AbsentError(f"not done after {CLEAR_LIMIT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise AbsentError((error.stderr.strip().splitlines() or ["it failed"])[-1][:120]) from error
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", '"'))]


def _as_dicts(orders: Sequence[Order[str]]) -> list[dict[str, Any]]:
    return [{"side": o.side.value, "price": o.price_uaip_per_kwh, "qty": o.quantity_wh} for o in orders]


def _draw_orders(count: int) -> list[Order[str]]:
    rng = random.Random(6)
    sides = list(Side)
    return number([(sides[i % 2], rng.randrange(80_000, 250_000), rng.randrange(100, 10_000)) for i in range(count)])


def _time_ours(orders: Sequence[Order[str]]) -> float:
    """Return the seconds from a list of orders to the fills by order, as the others are timed."""
    start_s = time.perf_counter()
    clear(orders)
    return time.perf_counter() - start_s
