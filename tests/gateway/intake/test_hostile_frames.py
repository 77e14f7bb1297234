"""Whatever comes to a meter's topic: nothing crashes or stalls, each refusal has a listed reason, good readings stay.

`make soak ONLY=gateway.hostile_frames` sends a million.
"""

from __future__ import annotations

import itertools
import json
import re
import signal

from gateway.intake.refusals import RefusalCode
from gateway.roster import Meter
from provisioning.broker import MAX_PACKET_BYTES
from tests.gateway.intake.attack import attack
from tests.gateway.intake.frames_verdict import count_handled, count_reasons, judge, judge_intervals
from tests.gateway.intake.hostile_frames import Frame, Hostility
from tests.gateway.plant import Plant, wait_for

SEED = 20_261_128
FRAMES = 5_000
OVER_THE_BROKER = 3_000
HEADER_BYTES = 100
"""Room for topic and header of a packet that the broker lets through."""
HEARD = re.compile("meter/[^/+#]*/reading")


def test_hostile_frames_neither_stop_intake_nor_touch_a_good_reading() -> None:
    violations, counts = attack(SEED, FRAMES)
    print(*(f"{name}: {count}" for name, count in sorted(counts.items())), sep="\n")
    assert violations == []
    assert {code for code in RefusalCode if not counts[code.counter]} == set()


def test_hostile_frames_through_a_broker_neither_stop_the_gateway_nor_touch_a_good_reading(plant: Plant) -> None:
    hostility = Hostility.by(SEED + 1)
    frames = itertools.islice(hostility.stream(), OVER_THE_BROKER)
    sent = [frame for frame in frames if passes_the_broker(frame)]
    enrol_instead(plant, hostility)
    let_the_stranger_write_everywhere(plant)
    gateway = plant.start()
    plant.line(plant.stranger).send_each(sent)
    wait_for(lambda: plant.stored() and count_handled(count_reasons(plant.store)) >= len(sent), "every frame")
    assert gateway.stop() == 0
    assert [*judge(plant.store, hostility, sent), *judge_intervals(plant.store, hostility)] == []
    assert plant.gateway_log().count("broker connected") == 1


def passes_the_broker(frame: Frame) -> bool:
    """Tell whether *frame* gets as far as the gateway: it hears its own topics, and the broker limits packets."""
    topic, payload = frame
    return HEARD.fullmatch(topic) is not None and len(payload) < MAX_PACKET_BYTES - HEADER_BYTES


def enrol_instead(plant: Plant, hostility: Hostility) -> None:
    """Let the meters of *hostility* be the ones in the roster."""
    entries = [entry(meter) for meter in hostility.roster]
    (plant.folder / "roster.json").write_text(json.dumps({"meters": entries, "users": []}))


def entry(meter: Meter) -> dict[str, object]:
    former = [
        {"public_key": key.public_key.hex(), "last": key.last, "ended_by": str(key.ended_by)}
        for key in meter.former_keys
    ]
    return {
        "meter_id": meter.meter_id.hex(), "public_key": meter.public_key.hex(), "profile": meter.profile,
        "rated_power_w": meter.rated_power_w, "can_export": True, "account": meter.account.hex(), "former_keys": former,
    }  # fmt: skip


def let_the_stranger_write_everywhere(plant: Plant) -> None:
    """Open the broker's access list, so that every topic is tried, not only those that it lets through."""
    with (plant.broker.folder / "acl").open("a") as access:
        access.write(f"\nuser {plant.stranger}\ntopic write #\n")
    assert plant.broker.process is not None
    plant.broker.process.send_signal(signal.SIGHUP)
