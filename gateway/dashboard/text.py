"""Numbers as the page writes them."""

from __future__ import annotations

import time

_THIN_SPACE = "\u202f"
_MINUS = "\u2212"


def group_digits(number: int) -> str:
    """Return *number* with its thousands set apart."""
    return f"{number:,}".replace(",", _THIN_SPACE).replace("-", _MINUS)


def count(number: int, thing: str) -> str:
    """Return how many of *thing*, which takes an s, there are."""
    return f"{group_digits(number)} {thing}" + ("" if number == 1 else "s")


def energy(energy_wh: int | None) -> str:
    """Return an energy in kWh, exact to the Wh."""
    if energy_wh is None:
        return "–"
    whole, rest = divmod(abs(energy_wh), 1000)
    return f"{_MINUS if energy_wh < 0 else ''}{group_digits(whole)}.{rest:03d} kWh"


def power(power_w: int | None) -> str:
    """Return a power in W; negative is export."""
    return "–" if power_w is None else f"{group_digits(power_w)} W"


def age(age_s: int | None) -> str:
    """Return how long ago something was."""
    if age_s is None:
        return "never"
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if age_s >= length_s:
            return f"{age_s // length_s} {unit} ago"
    return f"{age_s} s ago"


def countdown(remaining_s: int) -> str:
    """Return a remaining time as m:ss."""
    return f"{remaining_s // 60}:{remaining_s % 60:02d}"


def clock(time_s: int, *, is_exact: bool) -> str:
    """Return a time of day on the gateway's clock, to the minute or to the second."""
    return time.strftime("%H:%M:%S" if is_exact else "%H:%M", time.localtime(time_s))


def moment(time_s: int) -> str:
    """Return a day and a time of day on the gateway's clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))


def day(time_s: int) -> str:
    """Return a day on the gateway's clock."""
    return time.strftime("%Y-%m-%d", time.localtime(time_s))


def price(price_uaip_per_kwh: int | None) -> str:
    """Return a price in AIP per kWh."""
    if price_uaip_per_kwh is None:
        return "–"
    return f"{price_uaip_per_kwh // 1_000_000}.{price_uaip_per_kwh % 1_000_000 // 1000:03d} AIP/kWh"
