"""The next release's packages come from the machine's own Debian mirror and from nobody else."""

from __future__ import annotations

from pathlib import Path

from provisioning.toolchain import sources
from provisioning.toolchain.sources import DEBIAN_KEYRING, Source

DEB822 = """\
# the campus mirror
Types: deb deb-src
URIs: http://mirror.example/debian
# a comment inside a stanza
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://vendor.example/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/vendor.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://comment.example/debian bookworm main
deb http://plain.example/debian bookworm main contrib # trailing
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://signed.example/debian bookworm main
deb [signed-by=/etc/apt/keyrings/vendor.asc] http://vendor.example/debian bookworm main
deb [trusted=yes] http://blind.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb http://other.example/debian bookworm stable
deb-src http://plain.example/debian bookworm main
"""


def derived(found: list[Source]) -> list[str]:
    return [source.uri for source in sources.of_suite(sources.signed_by_debian(found), "bookworm", "trixie")]


def test_a_deb822_entry_is_derived_only_when_enabled_and_signed_by_debian() -> None:
    assert derived(list(sources.parse_deb822(DEB822))) == ["http://mirror.example/debian"]


def test_a_one_line_entry_is_derived_only_when_debian_may_have_signed_it() -> None:
    found = list(sources.parse_one_line(ONE_LINE))
    assert derived(found) == ["http://signed.example/debian", "http://plain.example/debian"]


def test_every_derived_entry_names_debians_keyring_and_the_next_release() -> None:
    found = list(sources.parse_one_line(ONE_LINE)) + list(sources.parse_deb822(DEB822))
    text = sources.render(sources.of_suite(sources.signed_by_debian(found), "bookworm", "trixie"))
    assert text.count(f"Signed-By: {DEBIAN_KEYRING}\n") == text.count("Types: deb\n") == 3
    assert "bookworm" not in text


def test_a_mirror_that_is_a_frozen_snapshot_stays_usable() -> None:
    line = "deb [check-valid-until=no] http://snapshot.example/debian bookworm main"
    text = sources.render(
        sources.of_suite(sources.signed_by_debian(sources.parse_one_line(line)), "bookworm", "trixie")
    )
    assert "Check-Valid-Until: no\n" in text


def test_what_is_rendered_is_read_back_as_the_same_sources() -> None:
    found = sources.signed_by_debian(sources.parse_deb822(DEB822))
    again = list(sources.parse_deb822(sources.render(found)))
    assert [(source.uri, source.suite) for source in again] == [(source.uri, source.suite) for source in found]


def test_both_forms_are_read_from_the_machines_folder_and_other_files_are_not(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (parts / "b.sources").write_text(DEB822)
    (parts / "c.list.save").write_text("deb http://saved.example/debian bookworm main\n")
    uris = [source.uri for source in sources.read_sources(tmp_path)]
    assert uris == ["http://a.example/debian", *["http://mirror.example/debian"] * 2, "https://vendor.example/debian"]


def test_a_machine_without_any_source_has_none(tmp_path: Path) -> None:
    assert sources.read_sources(tmp_path) == []


def test_a_garbled_stanza_is_passed_over() -> None:
    assert list(sources.parse_deb822(" lost\nTypes\n\n::\n\nTypes: deb\nURIs:\nSuites: x\n")) == []


def test_the_release_is_named_by_the_system(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('NAME="Debian GNU/Linux"\nVERSION_CODENAME=bookworm\n')
    assert sources.codename(release) == "bookworm"
    assert sources.codename(tmp_path / "absent") == ""
