"""Accepted masks as files, references, engine, pictures: the small parts."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gpoa.app.accepted import Accepted, accepted_path, read_accepted, remove_accepted, write_accepted
from gpoa.app.engine import Engine
from gpoa.app.guard import LOOPBACK, is_loopback, names_for
from gpoa.app.pictures import THUMB, Pixels, border_of, close_up, thumbnail
from gpoa.app.references import choose_references
from gpoa.app.serving import bind
from gpoa.cli.main import main
from gpoa.config import ReadingConfig
from gpoa.errors import ConfigError
from gpoa.types import Sample


def test_accepted_masks_come_back_in_their_order(tmp_path: Path) -> None:
    mask = np.eye(8, dtype=bool)
    write_accepted(tmp_path, Accepted("b/c", 1, clicks=3), mask)  # a stem with its folder
    write_accepted(tmp_path, Accepted("a.x", 2, absent=True), ~mask)
    assert read_accepted(tmp_path) == [Accepted("b/c", 1, clicks=3), Accepted("a.x", 2, absent=True)]
    remove_accepted(tmp_path, "b/c")
    assert [one.stem for one in read_accepted(tmp_path)] == ["a.x"]


def test_damaged_files_do_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_accepted(tmp_path, Accepted("a", 1), np.eye(8, dtype=bool))
    write_accepted(tmp_path, Accepted("b", 2), np.eye(8, dtype=bool))
    for content in ("{", "[]", '{"order": "x"}', "{}"):
        accepted_path(tmp_path, "a", ".json").write_text(content)
        assert [one.stem for one in read_accepted(tmp_path)] == ["b"]
    accepted_path(tmp_path, "b").unlink()
    assert read_accepted(tmp_path) == [] and "mask beside it is missing" in caplog.text


def test_a_mask_accepted_again_never_counts_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the new mask and its json file, the image is not accepted: the old json would name a new mask."""
    write_accepted(tmp_path, Accepted("a", 1), np.eye(8, dtype=bool))
    monkeypatch.setattr("gpoa.app.accepted.write_atomic", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_accepted(tmp_path, Accepted("a", 2), ~np.eye(8, dtype=bool))
    assert read_accepted(tmp_path) == []


def test_the_first_and_the_latest_are_learned_from() -> None:
    assert choose_references([1, 2, 3], most=3) == [1, 2, 3]
    assert choose_references([1, 2, 3, 4, 5], most=3) == [1, 4, 5]
    assert choose_references([1, 2], most=1) == [1]


def test_a_run_lets_a_person_pass() -> None:
    engine, order, begun = Engine(lambda: SimpleNamespace(), patience=0.05), [], threading.Event()

    def person() -> None:
        with engine.for_person():
            order.append("person")

    with engine.for_run():
        thread = threading.Thread(target=person)
        thread.start()
        begun.wait(0.05)
        order.append("run")
        engine.step_aside()
        order.append("run")
    thread.join()
    assert order == ["run", "person", "run"]
    began = time.monotonic()
    with engine.for_run():
        engine.step_aside()  # nobody waits, nobody clicked lately
    assert time.monotonic() - began < 1


def test_pixels_keep_within_their_budget() -> None:
    read: list[int] = []
    pixels = Pixels(lambda index: read.append(index) or np.zeros((10, 10, 3), np.uint8), budget=700)
    for index in (0, 1, 1, 0, 2, 0, 1):
        pixels.get(index)
    assert read == [0, 1, 2, 1]  # two fit; the one that was unused longest goes


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_thumbnails_are_small_upright_and_show_the_mask(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGB", (900, 600), (200, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6 if suffix == "jpg" else 1  # a photograph that lies down
    image.save(tmp_path / f"a.{suffix}", **({"exif": exif} if suffix == "jpg" else {}))
    mask = np.zeros((900, 600) if suffix == "jpg" else (600, 900), dtype=np.uint8)
    mask[:300] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    sample = Sample("a", tmp_path / f"a.{suffix}")
    made = Image.open(io.BytesIO(thumbnail(sample, ReadingConfig(), tmp_path / "mask.png")))
    assert max(made.size) <= THUMB and (made.height > made.width) == (suffix == "jpg")
    pixels = np.asarray(made).astype(int)
    assert pixels[20, 50, 2] > 90 and pixels[-20, 50, 2] < 60  # blue above, the image's red below


def test_a_close_up_is_cut_to_the_image() -> None:
    image = np.zeros((50, 80, 3), np.uint8)
    assert close_up(image, (-5, 40, 20, 99)).shape == (10, 20, 3)
    with pytest.raises(ValueError, match="outside"):
        close_up(image, (80, 0, 90, 10))


def test_border_lies_inside() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:7, 2:7] = True
    inside = np.zeros_like(mask)
    inside[3:6, 3:6] = True
    assert (border_of(mask, 1) == mask & ~inside).all()


def test_which_addresses_are_this_machines() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.0.1", "localhost", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.1.5", "example.org", "::")))
    assert names_for("127.0.0.1") == LOOPBACK and {"192.168.1.5", *LOOPBACK} <= names_for("192.168.1.5")


def test_a_port_in_use_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    taken = bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    try:
        output = str(tmp_path / "out")
        assert main(["app", str(tmp_path), "--output", output, "--port", str(port), "--no-browser"]) == 2
    finally:
        taken.close()
    assert f"--port {port}: in use" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="cannot listen there"):
        bind("203.0.113.7", 0)  # an address of the documentation, nobody's
    with pytest.raises(ConfigError, match="0 to 65535"):
        bind("127.0.0.1", 70000)
