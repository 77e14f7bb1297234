"""`campusgrid hil line`: virtual meters for the bench, from a description to an answer."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusSerialClient

from hil import lines, tools
from hil.errors import LineError, TraceError
from hil.readiness import until
from hil.resources.process import ChildProcess

BOUND_S = 50.0
COMMAND = Path(sys.executable).with_name("campusgrid")
METER = {"slave": 1, "model": "SDM120", "series": "MON-Solar4", "exports": True, "export_wh": 1500}


def describe(tmp_path: Path, *meters: dict[str, Any], **changes: Any) -> Path:
    content = {
        "epoch_s": 10, "first_slot": "2020-09-18T02:00:00Z", "trace": str(tools.TRACE),
        "lines": [{"name": "bench", "meters": list(meters) or [METER]}],
    }  # fmt: skip
    path = tmp_path / "lines.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


async def test_a_described_line_answers_until_it_is_ended(tmp_path: Path) -> None:
    said: list[bytes] = []
    path = describe(tmp_path, METER, {**METER, "slave": 2, "alive": False})
    child = ChildProcess("line", [COMMAND, "hil", "line", path], tmp_path / "log", said.append)
    child.start()

    async def ready() -> bytes | None:
        return said[0] if said else None

    told = json.loads(await until("the line", ready, BOUND_S, [child]))
    assert told == {"event": "ready", "lines": {"bench": str(tmp_path / "bench")}}
    master = AsyncModbusSerialClient(told["lines"]["bench"], timeout=1, retries=0)
    assert await master.connect()
    answer = await master.read_input_registers(74, count=2, device_id=1)
    assert struct.unpack(">f", struct.pack(">HH", *answer.registers))[0] >= 1.5
    master.close()
    assert await child.stop(BOUND_S) == 0
    assert not (tmp_path / "bench").is_symlink()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [{"name": "../up", "meters": [METER]}]}, "lines.0.name"),
        ({"lines": [{"name": "a", "meters": [{**METER, "model": "SDM72"}]}]}, "lines.0.meters.0.model"),
        ({"lines": [{"name": "a", "meters": [{**METER, "slave": 0}]}]}, "lines.0.meters.0.slave"),
        ({"speed": 2}, "speed"),
        ({"first_slot": "noon"}, "first_slot"),
    ],
)
def test_a_description_with_a_fault_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(LineError) as refused:
        lines.load(describe(tmp_path, **changes))
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_the_trace_does_not_have_and_a_meter_cannot_carry_is_refused(tmp_path: Path) -> None:
    def build(**changes: Any) -> None:
        lines.build(lines.load(describe(tmp_path, {**METER, **changes})), tmp_path)

    with pytest.raises(TraceError, match="no series 'MON-Solar9'"):
        build(series="MON-Solar9")
    with pytest.raises(LineError, match="exceeds the 10000 W of an SDM120"):
        build(series="MON-Building3")
    with pytest.raises(LineError, match="cannot read the lines"):
        lines.load(tmp_path / "absent.json")
