"""What users really put in: odd files, wrong files, interrupted runs. The models are stand-ins; everything else is
real."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.cli.main import main
from gpoa.datasets.image_io import load_image
from tests.fake_backbones import FakeBackbones

HEIGHT, WIDTH = 96, 144


def _picture(x: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> tuple[np.ndarray, np.ndarray]:
    """A red square on a green ground, and its mask."""
    image = np.zeros((*size, 3), dtype=np.uint8)
    image[..., 1] = 180
    mask = np.zeros(size, dtype=bool)
    mask[size[0] // 3 : size[0] // 3 * 2, x : x + size[1] // 3] = True
    image[mask] = (220, 30, 30)
    return image, mask


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a reference, its mask and three targets; the models are stand-ins."""
    monkeypatch.setattr("gpoa.pipeline.image.Backbones", FakeBackbones)
    image, mask = _picture(20)
    Image.fromarray(image).save(tmp_path / "ref.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "images").mkdir()
    for number, x in enumerate((10, 45, 80)):
        Image.fromarray(_picture(x)[0]).save(tmp_path / "images" / f"t{number}.png")
    return tmp_path


def _run(work: Path, *extra: str, mask: str = "mask.png", targets: str = "images", out: str = "out") -> int:
    """`gpoa run` on the folder; returns the exit status."""
    arguments = ["--reference", str(work / "ref.png"), "--mask", str(work / mask)]
    arguments += ["--targets", str(work / targets), "--output", str(work / out)]
    return main(["run", *arguments, *extra])


def _iou(work: Path, stem: str, x: int) -> float:
    """IoU of a written mask with the square at x."""
    made, truth = np.asarray(Image.open(work / "out" / "masks" / f"{stem}.png")) > 0, _picture(x)[1]
    return float((made & truth).sum() / (made | truth).sum())


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    text = capsys.readouterr().err.strip()
    assert text and "\n" not in text, text
    return text


def test_good_input(work: Path, capsys: pytest.CaptureFixture[str]):
    assert _run(work, "--coco") == 0
    assert "3 segmented of 3 images" in capsys.readouterr().out
    for number, x in enumerate((10, 45, 80)):
        assert _iou(work, f"t{number}", x) > 0.8
        assert (work / "out" / "overlays" / f"t{number}.jpg").is_file()
        assert (work / "out" / "initial_prompts" / "pictures" / f"t{number}.jpg").is_file()
    assert (work / "out" / "contact_sheet.jpg").is_file()
    assert len(json.loads((work / "out" / "coco.json").read_text())["annotations"]) == 3
    assert len(json.loads((work / "out" / "run.json").read_text())["images"]) == 3


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda image: image.resize((50, 50)), r"50.*96|96.*50"),  # another size than its image
        (lambda image: Image.new("L", image.size, 0), "empty"),
        (lambda image: Image.new("L", image.size, 255), "whole|covers"),
    ],
    ids=["size", "empty", "full"],
)
def test_unusable_mask(work: Path, capsys: pytest.CaptureFixture[str], make, said: str):
    make(Image.open(work / "mask.png").convert("L")).save(work / "bad.png")
    assert _run(work, mask="bad.png") == 2
    line = _error(capsys)
    assert "bad.png" in line and re.search(said, line)


def _as_16_bit(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint16) * 65535)


def _as_palette(mask: np.ndarray) -> Image.Image:
    image = Image.new("P", mask.shape[::-1])
    image.putdata(mask.astype(np.uint8).reshape(-1).tolist())
    image.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    return image


def _as_rgba(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([mask.astype(np.uint8) * 255] * 3 + [np.full(mask.shape, 255, np.uint8)]), "RGBA")


@pytest.mark.parametrize(
    "form",
    [
        lambda mask: Image.fromarray(mask),  # 1 bit
        lambda mask: Image.fromarray(mask.astype(np.uint8)),  # labels 0 and 1
        lambda mask: Image.fromarray(mask.astype(np.uint8) * 255),
        _as_16_bit,
        _as_palette,
        lambda mask: Image.fromarray(np.dstack([mask.astype(np.uint8) * 255] * 3)),
        _as_rgba,
    ],
    ids=["1-bit", "label", "8-bit", "16-bit", "palette", "rgb", "rgba"],
)
def test_every_form_of_mask_gives_the_same_result(work: Path, form):
    mask = _picture(20)[1]
    form(mask).save(work / "form.png")
    assert _run(work, mask="form.png") == 0
    assert _iou(work, "t0", 10) > 0.8 and _iou(work, "t2", 80) > 0.8


