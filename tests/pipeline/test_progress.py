"""The loop over images: what is counted, what ends it, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpoa.errors import DiskFullError, ImageError
from gpoa.pipeline.progress import Item, Report, process
from gpoa.types import Sample

SAMPLES = [Sample(stem, Path(f"{stem}.png")) for stem in "abc"]


def _stop_at(stem: str, error: BaseException):
    """Work that raises at one image."""

    def work(sample: Sample) -> Item:
        if sample.stem == stem:
            raise error
        return Item(sample.stem)

    return work


@pytest.mark.parametrize(
    "error, said",
    [
        (ImageError("b.png: cut\noff"), "b.png: cut off"),  # ours: its own line
        (OSError("disk gone"), "disk gone"),
        (KeyError("x"), "KeyError: 'x'"),  # a defect: its kind is named
    ],
)
def test_a_failing_image_is_counted_and_the_rest_goes_on(error: Exception, said: str):
    report = process(SAMPLES, _stop_at("b", error), None, 3)
    assert [(item.stem, item.status, item.error) for item in report.items] == [
        ("a", "ok", ""),
        ("b", "failed", said),
        ("c", "ok", ""),
    ]
    assert report.exit_code == 1 and not report.interrupted


def test_an_interrupt_keeps_what_is_done():
    report = process(SAMPLES, _stop_at("c", KeyboardInterrupt()), None, 3)
    assert [item.stem for item in report.items] == ["a", "b"]
    assert report.exit_code == 130
    assert report.summary().startswith("2 segmented, 1 not reached (interrupted; run the same command to go on) of 3 ")


def test_each_item_is_told_with_its_time_and_a_deaf_listener_ends_the_batch():
    told = []
    process(SAMPLES, lambda sample: Item(sample.stem), None, 3, told.append)
    assert [item.stem for item in told] == ["a", "b", "c"] and all(item.seconds >= 0 for item in told)

    def deaf(item: Item) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        process(SAMPLES, lambda sample: Item(sample.stem), None, 3, deaf)


def test_summary_names_what_there_is():
    items = [Item("a"), Item("b", "kept"), Item("c", "absent"), Item("d", "failed"), Item("e", doubtful=True)]
    said = Report(6, items, seconds=2.0).summary()
    assert said == (
        "2 segmented, 1 already there, 1 without the object, 1 failed, 1 doubtful, the object may be absent, "
        "1 not reached (run the same command to go on) of 6 images in 2.0 s"
    )


def test_images_without_the_object_are_named_the_first_few():
    """A kept image of which the earlier run said so counts, too."""
    items = [Item(f"a{number}", "absent") for number in range(6)] + [Item("b", "kept", 0.0), Item("c", "kept", 0.4)]
    report = Report(9, [*items, Item("d", doubtful=True)], notes=["a note"])
    assert report.remarks() == ["without the object: a0, a1, a2, a3, a4 and 2 more", "doubtful: d", "a note"]


def test_a_full_disk_ends_the_batch():
    report = process(SAMPLES, _stop_at("b", DiskFullError("b.png: cannot be written, the disk is full")), None, 3)
    assert [(item.stem, item.status) for item in report.items] == [("a", "ok"), ("b", "failed")]
    assert "1 failed, 1 not reached (the disk is full; run the same command to go on)" in report.summary()
    report.unwritten["run.json"] = "why"
    assert report.remarks() == ["not written either: run.json"] and report.exit_code == 1
    assert "disk_full" not in report.items[1].plain


def test_a_file_that_is_missing_at_the_end_is_no_success():
    report = Report(1, [Item("a")], unwritten={"run.json": "no permission"})
    assert report.exit_code == 1 and report.remarks() == ["not written: run.json (no permission)"]


def test_a_closed_terminal_ends_no_work(monkeypatch: pytest.MonkeyPatch):
    """What is drawn there fails; the images go on."""

    class Dead:
        def __init__(self, **settings: object) -> None:
            pass

        def update(self) -> None:
            raise OSError(5, "Input/output error")

        close = update

    monkeypatch.setattr("tqdm.tqdm", Dead)
    report = process(SAMPLES, lambda sample: Item(sample.stem), "run", 3)
    assert report.count("ok") == 3
