"""Which MQTT is spoken: 5 wherever the broker knows it, else 3.1.1; a broker being restarted is not an old one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from meter.mqtt import V5, V311
from meter.mqtt_version import MAX_UNANSWERED, SETTLED_MS, UPGRADE_MS, Version


def refused() -> Version:
    """Return the version after a broker refused 5 and took 3.1.1."""
    version = Version()
    version.refused()
    version.accepted()
    return version


def test_5_is_tried_first_and_3_1_1_where_it_is_refused_from_then_on() -> None:
    assert Version().level == V5
    version = refused()
    assert version.level == V311
    version.lasted(UPGRADE_MS)
    assert version.level == V311


def test_a_broker_that_hangs_up_is_tried_in_both_versions_in_turn() -> None:
    version = Version()
    tried = []
    for _ in range(4):
        tried.append(version.level)
        version.unanswered()
    assert tried == [V5, V311, V5, V311]


def test_a_version_that_has_worked_is_not_given_up_for_a_broker_that_is_being_restarted() -> None:
    version = Version()
    version.accepted()
    for _ in range(MAX_UNANSWERED - 1):
        version.unanswered()
        assert version.level == V5
    version.unanswered()
    assert version.level == V311


def test_a_broker_that_refused_5_is_asked_again_after_a_long_session() -> None:
    version = refused()
    version.lasted(UPGRADE_MS + 1)
    assert version.level == V5
    version.refused()
    assert version.level == V311


def test_a_broker_that_merely_hung_up_is_asked_again_after_any_good_session() -> None:
    version = Version()
    version.unanswered()
    version.accepted()
    version.lasted(SETTLED_MS)
    assert version.level == V311
    version.lasted(SETTLED_MS + 1)
    assert version.level == V5


@given(st.lists(st.sampled_from(["accepted", "refused", "unanswered"])))
def test_after_whatever_happened_a_broker_of_either_version_is_reached_soon(history: list[str]) -> None:
    for speaks in (V5, V311):
        version = Version()
        for event in history:
            getattr(version, event)()
        attempts = 0
        while version.level != speaks:
            version.unanswered()
            attempts += 1
        assert attempts <= MAX_UNANSWERED
