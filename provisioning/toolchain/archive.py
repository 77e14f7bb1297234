"""Packages of a Debian archive, fetched and unpacked beside the system: nothing outside the project changes.

Every apt-get here runs with a configuration, package lists, cache and state of its own in a private folder, so that it
needs no right and leaves no trace; apt still checks every signature and hash.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provisioning.toolchain import sources
from provisioning.toolchain.cache import CACHE
from provisioning.toolchain.errors import ToolchainError
from provisioning.toolchain.sources import Source

DPKG_STATUS = Path("/var/lib/dpkg/status")
FETCH_LIMIT_S = 300  # one apt-get run, over a slow line
# what a machine's apt configuration may say about the way to its mirrors; the rest of it is not ours to follow
KEPT_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::socks", "Acquire::ForceIPv", "Acquire::Check-")
CONFIGURATION = """\
Dir::Etc "{folder}/etc";
Dir::State "{folder}/state";
Dir::State::status "{status}";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}/log";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive with its package lists read, ready to download from."""

    folder: Path
    origin: str

    def additions(self, package: str) -> list[str]:
        """Return the package and those that it depends on which the machine lacks."""
        plan = self._apt_get("install", "--simulate", "--no-install-recommends", package)
        missing = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        return [package, *(name for name in missing if name != package)]

    def unpack(self, packages: Sequence[str], into: Path) -> None:
        """Download the packages and unpack their files below `into`."""
        downloads = self.folder / "downloads"
        downloads.mkdir(exist_ok=True)
        self._apt_get("download", *packages, cwd=downloads)
        into.mkdir(parents=True, exist_ok=True)
        for package in sorted(downloads.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(into)], check=True)

    def download_source(self, package: str) -> Path:
        """Download the package's sources and return the upstream tarball; it is gone with the archive."""
        downloads = self.folder / "downloads"
        downloads.mkdir(exist_ok=True)
        self._apt_get("source", "--download-only", package, cwd=downloads)
        found = sorted(downloads.glob("*.orig.tar.*"))
        if len(found) != 1:
            raise ToolchainError(f"the source package {package} of {self.origin} has no single upstream tarball")
        return found[0]

    def _apt_get(self, *arguments: str, cwd: Path | None = None) -> str:
        return _apt_get(self.folder, self.origin, arguments, cwd or self.folder)


@contextmanager
def opened(found: Sequence[Source], *, with_sources: bool = False) -> Iterator[Archive]:
    """Read the package lists of these sources in a private folder, which is gone afterwards.

    A source that is out of reach, or not signed by the key that it names, is left aside; raises ToolchainError when
    that leaves none.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise ToolchainError("there is no apt-get: use Debian 12 or 13 or Raspberry Pi OS")
    origin = ", ".join(sorted({f"{source.uri} {source.suite}" for source in found}))
    with tempfile.TemporaryDirectory(prefix="apt-", dir=CACHE) as name:
        folder = Path(name)
        _lay_out(folder, sources.render(found, "deb deb-src" if with_sources else "deb"))
        _read_lists(folder, origin)
        yield Archive(folder, origin)


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a fresh folder and put it in the place of `target` in one step, so that no half of it is ever seen."""
    staging = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=CACHE))
    try:
        staging.chmod(0o755)
        fill(staging)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _lay_out(folder: Path, listed: str) -> None:
    for part in (
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/sources.list.d",
        "state/lists/partial",
        "cache/archives/partial",
        "log",
    ):
        (folder / part).mkdir(parents=True)
    (folder / "etc/sources.list.d/archive.sources").write_text(listed)
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    kept = "".join(f"{line}\n" for line in settings.splitlines() if line.startswith(KEPT_SETTINGS))
    (folder / "apt.conf").write_text(kept + CONFIGURATION.format(folder=folder, status=DPKG_STATUS))


def _read_lists(folder: Path, origin: str) -> None:
    try:
        _apt_get(folder, origin, ["update", "--error-on=any"], folder)
    except ToolchainError:
        if not any((folder / "state/lists").glob("*_Packages*")):  # apt keeps only lists whose signature it verified
            raise


def _apt_get(folder: Path, origin: str, arguments: Sequence[str], cwd: Path) -> str:
    # APT_CONFIG is read before the machine's apt.conf.d, whose place it moves into the private folder
    settings = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
    command = ["apt-get", "-q", "-y", *arguments]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(f"{origin} takes longer than {FETCH_LIMIT_S} s to answer: try again later") from error
    if done.returncode == 0:
        return done.stdout
    reasons = [line[2:].strip() for line in sorted(done.stderr.splitlines()) if line.startswith(("E:", "W:"))]
    reason = reasons[0].rstrip(".") if reasons else "no reason given"
    raise ToolchainError(f"apt-get {arguments[0]} from {origin} failed: {reason}. Check the network and try again.")
