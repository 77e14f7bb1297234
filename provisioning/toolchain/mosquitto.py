"""`make mosquitto`: the MQTT broker, which the demo and the tests start as a child process of their own.

Where it is not installed it is unpacked into `.cache/mosquitto/` with the libraries that the machine lacks. Installing
the package would leave a system broker enabled and running on port 1883.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from provisioning.toolchain import archive, sources
from provisioning.toolchain.cache import CACHE, locked, made_by_make
from provisioning.toolchain.errors import ToolchainError

UNPACKED = CACHE / "mosquitto"
PROGRAMS = {"mosquitto": "usr/sbin/mosquitto", "mosquitto_passwd": "usr/bin/mosquitto_passwd"}
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")  # not in the PATH of ordinary users
PROBE_LIMIT_S = 20


def main() -> int:
    """Get the broker and print its path as the last line."""
    return made_by_make(lambda: print(get_mosquitto()))


def find_mosquitto() -> Path:
    """Return the broker's executable; ToolchainError says how to get one."""
    return _find("mosquitto")


def find_mosquitto_passwd() -> Path:
    """Return the executable that hashes a broker's password file; ToolchainError says how to get it."""
    return _find("mosquitto_passwd")


def get_mosquitto() -> Path:
    """Return the broker's executable, after unpacking it where it is missing or does not start."""
    if not _is_complete():
        with locked("mosquitto"):
            if not _is_complete():
                _unpack()
    return find_mosquitto()


def _find(program: str) -> Path:
    found = shutil.which(program) or shutil.which(program, path=":".join(SYSTEM_FOLDERS))
    if found:
        return Path(found)
    if (UNPACKED / program).is_file():
        return UNPACKED / program
    raise ToolchainError(f"there is no {program} here: run `make mosquitto`")


def _is_complete() -> bool:
    try:
        return all(_starts(_find(program)) for program in PROGRAMS)
    except ToolchainError:
        return False


def _starts(executable: Path) -> bool:
    """Tell whether the program finds its libraries, by letting it print its usage (whatever its exit code)."""
    done = subprocess.run([str(executable), "--help"], capture_output=True, timeout=PROBE_LIMIT_S, check=False)
    return b"mosquitto" in done.stdout + done.stderr and b"shared libraries" not in done.stderr


def _unpack() -> None:
    found = sources.signed_by_debian(sources.read_sources())
    if not found:
        raise ToolchainError(f"no source in {sources.APT_FOLDER} is signed by Debian's keyring: add Debian's own")
    print(f"unpacking mosquitto into {UNPACKED}", flush=True)
    with archive.opened(found) as opened:
        archive.replace_folder(UNPACKED, lambda folder: _fill(opened, folder))


def _fill(opened: archive.Archive, folder: Path) -> None:
    opened.unpack(opened.additions("mosquitto"), folder / "root")
    libraries = sorted({library.parent.relative_to(folder) for library in (folder / "root").rglob("*-linux-gnu/*.so*")})
    path = ":".join(f"$here/{library}" for library in libraries)
    for program, place in PROGRAMS.items():
        wrapper = folder / program
        # ${0%/*} keeps it working when the project is moved
        wrapper.write_text(
            "#!/bin/sh\n"
            f"# {program} with the libraries that this machine lacks; passes all arguments on\n"
            'here="${0%/*}"\n'
            f'LD_LIBRARY_PATH="{path}" exec "$here/root/{place}" "$@"\n'
        )
        wrapper.chmod(0o755)
        if not _starts(wrapper):
            raise ToolchainError(f"the {program} of {opened.origin} does not start on this machine")


if __name__ == "__main__":
    sys.exit(main())
