"""`campusgrid provision` as an operator types it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from gateway import cli
from gateway.roster import Site, read_roster
from provisioning import campus, layout, roster
from provisioning.errors import EnrolmentError
from provisioning.meters import EnrolledMeter
from provisioning.plan import PlannedSite
from tests.provisioning.plans import small_plan

FIRMWARE = Path(__file__).parents[2] / "firmware"
PLAN = """
name = "campus"
ports = { broker = 1, gateway = 2 }
[[users]]
name = "bakery"
kind = "consumer"
[[meters]]
label = "oven"
profile = "eastron_sdm120"
rated_power_w = 10000
can_export = false
owner = "bakery"
line = { path = "/dev/ttyUSB0", baud = 2400 }
"""


def provision(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `campusgrid provision` with *arguments* in *folder*, in this process: a new one costs more than its work."""
    out, complaint = io.StringIO(), io.StringIO()
    typed = mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    with contextlib.chdir(folder), typed, redirect_stdout(out), redirect_stderr(complaint):
        code = cli.run(["provision", *arguments])
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), complaint.getvalue())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


@pytest.mark.usefixtures("micropython", "mosquitto_passwd")
def test_a_plan_becomes_a_campus_whose_meters_have_their_own_keys(folder: Path) -> None:
    laid_out = provision(folder, "campus", "my campus", "--plan", "plan.toml")
    assert (laid_out.returncode, laid_out.stderr) == (0, "")
    assert "4 authorities, 1 users, 1 meters" in laid_out.stdout
    for _ in range(2):
        enrolled = provision(folder, "meters", "my campus")
        assert (enrolled.returncode, enrolled.stderr) == (0, "")
        roster = json.loads((folder / "my campus" / "roster.json").read_text())
        assert len(bytes.fromhex(roster["meters"][0]["public_key"])) == 32
    assert campus.load(folder / "my campus").meters[0].plan.label == "oven"


def card(meter_id: bytes, key: bytes) -> str:
    return json.dumps({"meter_id": meter_id.hex(), "public_key": key.hex(), "interpreter": "micropython 1.25"}) + "\r\n"


def test_a_meter_of_another_machine_is_entered_into_the_roster_by_the_line_that_it_printed(
    folder: Path, micropython: Path, mosquitto_passwd: Path
) -> None:
    made = layout.lay_out(folder / "new", small_plan(), mosquitto_passwd)
    pi = folder / "pi"
    pi.mkdir()
    shutil.copy(made.folder / "ca.crt", pi)
    readme = (FIRMWARE / "README.md").read_text()
    (script,) = re.findall(r"^sed '(.+)' /srv/campus/meters/<id>/config.json > ", readme, re.MULTILINE)
    config = subprocess.check_output(["sed", script, made.meters[0].config(made.folder)], text=True)
    assert json.loads(config)["broker"]["ca"] == "ca.crt"
    (pi / "config.json").write_text(config)
    enrol = [str(micropython), str(FIRMWARE / "meter" / "main.py"), "enrol", "--config", "config.json"]
    printed = subprocess.run(enrol, cwd=pi, capture_output=True, text=True, timeout=60, check=True).stdout
    for _ in range(2):
        done = provision(folder, "enrolled", "new", stdin=printed)
        assert (done.returncode, done.stderr) == (0, "")
        assert "1 of 3 meters\nstill without a key: oven, shop\n" in done.stdout
    assert "key: shop\n" in provision(folder, "meters", "new", "oven").stdout
    done = provision(folder, "enrolled", "new", stdin=card(made.meters[2].meter_id, bytes(32)))
    assert "3 of 3 meters\nnext: start the ledger nodes" in done.stdout
    told = bytes.fromhex(json.loads(printed)["public_key"])
    assert roster.read_keys(made)[made.meters[0].meter_id] == told
    assert_one_line(provision(folder, "meters", "new"), "has another key of meter 'PV'")
    assert roster.read_keys(made)[made.meters[0].meter_id] == told


