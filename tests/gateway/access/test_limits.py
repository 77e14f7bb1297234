"""Rate limits hold for each name alone, in bounded memory."""

from __future__ import annotations

import pytest

from gateway.access import limits
from gateway.access.limits import Limiter, network_of


def test_a_burst_then_the_rate_and_others_are_not_touched() -> None:
    limiter = Limiter(rate_per_s=0.5, burst=3)
    assert [limiter.take("a", 100.0) for _ in range(3)] == [0, 0, 0]
    assert limiter.take("a", 100.0) == 2
    assert limiter.take("b", 100.0) == 0
    assert limiter.take("a", 101.0) == 1
    assert limiter.take("a", 102.0) == 0
    assert limiter.take("a", 102.0) > 0
    assert [limiter.take("a", 200.0) for _ in range(4)] == [0, 0, 0, 2]


def test_what_is_given_back_may_be_done_again_and_no_more() -> None:
    limiter = Limiter(rate_per_s=0.5, burst=2)
    for _ in range(10):
        assert limiter.take("a", 100.0) == 0
        limiter.give_back("a")
    limiter.give_back("a")
    limiter.give_back("stranger")
    assert [limiter.take("a", 100.0) for _ in range(3)] == [0, 0, 2]
    assert [limiter.take("stranger", 100.0) for _ in range(3)] == [0, 0, 2]


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    limiter = Limiter(rate_per_s=1, burst=1)
    assert limiter.take("a", 100.0) == 0
    assert limiter.take("a", 50.0) > 0


def test_a_flood_of_names_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BUCKETS", 10)
    limiter = Limiter(rate_per_s=1, burst=1)
    for number in range(100):
        limiter.take(str(number), 0.0)
    assert len(limiter._buckets) == 10
    assert limiter.take("99", 0.0) > 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("nonsense", "unknown"),
    ],
)
def test_an_ipv6_host_is_limited_with_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
