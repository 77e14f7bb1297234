"""`make micropython`: MicroPython 1.25 or newer, for the firmware in the demo and the tests.

Taken from PATH, else installed where the distribution has it, else (Debian 12) unpacked from the next release into
`.cache/micropython/`, where it runs on its own C library and leaves the system as it is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from provisioning.toolchain import apt, archive, sources
from provisioning.toolchain.cache import CACHE, locked, made_by_make
from provisioning.toolchain.errors import ToolchainError

OLDEST = (1, 25)
UNPACKED = CACHE / "micropython"
WRAPPER = UNPACKED / "micropython"
SUCCESSORS = {"bookworm": "trixie"}  # releases without the package, and the one that has it
PACKAGES = ("micropython", "libc6", "libffi8", "libmbedcrypto16", "libmbedtls21", "libmbedx509-7")
PROBE = "import sys, tls, asyncio; print('version', *sys.implementation.version[:2])"
PROBE_LIMIT_S = 20


def main() -> int:
    """Get MicroPython and print the path of its executable as the last line."""
    return made_by_make(lambda: print(get_micropython()))


def find_micropython() -> Path:
    """Return the executable of a MicroPython that runs the firmware; ToolchainError says how to get one."""
    found = _found()
    if found is None:
        raise ToolchainError("there is no MicroPython 1.25 or newer here: run `make micropython`")
    return found


def get_micropython() -> Path:
    """Return the executable, after installing or unpacking it where it is missing."""
    found = _found()
    if found:
        return found
    with locked("micropython"):
        if _found() is None:  # else another make got it while this one waited
            _get()
    found = _found()
    if found is None:
        raise ToolchainError("the distribution's MicroPython is older than 1.25: put a newer one into PATH")
    return found


def version_of(executable: Path) -> tuple[int, int] | None:
    """Return the version of a MicroPython that has the modules which the firmware needs, else nothing."""
    return _version(executable, executable.stat().st_mtime_ns) if executable.is_file() else None


@cache
def _version(executable: Path, _modified_ns: int) -> tuple[int, int] | None:
    command = [str(executable), "-c", PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    answer = re.fullmatch(r"version (\d+) (\d+)\n", done.stdout)
    return (int(answer[1]), int(answer[2])) if answer else None


def _found() -> Path | None:
    installed = shutil.which("micropython")
    candidates = [Path(installed)] if installed else []
    for executable in [*candidates, WRAPPER]:
        version = version_of(executable)
        if version and version >= OLDEST:
            return executable
    return None


def _get() -> None:
    release = sources.codename()
    if release in SUCCESSORS:
        print(f"unpacking MicroPython of {SUCCESSORS[release]} into {UNPACKED}", flush=True)
        _unpack(release, SUCCESSORS[release])
    else:
        apt.install(["micropython"], "running the firmware")


def _unpack(release: str, successor: str) -> None:
    """Try the machine's Debian archives one after the other; the first that has the packages wins."""
    candidates = sources.of_suite(sources.signed_by_debian(sources.read_sources()), release, successor)
    if not candidates:
        raise ToolchainError(
            f"no entry for {release} in {sources.APT_FOLDER} is signed by Debian's archive keyring: add Debian's own"
        )
    faults = []
    for source in candidates:
        try:
            with archive.opened([source]) as opened:
                archive.replace_folder(UNPACKED, lambda folder, opened=opened: _fill(opened, folder))  # type: ignore[misc]
        except ToolchainError as error:
            faults.append(error)
        else:
            return
    raise faults[0]


def _fill(opened: archive.Archive, folder: Path) -> None:
    opened.unpack(PACKAGES, folder / "root")
    loaders = sorted((folder / "root/usr/lib").glob("*-linux-gnu/ld-linux-*.so.*"))
    if not loaders:
        raise ToolchainError(f"the libc6 of {opened.origin} has no dynamic loader for this machine: try another mirror")
    loader = loaders[0].relative_to(folder)
    wrapper = folder / WRAPPER.name
    # ${0%/*} keeps it working when the project is moved
    wrapper.write_text(
        "#!/bin/sh\n"
        "# MicroPython on its own C library; passes all arguments on\n"
        f'here="${{0%/*}}"\n'
        f'exec "$here/{loader}" --library-path "$here/{loader.parent}" "$here/root/usr/bin/micropython" "$@"\n'
    )
    wrapper.chmod(0o755)
    if version_of(wrapper) is None:
        raise ToolchainError(f"the MicroPython of {opened.origin} does not run on this machine")


if __name__ == "__main__":
    sys.exit(main())
