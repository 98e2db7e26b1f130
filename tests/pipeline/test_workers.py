"""Several processes on one folder: the files of one process, deaths, ctrl-C. Models are stand-ins, processes real."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gpoa.pipeline.image
from gpoa.cli.main import main
from gpoa.config import GpoaConfig, OptimizeConfig
from gpoa.datasets.folder import find_samples
from gpoa.errors import ConfigError, GpoaError, ModelError
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.folder import run_folder
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.workers import Job, choose_devices, run_parallel
from tests.fake_backbones import FakeBackbones

DATA = Path(__file__).resolve().parents[2] / "data"
FATAL = (250, 250, 0)
"""An image of this colour at the upper left kills the process that looks at it."""


def fake_segmenter(config: GpoaConfig, cache: EmbeddingCache) -> ImagePipeline:
    """A segmenter without models; workers find it by its name."""
    gpoa.pipeline.image.Backbones = FakeBackbones
    return ImagePipeline(config, cache)


class FatalBackbones(FakeBackbones):
    """Dies as a process dies that the system takes the memory from."""

    def embedding(self, image: np.ndarray, key: str | None = None):
        """See `FakeBackbones`."""
        if tuple(image[0, 0]) == FATAL:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embedding(image, key)


class SlowBackbones(FakeBackbones):
    """Takes its time."""

    def embedding(self, image: np.ndarray, key: str | None = None):
        """See `FakeBackbones`."""
        time.sleep(0.15)
        return super().embedding(image, key)


def fatal_segmenter(config: GpoaConfig, cache: EmbeddingCache) -> ImagePipeline:
    """See `FatalBackbones`."""
    gpoa.pipeline.image.Backbones = FatalBackbones
    return ImagePipeline(config, cache)


def slow_segmenter(config: GpoaConfig, cache: EmbeddingCache) -> ImagePipeline:
    """See `SlowBackbones`."""
    gpoa.pipeline.image.Backbones = SlowBackbones
    return ImagePipeline(config, cache)


def dead_on_arrival(config: GpoaConfig, cache: EmbeddingCache) -> ImagePipeline:
    """A process that never begins."""
    os._exit(3)


def no_such_model(config: GpoaConfig, cache: EmbeddingCache) -> ImagePipeline:
    """A mistake that the user can mend."""
    raise ModelError("--models.features nothing: not a feature model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reference, its mask and seven targets."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in ("ref", *(f"images/t{number}" for number in range(7))):
        image = rng.integers(0, 60, (60, 90, 3), dtype=np.uint8)
        x = int(rng.integers(5, 50))
        image[20:45, x : x + 30] = (210, 40, 40)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        if name == "ref":
            mask = np.zeros((60, 90), dtype=bool)
            mask[20:45, x : x + 30] = True
            Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def _job(folder: Path, build: Callable[..., ImagePipeline], out: str = "out") -> Job:
    config = GpoaConfig(optimize=OptimizeConfig(strategy="best-of-n", budget=3))
    samples = find_samples(folder / "images")
    reference, mask = [folder / "ref.png"], [folder / "mask.png"]
    return Job(config, EmbeddingCache(None), reference, mask, samples, folder / out, build=build)


def _files(output: Path) -> dict[str, bytes]:
    """Every file below a folder but the one with times and commands."""
    paths = (path for path in output.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(output)): path.read_bytes() for path in paths}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """torch with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_processes_write_what_one_writes(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A broken file among them, and a second run that keeps all."""
    (folder / "images" / "t3.png").write_bytes(b"no picture")
    job = _job(folder, fake_segmenter)
    report = run_parallel(job, ["auto", "cpu"], folder / "out" / "coco.json", "gpoa run")
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    with _one_thread():  # as in each worker: the prior's convolutions round differently with more
        segmenter = ImagePipeline(job.config, EmbeddingCache(None)).fit(job.references, job.masks)
        alone = run_folder(segmenter, folder / "images", folder / "alone", folder / "alone" / "coco.json")

    assert [(item.stem, item.status, item.error) for item in report.items] == [
        (item.stem, item.status, item.error) for item in alone.items
    ]
    assert report.items[3].status == "failed" and "t3.png" in report.items[3].error and report.exit_code == 1
    files = _files(folder / "out")
    assert len([name for name in files if name.startswith("masks/")]) == 6
    assert files == _files(folder / "alone")
    one, two = (json.loads((folder / name / "run.json").read_text()) for name in ("alone", "out"))
    assert (one["processes"], two["processes"], two["device"]) == (1, 2, "auto cpu")
    assert one["run_digest"] == two["run_digest"] and one["models"] == two["models"]

    again = run_parallel(job, ["cpu", "cpu"])
    assert [item.status for item in again.items] == ["kept"] * 3 + ["failed"] + ["kept"] * 3


def test_a_killed_worker_costs_one_image(folder: Path, capfd: pytest.CaptureFixture[str]):
    image = np.asarray(Image.open(folder / "images" / "t2.png")).copy()
    image[0, 0] = FATAL
    Image.fromarray(image).save(folder / "images" / "t2.png")
    report = run_parallel(_job(folder, fatal_segmenter), ["cpu", "cpu"])
    assert [item.status for item in report.items] == ["ok", "ok", "failed", "ok", "ok", "ok", "ok"]
    assert re.fullmatch(
        r"worker process [12] of 2 on cpu died over it \(SIGKILL; out of memory\?\)", report.items[2].error
    )
    assert report.exit_code == 1
    assert "Traceback" not in capfd.readouterr().err
    assert len(list((folder / "out" / "masks").iterdir())) == 6


def test_when_all_workers_are_killed_the_rest_is_not_reached(folder: Path):
    for path in (folder / "images").iterdir():
        image = np.asarray(Image.open(path)).copy()
        image[0, 0] = FATAL
        Image.fromarray(image).save(path)
    report = run_parallel(_job(folder, fatal_segmenter), ["cpu", "cpu"])
    assert [item.status for item in report.items] == ["failed", "failed"] and report.exit_code == 1
    assert "2 failed, 5 not reached (run the same command to go on) of 7" in report.summary()


def test_what_stops_the_first_worker_stops_the_run_with_its_message(folder: Path, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(ModelError, match="^--models.features nothing: not a feature model$"):
        run_parallel(_job(folder, no_such_model), ["cpu", "cpu"])
    with pytest.raises(GpoaError, match="no worker process lived to its first image"):
        run_parallel(_job(folder, dead_on_arrival), ["cpu", "cpu"])
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own answer to ctrl-C, which a run in a shell's background does not begin with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_all_workers_and_keeps_what_is_done(folder: Path, capfd: pytest.CaptureFixture[str]):
    job = _job(folder, slow_segmenter)
    pressed = []

    def press() -> None:
        while not any((folder / "out" / "optimized_prompts").glob("*.json")):
            time.sleep(0.01)
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    hand = threading.Thread(target=press)
    hand.start()
    report = run_parallel(job, ["cpu", "cpu"])
    ended = time.monotonic()
    hand.join()
    assert report.interrupted and report.exit_code == 130 and ended - pressed[0] < 4
    done = {path.stem for path in (folder / "out" / "optimized_prompts").glob("*.json")}
    assert 1 <= len(done) < 7 and {item.stem for item in report.items} <= done
    assert not list((folder / "out").rglob("*.tmp"))
    assert "Traceback" not in capfd.readouterr().err
    again = run_parallel(job, ["cpu", "cpu"])
    assert {item.stem for item in again.items if item.status == "kept"} == done and again.count("ok") == 7 - len(done)


SCRIPT = """
import sys
from pathlib import Path
from gpoa.pipeline.workers import run_parallel
from gpoa.pipeline.folder import run_folder
from gpoa.runtime.signals import ending_signals
from tests.pipeline.test_workers import _job, slow_segmenter

if __name__ == "__main__":
    job = _job(Path(sys.argv[1]), slow_segmenter)
    with ending_signals():
        if sys.argv[2] == "2":
            report = run_parallel(job, ["cpu", "cpu"])
        else:
            segmenter = slow_segmenter(job.config, job.cache).fit(job.references, job.masks)
            report = run_folder(segmenter, Path(sys.argv[1]) / "images", job.output)
    print(report.summary())
    sys.exit(report.exit_code)
"""


@pytest.mark.parametrize("processes, number", [("1", signal.SIGHUP), ("1", signal.SIGTERM), ("2", signal.SIGTERM)])
def test_sigterm_and_sighup_end_a_run_as_ctrl_c_does(folder: Path, processes: str, number: int):
    """Sent to every process of the run, as service managers and terminals do: no image fails over it."""
    (folder / "script.py").write_text(SCRIPT)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(folder / "script.py"), str(folder), processes]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Where the tests run under nohup, SIGHUP is ignored by all that they start, and gpoa respects that.
    heard = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    run = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=heard, **pipes)
    until = time.monotonic() + 240
    while not any((folder / "out" / "optimized_prompts").glob("*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(run.pid, number)
    said, complained = run.communicate(timeout=60)
    assert run.returncode == 130 and "not reached (interrupted;" in said and "failed" not in said, (said, complained)
    assert "Traceback" not in complained
    plain = json.loads((folder / "out" / "run.json").read_text())
    assert plain["interrupted"] and 1 <= len(plain["images"]) < 7
    assert {image["status"] for image in plain["images"]} == {"ok"}
    assert (folder / "out" / "contact_sheet.jpg").is_file()


class FullBackbones(FakeBackbones):
    """The disk is full from the second image of a process on."""

    seen = 0

    def embedding(self, image: np.ndarray, key: str | None = None):
        """See `FakeBackbones`; two calls for the reference and the first image."""
        FullBackbones.seen += 1
        if FullBackbones.seen > 4:
            os.replace = _no_space
        return super().embedding(image, key)


def _no_space(source: Path, target: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_segmenter(config: GpoaConfig, cache: EmbeddingCache) -> ImagePipeline:
    """See `FullBackbones`."""
    gpoa.pipeline.image.Backbones = FullBackbones
    return ImagePipeline(config, cache)


def test_a_full_disk_ends_all_workers(folder: Path, capfd: pytest.CaptureFixture[str]):
    report = run_parallel(_job(folder, full_segmenter), ["cpu", "cpu"])
    failed = [item for item in report.items if item.status == "failed"]
    assert 1 <= len(failed) <= 2 and all("the disk is full (No space left" in item.error for item in failed)
    assert "not reached (the disk is full; run the same command to go on)" in report.summary()
    assert report.exit_code == 1 and report.count("ok") == len(
        list((folder / "out" / "optimized_prompts").glob("*.json"))
    )
    assert (folder / "out" / "run.json").is_file()  # the parent could write again
    assert "Traceback" not in capfd.readouterr().err


def test_ctrl_c_before_the_models_are_loaded_leaves_an_earlier_run_alone(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "out").mkdir()
    (folder / "out" / "run.json").write_text("earlier")

    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpoa.pipeline.workers._Crew._start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_parallel(_job(folder, fake_segmenter), ["cpu", "cpu"])
    assert (folder / "out" / "run.json").read_text() == "earlier"


@pytest.mark.parametrize(
    "processes, devices, chosen",
    [
        (1, (), ["cuda"]),  # as the config says
        (3, (), ["cuda"] * 3),
        (1, ("cpu",), ["cpu"]),
        (1, ("cuda:0", "cuda:1"), ["cuda:0", "cuda:1"]),
        (2, ("cuda:0", "cuda:0"), ["cuda:0", "cuda:0"]),  # two share one
    ],
)
def test_one_device_for_each_process(processes: int, devices: tuple[str, ...], chosen: list[str]):
    assert choose_devices(processes, devices, "cuda") == chosen


@pytest.mark.parametrize(
    "processes, devices, said", [(0, (), "--processes 0: at least 1"), (3, ("cpu", "cpu"), "leave --processes out")]
)
def test_contradictions_are_refused(processes: int, devices: tuple[str, ...], said: str):
    with pytest.raises(ConfigError, match=said):
        choose_devices(processes, devices, "auto")


def test_the_command_line_refuses_them_before_it_loads_anything(folder: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--reference", str(folder / "ref.png"), "--mask", str(folder / "mask.png"), "--processes", "0"]
    assert main(["run", *arguments, "--targets", str(folder / "images"), "--output", str(folder / "out")]) == 2
    assert capsys.readouterr().err.strip() == "gpoa run: --processes 0: at least 1"


@pytest.mark.weights
def test_real_models(tmp_path: Path, weights_root: Path):
    """The whole command: the default strategy learns from the folder, in both workers the same."""
    (tmp_path / "images").mkdir()
    for name in ("coins_1.png", "coins_2.png", "coins_3.png"):
        shutil.copy(DATA / "coins" / "target_image" / name, tmp_path / "images")
    reference, mask = (next((DATA / "coins" / kind).iterdir()) for kind in ("reference_image", "reference_mask"))
    common = ["run", "--reference", str(reference), "--mask", str(mask), "--targets", str(tmp_path / "images")]
    common += ["--cache.folder", str(tmp_path / "cache"), "--models.checkpoints", str(weights_root)]
    common += ["--models.device", "cpu"]
    assert main([*common, "--output", str(tmp_path / "two"), "--processes", "2", "--budget", "2"]) == 0
    assert main([*common, "--output", str(tmp_path / "one"), "--budget", "2"]) == 0
    one, two = (_files(tmp_path / name / "masks") for name in ("one", "two"))
    assert len(one) == 3 and one == two
