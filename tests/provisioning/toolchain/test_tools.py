"""The tools beside Python are real, recent enough and started with exactly the arguments given."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from provisioning.toolchain import browser
from provisioning.toolchain import micropython as micropython_tool
from provisioning.toolchain import mosquitto as mosquitto_tool
from provisioning.toolchain import softhsm as softhsm_tool
from provisioning.toolchain.errors import ToolchainError


def test_micropython_is_recent_and_has_what_the_firmware_needs(micropython: Path) -> None:
    version = micropython_tool.version_of(micropython)
    assert version is not None
    assert version >= (1, 25)


def test_micropython_passes_on_arguments_streams_and_exit_code(micropython: Path) -> None:
    script = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(7)"
    command = [str(micropython), "-c", script, "a b", "", "$HOME", "'"]
    done = subprocess.run(command, input="in", capture_output=True, text=True, check=False)
    assert done.stdout == "['a b', '', '$HOME', \"'\"] in\n"
    assert done.returncode == 7


def test_another_program_named_micropython_is_not_taken_for_it(tmp_path: Path) -> None:
    old = tmp_path / "micropython"
    old.write_text("#!/bin/sh\necho version 1 19\n")
    old.chmod(0o755)
    assert micropython_tool.version_of(old) == (1, 19)
    old.write_text("#!/bin/sh\nexit 1\n")
    assert micropython_tool.version_of(old) is None
    assert micropython_tool.version_of(tmp_path / "absent") is None


def test_the_broker_and_its_password_tool_start(mosquitto: Path, mosquitto_passwd: Path, tmp_path: Path) -> None:
    version = subprocess.run([str(mosquitto), "-h"], capture_output=True, text=True, check=False).stdout
    assert version.startswith("mosquitto version 2.")
    passwords = tmp_path / "passwords"
    subprocess.run([str(mosquitto_passwd), "-b", "-c", str(passwords), "meter", "secret"], check=True)
    assert passwords.read_text().startswith("meter:$7$")


def test_a_missing_tool_names_the_command_that_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mosquitto_tool, "SYSTEM_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(mosquitto_tool, "UNPACKED", tmp_path)
    monkeypatch.setattr(micropython_tool, "WRAPPER", tmp_path / "micropython")
    finders = (
        (mosquitto_tool.find_mosquitto, "make mosquitto"),
        (mosquitto_tool.find_mosquitto_passwd, "make mosquitto"),
        (micropython_tool.find_micropython, "make micropython"),
        (browser.find_chromium, "make browser"),
        (softhsm_tool.find_softhsm, "make softhsm"),
    )
    for find, command in finders:
        with pytest.raises(ToolchainError, match=command):
            find()
    assert list(tmp_path.iterdir()) == []