def test_a_new_key_follows_the_old_one_which_the_gateway_still_knows(folder: Path, mosquitto_passwd: Path) -> None:
    made = layout.lay_out(folder / "new", small_plan(), mosquitto_passwd)
    meter = made.meters[0].meter_id
    keys = [bytes([number]) * 32 for number in range(4)]
    enrolled = partial(provision, folder, "enrolled", "new")
    assert enrolled(stdin=card(meter, keys[0])).returncode == 0
    assert_one_line(enrolled(stdin=card(meter, keys[1])), "with --rotated-at N or --replaced-at N")
    assert_one_line(enrolled("--rotated-at", "5", "--replaced-at", "5", stdin=card(meter, keys[1])), "one of the two")
    assert enrolled("--rotated-at", "5", stdin=card(meter, keys[1])).returncode == 0
    assert_one_line(enrolled("--rotated-at", "5", stdin=card(meter, keys[2])), "must be above it")
    assert_one_line(enrolled("--rotated-at", "9", stdin=card(meter, keys[0])), "is never used again")
    assert enrolled("--replaced-at", "9", stdin=card(meter, keys[2])).returncode == 0
    assert enrolled(stdin=card(made.meters[1].meter_id, keys[3])).returncode == 0
    known = read_roster(made.folder / "roster.json").meters[meter]
    assert [known.public_key, *((one.public_key, one.last, one.ended_by) for one in known.former_keys)] == [
        keys[2], (keys[0], 5, "rotation"), (keys[1], 9, "replacement"),
    ]  # fmt: skip


def test_a_meter_that_changes_hands_leaves_each_owner_the_own_time(folder: Path, mosquitto_passwd: Path) -> None:
    made = layout.lay_out(folder / "new", small_plan(), mosquitto_passwd)
    path, meter = made.folder / "roster.json", made.meters[0]
    roof, bakery = ({user.plan.name: user.account for user in made.users}[name] for name in ("roof", "bakery"))
    told = [EnrolledMeter(one.meter_id, bytes([place]) * 32, "") for place, one in enumerate(made.meters)]
    roster.add(made, told)
    assert (meter.plan.owner, read_roster(path).meters[meter.meter_id].former_owners) == ("roof", ())
    assert_one_line(provision(folder, "hand-over", "new", "PV", "nobody"), "'nobody' is not among the users")
    started_at = int(time.time())
    done = provision(folder, "hand-over", "new", "PV", "bakery")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "PV: roof until now, bakery from now on\n")
    made = campus.load(made.folder)
    roster.add(made, told)  # once more changes nothing
    given = read_roster(path).meters[meter.meter_id]
    ((former, until),) = ((one.account, one.until) for one in given.former_owners)
    assert (former, given.account) == (roof, bakery)
    assert started_at <= until <= time.time()
    roster.add(made.give(made.meters[0], "roof"), ())
    back = read_roster(path).meters[meter.meter_id]
    assert (back.account, [one.account for one in back.former_owners]) == (roof, [roof, bakery])
    assert back.former_owners[0].until == until < back.former_owners[1].until
    content = json.loads(path.read_text())
    content["meters"][0]["former_owners"] *= 8
    path.write_text(json.dumps(content))
    with pytest.raises(EnrolmentError, match="'PV' has 16 former owners already"):
        roster.add(made, ())


