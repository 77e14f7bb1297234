"""Whatever stands in the way of `make setup` is told in one clear line, and nothing half-made is left."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning.toolchain import apt, archive, cache, environment
from provisioning.toolchain.errors import ToolchainError

ROOT = cache.ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with what `make setup` reads, and no environment yet."""
    target = tmp_path / "a clone"
    target.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, target)
    package = target / "provisioning" / "toolchain"
    shutil.copytree(ROOT / "provisioning" / "toolchain", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "provisioning" / "__init__.py", target / "provisioning")
    return target


def set_up(clone: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "provisioning.toolchain.environment"]
    return subprocess.run(
        command, cwd=clone, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )


def test_set_up_without_a_network_ends_with_one_line_that_says_so(clone: Path) -> None:
    done = set_up(
        clone, PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="0", PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS=""
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "network" in done.stderr
    assert not (clone / ".venv" / "campusgrid-stamp").exists()


def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE", Path("/proc/campusgrid"))
    with pytest.raises(ToolchainError, match=r"cannot write in /proc/campusgrid"), cache.locked("setup"):
        pytest.fail("the lock was taken in a folder that cannot be written")


def test_an_old_python_is_refused_with_the_way_to_name_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    with pytest.raises(ToolchainError, match=r"needs 3\.11 or newer: make PYTHON="):
        environment.ready()


def test_a_32_bit_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "armv7l")
    with pytest.raises(ToolchainError, match="needs 64-bit Linux"):
        environment.ready()


def test_a_machine_without_apt_is_told_which_systems_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolchainError, match="there is no apt-get: use Debian"):
        apt.install(["python3-venv"], "the virtual environment")


def test_a_user_without_root_or_sudo_is_told_what_root_must_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ToolchainError, match="`apt-get install python3-venv`: run that as root"):
        apt.install(["python3-venv"], "the virtual environment")


def test_a_fresh_environment_is_left_alone_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    environment.ready()
    capsys.readouterr()
    environment.ready()
    assert capsys.readouterr().out == ""


def test_two_makes_at_once_do_the_work_once(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from provisioning.toolchain import cache\n"
        "cache.CACHE = pathlib.Path(sys.argv[1])\n"
        "done = cache.CACHE / 'done'\n"
        "with cache.locked('work'):\n"
        "    if not done.exists():\n"
        "        time.sleep(0.3)\n"
        "        done.touch()\n"
        "        print('worked')\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    makes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(make.communicate()[0] for make in makes) == ["", "", "worked\n"]


def test_an_interrupted_step_leaves_the_old_tool_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "CACHE", tmp_path)
    tool = tmp_path / "tool"
    archive.replace_folder(tool, lambda folder: (folder / "version").touch())

    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.replace_folder(tool, interrupted)
    assert [path.name for path in tool.iterdir()] == ["version"]
    assert list(tmp_path.iterdir()) == [tool]
