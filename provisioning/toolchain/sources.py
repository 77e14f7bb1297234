"""The machine's package sources: read from sources.list(5) in both forms, and chosen by whose key signs them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

APT_FOLDER = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Debian's package of keyrings holds this one, and one file per release beside it
DEBIAN_KEYRINGS = re.compile(r"/(usr/share|etc/apt)/keyrings/debian-archive-[a-z0-9-]+\.(gpg|pgp|asc)")
ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>[^#]*)")
YES = ("yes", "true", "on", "1", "with", "enable")


@dataclass(frozen=True, slots=True)
class Source:
    """One archive, suite and set of components of binary packages; `options` are deb822 fields in lower case."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: Mapping[str, str]

    @property
    def signed_by(self) -> str:
        """The keyring that the machine's owner names for this archive, or nothing where apt's default trust holds."""
        return self.options.get("signed-by", "")


def read_sources(folder: Path = APT_FOLDER) -> list[Source]:
    """Return every enabled source of binary packages in the order in which apt reads the files."""
    found = list(parse_one_line(_text(folder / "sources.list")))
    for path in sorted((folder / "sources.list.d").glob("*")):
        if path.suffix == ".list":
            found += parse_one_line(_text(path))
        elif path.suffix == ".sources":
            found += parse_deb822(_text(path))
    return found


def parse_one_line(text: str) -> Iterator[Source]:
    """Yield the `deb` entries of a sources.list file."""
    for line in text.splitlines():
        if entry := ONE_LINE.match(line.strip()):
            options = dict(_option(word) for word in (entry["options"] or "").split())
            yield Source(entry["uri"], entry["suite"], tuple(entry["components"].split()), options)


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the `Types: deb` entries of a .sources file, one per URI and suite."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = _fields(stanza)
        if "deb" not in fields.pop("types", "").split() or fields.pop("enabled", "yes").lower() not in YES:
            continue
        uris, suites, components = (fields.pop(name, "").split() for name in ("uris", "suites", "components"))
        yield from (Source(uri, suite, tuple(components), fields) for uri in uris for suite in suites)


def signed_by_debian(sources: Iterable[Source]) -> list[Source]:
    """Return the sources that Debian's archive key signs, each now naming that keyring.

    An entry that names no key is trusted by the machine through its default keyrings, which may hold others' keys: it
    comes after the explicit ones, and since it names Debian's keyring now, apt itself refuses it where another key
    signs it. An entry with another key, or trusted without any, is left out.
    """
    usable = [source for source in sources if "main" in source.components and not _is_unusable(source)]
    explicit = [source for source in usable if DEBIAN_KEYRINGS.fullmatch(source.signed_by)]
    unnamed = [source for source in usable if not source.signed_by]
    return explicit + [_with_option(source, "signed-by", str(DEBIAN_KEYRING)) for source in unnamed]


def of_suite(sources: Iterable[Source], codename: str, successor: str) -> list[Source]:
    """Return the sources of the release `codename` itself with the suite's name replaced by `successor`."""
    return [replace(source, suite=successor) for source in sources if source.suite == codename]


def render(sources: Iterable[Source], types: str = "deb") -> str:
    """Write sources in deb822 form, main component only; types `deb deb-src` has the packages' sources too."""
    kept = ("signed-by", "check-valid-until")
    return "\n".join(
        f"Types: {types}\nURIs: {source.uri}\nSuites: {source.suite}\nComponents: main\n"
        + "".join(f"{name.title()}: {source.options[name]}\n" for name in kept if name in source.options)
        for source in sources
    )


def codename(os_release: Path = OS_RELEASE) -> str:
    """Return the distribution's release name, such as `bookworm`; empty where the system does not say."""
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', _text(os_release), re.MULTILINE)
    return found[1] if found else ""


def _is_unusable(source: Source) -> bool:
    trusted_blindly = source.options.get("trusted", "no").lower() in YES
    return trusted_blindly or source.uri.startswith(("cdrom:", "file:"))


def _with_option(source: Source, name: str, value: str) -> Source:
    return replace(source, options={**source.options, name: value})


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.rstrip("+-").lower(), value


def _fields(stanza: str) -> dict[str, str]:
    """Read one stanza: `Name: value`, continued on lines that begin with white space."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}".strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