def test_the_gateway_gets_pv_sites_and_feeders_from_the_plan(folder: Path, mosquitto_passwd: Path) -> None:
    plan = small_plan()
    first, second, *rest = plan.meters
    site = PlannedSite(latitude=51.48, longitude=-0.5)
    meters = (first.model_copy(update={"pv_site": site}), second.model_copy(update={"feeder": first.label}), *rest)
    made = layout.lay_out(folder / "new", plan.model_copy(update={"meters": meters}), mosquitto_passwd)
    made = campus.load(made.folder)
    cards = [card(meter.meter_id, bytes([place]) * 32) for place, meter in enumerate(made.meters)]
    assert provision(folder, "enrolled", "new", stdin=cards[1]).returncode == 0
    assert len(read_roster(made.folder / "roster.json")) == 1  # its feeder is not enrolled yet
    assert provision(folder, "enrolled", "new", stdin="".join(cards)).returncode == 0
    known = read_roster(made.folder / "roster.json").meters
    assert known[made.meters[0].meter_id].pv_site == Site(51.48, -0.5)
    assert known[made.meters[1].meter_id].feeder == made.meters[0].meter_id


def test_a_line_that_is_not_one_of_this_campus_meters_changes_no_roster(folder: Path, mosquitto_passwd: Path) -> None:
    made = layout.lay_out(folder / "new", small_plan(), mosquitto_passwd)
    first, second = (meter.meter_id for meter in made.meters[:2])
    for told, text in (
        ("", "nothing came in"), ("hello\n", "line 1 does not tell a meter's key"), ("[]", "line 1"),
        (card(first, bytes(32)) + "{}", "line 2"), (card(first, bytes(31)), "a key of 31 bytes"),
        (card(bytes(8), bytes(32)), f"has no meter {bytes(8).hex()}"),
        (card(first, bytes(32)) + card(first, b"k" * 32), "another key of meter 'PV'"),
        (card(first, bytes(32)) + card(second, bytes(32)), "two meters told the same key"),
    ):  # fmt: skip
        assert_one_line(provision(folder, "enrolled", "new", stdin=told), text)
    assert not (made.folder / "roster.json").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["campus", "new", "--plan", "absent.toml"], "absent.toml: No such file"),
        (["campus", ".", "--plan", "plan.toml"], "is not empty"),
        (["campus", "plan.toml/new", "--plan", "plan.toml"], "cannot make the folder"),
        (["campus", "new"], "--plan"),
        (["enrolled", "new"], "campus.json: No such file"),
        (["meters", "new"], "campus.json: No such file"),
        (["enrol", "new"], "campus.json: No such file"),
        (["rebase", "new"], "campus.json: No such file"),
        (["configure", "new", "--telemetry-s", "5"], "campus.json: No such file"),
        (["update", "new", "--image", "absent.image"], "campus.json: No such file"),
        (["image", "--target", "abacus", "--version", "1"], "choose one of linux"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(folder: Path, arguments: list[str], text: str) -> None:
    assert_one_line(provision(folder, *arguments), text)


@pytest.mark.usefixtures("mosquitto_passwd")
def test_what_cannot_be_sent_is_one_clear_line(folder: Path) -> None:
    assert provision(folder, "campus", "new", "--plan", "plan.toml").returncode == 0
    built = provision(folder, "image", "--target", "linux", "--version", "1")
    assert (built.returncode, "meter-linux-1.image: version 1 for linux" in built.stdout) == (0, True)
    update = ["update", "new", "--image", "meter-linux-1.image"]
    assert_one_line(provision(folder, *update), "no new/roster.json yet: `campusgrid provision meters`")
    told = card(campus.load(folder / "new").meters[0].meter_id, bytes(32))
    assert provision(folder, "enrolled", "new", stdin=told).returncode == 0
    assert_one_line(provision(folder, *update), "no session with the broker at 127.0.0.1:1")
    assert_one_line(provision(folder, *update, "toaster"), "no meter 'toaster'")
    assert_one_line(provision(folder, "update", "new", "--image", "plan.toml"), "no image of a meter")
    configure = ["configure", "new", "--telemetry-s", "5"]
    assert_one_line(provision(folder, *configure, "--gateway-key", "abc"), "64 hex digits")


def assert_one_line(done: subprocess.CompletedProcess[str], text: str) -> None:
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    assert text in done.stderr
