"""Rate limits: token buckets by name, for a bounded number of names. Pure: the time is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

MAX_BUCKETS: Final = 10_000
"""The bucket that was not used for longest goes first; it is full again by then in all but a flood."""
_IPV6_PREFIX: Final = 64
"""Whoever has one IPv6 address has a /64."""


class Limiter:
    """Lets each name do *burst* things at once and *rate_per_s* on and on."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self.refused = 0
        """How often somebody was told to wait."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now_s: float) -> float:
        """Return 0 where *name* may go on, else after how many seconds it may try again."""
        left, at_s = self._buckets.pop(name, (float(self._burst), now_s))
        left = min(self._burst, left + max(0.0, now_s - at_s) * self._rate_per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._rate_per_s
        self.refused += wait_s > 0
        self._buckets[name] = (left - 1 if wait_s == 0 else left, now_s)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return wait_s

    def give_back(self, name: str) -> None:
        """Let what *name* did last not count."""
        if name in self._buckets:
            left, at_s = self._buckets[name]
            self._buckets[name] = (left + 1, at_s)


def network_of(address: str) -> str:
    """Return the name under which *address* is limited."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