def test_odd_images_work(work: Path):
    """Grey, 16-bit, CMYK, alpha, and names with spaces and letters of other alphabets."""
    image = _picture(45)[0]
    folder = work / "images"
    Image.fromarray(image).convert("L").save(folder / "grey.png")
    Image.fromarray(image[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(image).convert("CMYK").save(folder / "print.jpg")
    Image.fromarray(image).convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(image).save(folder / "Пузырь № 1 気泡.png")
    assert _run(work) == 0
    for stem in ("grey", "deep", "print", "alpha", "Пузырь № 1 気泡"):
        assert Image.open(work / "out" / "masks" / f"{stem}.png").size == (WIDTH, HEIGHT)
    assert _iou(work, "Пузырь № 1 気泡", 45) > 0.8 and _iou(work, "alpha", 45) > 0.8


def test_exif_rotation_is_applied(work: Path):
    """A picture stored lying down with "turn me" gives a mask that stands up."""
    upright = _picture(45)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to show
    Image.fromarray(np.rot90(upright)).save(work / "images" / "turned.png", exif=exif)
    assert np.array_equal(load_image(work / "images" / "turned.png"), upright)
    assert _run(work) == 0
    assert _iou(work, "turned", 45) > 0.8


def test_bad_files_among_good_ones(work: Path, capsys: pytest.CaptureFixture[str]):
    (work / "images" / "a_zero.png").write_bytes(b"")
    (work / "images" / "b_broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    whole = (work / "images" / "t0.png").read_bytes()
    (work / "images" / "c_cut.png").write_bytes(whole[: len(whole) // 2])
    assert _run(work) == 1
    shown = capsys.readouterr()
    assert "3 segmented, 3 failed of 6 images" in shown.out
    for name in ("a_zero.png", "b_broken.jpg", "c_cut.png"):
        assert name in shown.err
    assert sorted(path.stem for path in (work / "out" / "masks").iterdir()) == ["t0", "t1", "t2"]


def test_two_files_of_one_stem_both_get_masks(work: Path):
    Image.fromarray(_picture(80)[0]).save(work / "images" / "t0.bmp")
    assert _run(work) == 0
    assert len(list((work / "out" / "masks").iterdir())) == 4


@pytest.mark.parametrize("size", [(20, 20), (4000, 6000)], ids=["tiny", "huge"])
def test_extreme_sizes(work: Path, size: tuple[int, int]):
    image, truth = _picture(size[1] // 2, size)
    (work / "one").mkdir()
    Image.fromarray(image).save(work / "one" / "x.png", compress_level=1)
    assert _run(work, targets="one") == 0
    made = np.asarray(Image.open(work / "out" / "masks" / "x.png")) > 0
    assert made.shape == size
    assert (made & truth).sum() / (made | truth).sum() > 0.6


def test_empty_and_missing_target_folder(work: Path, capsys: pytest.CaptureFixture[str]):
    (work / "none").mkdir()
    for name in ("none", "nowhere"):
        assert _run(work, targets=name) == 2
        assert name in _error(capsys)


def test_unwritable_output(work: Path, capsys: pytest.CaptureFixture[str]):
    (work / "file").write_text("in the way")
    assert _run(work, out="file/out") == 2
    assert "cannot be written" in _error(capsys)


def test_absent_object(work: Path, capsys: pytest.CaptureFixture[str]):
    """An image of another colour altogether: an empty mask, said so; the others are segmented."""
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), (10, 10, 200), np.uint8)).save(work / "images" / "blue.png")
    assert _run(work, "--threshold.presence", "0.9") == 0
    assert "3 segmented, 1 without the object of 4 images" in capsys.readouterr().out
    assert not np.asarray(Image.open(work / "out" / "masks" / "blue.png")).any()
    assert json.loads((work / "out" / "optimized_prompts" / "blue.json").read_text())["status"] == "absent"


def test_numbers_of_references_and_masks_differ(work: Path, capsys: pytest.CaptureFixture[str]):
    extra = str(work / "ref.png")
    arguments = ["--reference", extra, extra, "--mask", str(work / "mask.png"), "--targets", str(work / "images")]
    assert main(["run", *arguments, "--output", str(work / "out")]) == 2
    assert "2 reference images but 1 masks" in _error(capsys)


def test_second_run_keeps_everything_and_a_change_is_noticed(work: Path, capsys: pytest.CaptureFixture[str]):
    assert _run(work) == 0
    before = {path: path.stat().st_mtime_ns for path in (work / "out" / "masks").iterdir()}
    assert _run(work) == 0
    assert "3 already there" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (work / "out" / "masks").iterdir()}
    Image.fromarray(_picture(60)[0]).save(work / "images" / "t1.png")
    (work / "out" / "masks" / "t2.png").unlink()
    assert _run(work) == 0
    assert "2 segmented, 1 already there" in capsys.readouterr().out
    assert _iou(work, "t1", 60) > 0.8
    # The trained policy knows other candidates.
    assert _run(work, "--candidates.positives", "3", "--strategy", "quality") == 2
    assert "use the policy's values, another policy, or another --strategy" in _error(capsys)
    assert _run(work, "--candidates.positives", "3") == 0
    assert "3 segmented of 3" in capsys.readouterr().out


def test_interrupted_run_loses_nothing(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    calls, honest = [], FakeBackbones.embedding

    def interrupted(self: FakeBackbones, image: np.ndarray, key: str | None = None):
        calls.append(1)
        if len(calls) > 8:  # two for the reference, three an image: in the third image
            raise KeyboardInterrupt
        return honest(self, image, key)

    monkeypatch.setattr(FakeBackbones, "embedding", interrupted)
    assert _run(work) == 130
    assert "2 segmented" in capsys.readouterr().out
    monkeypatch.setattr(FakeBackbones, "embedding", honest)
    assert _run(work) == 0
    assert "1 segmented, 2 already there" in capsys.readouterr().out


def test_stages_one_by_one_equal_the_run(work: Path):
    assert _run(work, "--strategy", "best-of-n") == 0
    inputs = ["--targets", str(work / "images")]
    example = ["--reference", str(work / "ref.png"), "--mask", str(work / "mask.png")]
    first, second, third = (str(work / name) for name in ("p", "o", "s"))
    assert main(["prompts", *example, *inputs, "--output", first]) == 0
    assert main(["optimize", "--prompts", first, *inputs, "--output", second, "--strategy", "best-of-n"]) == 0
    assert main(["segment", "--prompts", second, *inputs, "--output", third]) == 0
    for number in range(3):
        together, apart = (work / name / "masks" / f"t{number}.png" for name in ("out", "s"))
        assert np.array_equal(np.asarray(Image.open(together)), np.asarray(Image.open(apart)))


def test_prompts_of_other_models_are_refused(work: Path, capsys: pytest.CaptureFixture[str]):
    assert _run(work) == 0
    capsys.readouterr()
    arguments = ["--prompts", str(work / "out" / "optimized_prompts"), "--targets", str(work / "images")]
    assert main(["segment", *arguments, "--output", str(work / "s"), "--models.features", "other"]) == 1
    assert "prompts were made with fake-dinov2-small" in capsys.readouterr().err


def test_prompts_written_by_hand(work: Path):
    (work / "mine").mkdir()
    for number, x in enumerate((10, 45, 80)):
        plain = {"point_coords": [[x + 20, 48], [5, 5]], "point_labels": [1, 0]}
        (work / "mine" / f"t{number}.json").write_text(json.dumps(plain))
    arguments = ["--prompts", str(work / "mine"), "--targets", str(work / "images")]
    assert main(["optimize", *arguments, "--output", str(work / "better"), "--strategy", "greedy"]) == 0
    for mode in ("joint", "components"):
        assert main(["segment", *arguments, "--output", str(work / mode), "--segment.mode", mode]) == 0
        mask = np.asarray(Image.open(work / mode / "masks" / "t1.png")) > 0
        assert mask[48, 65] and not mask[5, 5]


def test_unknown_verb_and_help(capsys: pytest.CaptureFixture[str]):
    assert main(["segmnt"]) == 2
    assert "unknown verb 'segmnt'" in _error(capsys)
    assert main(["-h"]) == 0
    shown = capsys.readouterr().out
    for verb in ("run", "prompts", "optimize", "segment", "evaluate", "models", "doctor"):
        assert verb in shown
        with pytest.raises(SystemExit) as ended:
            main([verb, "-h"])
        assert ended.value.code == 0


def test_bad_value_names_its_flag(work: Path, capsys: pytest.CaptureFixture[str]):
    assert _run(work, "--budget", "0") == 2
    assert "--budget 0" in _error(capsys)
