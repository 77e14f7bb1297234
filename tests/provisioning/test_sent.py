"""Numbers of messages rise for ever; an image goes out under one version only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provisioning import campus, files, image, layout, sent
from provisioning.campus import Campus
from provisioning.errors import DirectoryError, ImageError, SendError
from provisioning.image import Image
from tests.provisioning.plans import small_plan


@pytest.fixture
def laid_out(tmp_path: Path, mosquitto_passwd: Path) -> Campus:
    return layout.lay_out(tmp_path / "campus", small_plan(), mosquitto_passwd)


def test_numbers_rise_by_meter_and_outlive_the_process(laid_out: Campus) -> None:
    first, second, _ = laid_out.meters
    assert [sent.count_configuration(laid_out, first) for _ in range(2)] == [1, 2]
    again = campus.load(laid_out.folder)
    assert sent.count_configuration(again, again.meters[0]) == 3
    assert sent.count_configuration(laid_out, second) == 1


def test_no_number_is_taken_twice_however_many_take_one_at_once(laid_out: Campus) -> None:
    meter = laid_out.meters[0]
    with ThreadPoolExecutor(8) as takers:
        taken = list(takers.map(lambda _: sent.count_configuration(laid_out, meter), range(80)))
    assert sorted(taken) == list(range(1, 81))


def test_of_two_images_under_one_version_sent_at_once_one_goes_out(laid_out: Campus) -> None:
    meter = laid_out.meters[0]

    def is_taken(image: Image) -> bool:
        try:
            sent.note_update(laid_out, meter, image)
        except SendError:
            return False
        return True

    with ThreadPoolExecutor(4) as senders:
        for version in range(1, 11):
            assert sum(senders.map(is_taken, [Image("linux", version, data) for data in (b"a", b"b", b"c")])) == 1


def test_who_is_stuck_with_a_lock_holds_nobody_up_for_long(laid_out: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_TIMEOUT_S", 0.1)
    meter = laid_out.meters[0]
    lock = meter.config(laid_out.folder).with_name("sent.lock")
    with files.lock(lock), pytest.raises(DirectoryError, match=r"another campusgrid holds .*sent\.lock: end it"):
        sent.count_configuration(laid_out, meter)
    assert sent.count_configuration(laid_out, meter) == 1


def test_the_same_image_is_sent_again_but_no_older_and_no_other_of_its_version(laid_out: Campus) -> None:
    meter = laid_out.meters[0]
    for _ in range(2):
        sent.note_update(laid_out, meter, Image("linux", 5, b"image"))
    for refused in (Image("linux", 4, b"image"), Image("linux", 5, b"another")):
        with pytest.raises(SendError, match="--version 6"):
            sent.note_update(laid_out, meter, refused)
    sent.note_update(laid_out, meter, Image("linux", 6, b"another"))
    assert sent.read(laid_out, meter).version == 6


def test_a_proof_is_kept_for_its_version_and_older_notes_have_none(laid_out: Campus) -> None:
    meter = laid_out.meters[0]
    path = meter.config(laid_out.folder).with_name("sent.json")
    path.write_text('{"configuration": 2, "version": 5, "image": ""}')
    assert not sent.is_proven(laid_out, meter, 5)
    sent.note_proof(laid_out, meter, 5)
    assert sent.is_proven(laid_out, meter, 5)
    assert not sent.is_proven(laid_out, meter, 6)
    assert sent.count_configuration(laid_out, meter) == 3


def test_a_damaged_note_stops_everything(laid_out: Campus) -> None:
    meter = laid_out.meters[0]
    sent.count_configuration(laid_out, meter)
    meter.config(laid_out.folder).with_name("sent.json").write_text("{}")
    with pytest.raises(DirectoryError, match="Restore it"):
        sent.count_configuration(laid_out, meter)


def test_meters_are_named_by_id_or_label(laid_out: Campus) -> None:
    oven = laid_out.meters[1]
    assert laid_out.find_meters([]) == list(laid_out.meters)
    assert laid_out.find_meters(["oven", oven.meter_id.hex()]) == [oven]
    with pytest.raises(DirectoryError, match="no meter 'toaster'"):
        laid_out.find_meters(["oven", "toaster"])


def test_an_image_file_says_what_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "image"
    image.save(Image("esp32", 3, b"romfs"), path)
    assert image.load(path) == Image("esp32", 3, b"romfs")
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"", whole.replace(b"esp32", b"esp99"), whole + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match="no image of a meter"):
            image.load(path)


def test_an_image_that_cannot_be_built_is_refused() -> None:
    with pytest.raises(ImageError, match="choose one of linux"):
        image.build("abacus", 1)
    with pytest.raises(ImageError, match="from 1 to"):
        image.build("linux", 0)
