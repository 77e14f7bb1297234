"""Starting and stopping the gateway process."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.gateway.plant import BOUND_S, ROOT, Plant, wait_for

COMMAND = [sys.executable, "-c", "from gateway.cli import main; main()", "gateway"]


def test_an_occupied_port_is_one_line_and_a_failure(plant: Plant) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", plant.api_port))
        taken.listen()
        done = run("run", "--config", str(plant.config))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert (
        f"cannot listen on 127.0.0.1 port {plant.api_port}: Address already in use; a gateway may run there already"
        in done.stderr
    )


def test_an_epoch_length_that_is_not_the_ledgers_is_refused(plant: Plant) -> None:
    plant.config.write_text(plant.config.read_text().replace("epoch_s = 5", "epoch_s = 900"))
    done = run("config", "check", "--config", str(plant.config))
    assert done.returncode == 1
    assert done.stderr == "campusgrid: epoch_s is 900 but the ledger's genesis has 5; make them equal\n"


def test_config_check_reads_every_file_and_starts_nothing(plant: Plant) -> None:
    done = run("config", "check", "--config", str(plant.config))
    assert done.returncode == 0
    assert done.stdout.endswith(f"{plant.config}: good; 2 meters enrolled\n")
    (plant.config.parent / "receipt.key").unlink()
    complaint = run("config", "check", "--config", str(plant.config)).stderr
    assert "receipt.key: cannot be read: No such file or directory; copy it from the campus directory" in complaint


def test_an_unreachable_broker_is_tried_again_until_it_answers(plant: Plant) -> None:
    plant.broker.stop()
    process = plant.start(await_broker=False)
    wait_for(lambda: "broker unreachable" in plant.gateway_log(), "a line about the broker")
    plant.broker.start()
    wait_for(lambda: "broker connected" in plant.gateway_log(), "the connection")
    assert process.stop() == 0


def test_a_gateway_whose_database_is_removed_under_it_gives_no_receipt_and_says_so(plant: Plant) -> None:
    pen, line = plant.pens[0], plant.line(plant.pens[0].meter_id.hex())
    plant.start()
    line.send(pen.topic, pen.sign())
    assert line.newest_receipt(1, plant.receipt_key.public_key)[1] == 1
    aside = plant.store.with_name("aside")
    plant.store.rename(aside)
    line.send(pen.topic, pen.sign())

    def health() -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{plant.api_port}/health")

    wait_for(lambda: "was removed or replaced while it was open" in health().text, "the gateway to say so")
    assert health().status_code == 503
    assert line.receipts.empty()

    aside.rename(plant.store)
    assert line.newest_receipt(2, plant.receipt_key.public_key)[1] == 2
    assert plant.stored() == 2


def test_a_gateway_ends_with_the_process_that_started_it(plant: Plant) -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:])\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, *COMMAND, "run", "--config", str(plant.config), "--exit-with-parent"]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_for(lambda: _listens(plant.api_port), "the gateway to serve")
    parent.kill()
    parent.communicate(timeout=BOUND_S)
    wait_for(lambda: not _lives(child), "the gateway to end")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `campusgrid gateway` with *arguments* to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=False)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
