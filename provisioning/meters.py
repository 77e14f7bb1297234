"""A meter's own part in its enrolment: the firmware makes the key on the device and tells its public half.

It does so in one line, its card, whether it runs here or on a machine of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.keys import PUBLIC_KEY_BYTES
from provisioning.errors import EnrolmentError

ENROL_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class EnrolledMeter:
    """What a meter told of itself: its id, the key that it made, and what runs its firmware."""

    meter_id: bytes
    public_key: bytes
    interpreter: str


async def enrol(command: list[str], config: Path) -> EnrolledMeter:
    """Have the meter of *config* make its key, if it has none yet, and return what it tells.

    *command* runs the firmware (interpreter and main.py). Raises EnrolmentError where it fails or tells nonsense.
    """
    output = await _run([*command, "enrol", "--config", str(config)], config)
    lines = output.splitlines()
    return read_card(lines[-1] if lines else b"", f"the meter of {config}")


def read_cards(text: bytes) -> list[EnrolledMeter]:
    """Return what the meters told whose cards are the lines of *text*; raises EnrolmentError."""
    lines = text.splitlines()
    found = [read_card(line, f"line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise EnrolmentError("nothing came in: what `enrol` printed on the meter is wanted, a line for each meter")
    return found


def read_card(line: bytes, source: str) -> EnrolledMeter:
    """Return what a meter told in *line*; raises EnrolmentError, which names *source*, where it is no card."""
    try:
        told = json.loads(line)
        meter = EnrolledMeter(
            bytes.fromhex(told["meter_id"]), bytes.fromhex(told["public_key"]), str(told["interpreter"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EnrolmentError(f"{source} does not tell a meter's key but {line[-200:]!r}") from error
    if len(meter.public_key) != PUBLIC_KEY_BYTES:
        raise EnrolmentError(f"{source} tells a key of {len(meter.public_key)} bytes")
    return meter


async def _run(command: list[str], config: Path) -> bytes:
    """Run *command* to its end and return its output; cancelled, or too late, it is killed.

    In a thread: asyncio's own child watcher complains on stderr where the loop ends with, or before, the child.
    """
    process = _start(command)
    try:
        output, errors = await asyncio.to_thread(_communicate, process)
    except subprocess.TimeoutExpired as error:
        raise EnrolmentError(f"the meter of {config} did not make its key within {ENROL_TIMEOUT_S:.0f} s") from error
    finally:
        process.kill()  # nothing happens where it has ended
    if process.returncode != 0:
        text = (errors or output).decode(errors="replace").strip()
        raise EnrolmentError(f"the meter of {config} did not enrol: {text.splitlines()[-1] if text else 'no output'}")
    return output


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise EnrolmentError(f"cannot run {command[0]}: {error.strerror}. `make micropython` gets it.") from error


def _communicate(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=ENROL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
