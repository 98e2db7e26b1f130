"""The card that lies beside the weights: what they are, where they came from, and the digest of every file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

from gpoa.errors import ModelError
from gpoa.models.zoo import ModelEntry

CARD_NAME = "card.json"
_WEIGHT_SUFFIXES = (".json", ".safetensors", ".bin", ".onnx", ".pth", ".pt")


@dataclass(frozen=True)
class FileRecord:
    """Digest and size of one file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class ModelCard:
    """What is known about an installed model.

    Args:
        name: the model.
        source: where these files came from.
        licence: of the weights.
        upstream: who published the weights.
        retrieved: ISO date of the day they were fetched.
        files: file name -> record.
        note: what a user should know about the origin.
        gpoa_version: the version that wrote this card.
    """

    name: str
    source: str
    licence: str
    upstream: str
    retrieved: str
    files: dict[str, FileRecord]
    note: str
    gpoa_version: str


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _blocks(stream)


def _blocks(stream) -> str:
    """`hashlib.file_digest` for Python 3.10."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def write_card(folder: Path, entry: ModelEntry, source: str, note: str) -> ModelCard:
    """Records every file of a folder.

    Args:
        folder: the model's folder, complete but for the card.
        entry: the model.
        source: where the files came from.
        note: what a user should know about the origin.

    Returns:
        The card, as written to `card.json`.
    """
    from gpoa import __version__

    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name != CARD_NAME)
    card = ModelCard(
        name=entry.name,
        source=source,
        licence=entry.licence,
        upstream=entry.upstream,
        retrieved=datetime.now(timezone.utc).date().isoformat(),
        files={path.name: FileRecord(sha256_of(path), path.stat().st_size) for path in paths},
        note=note,
        gpoa_version=__version__,
    )
    (folder / CARD_NAME).write_text(json.dumps(dataclasses.asdict(card), indent=2) + "\n", encoding="utf-8")
    return card


def read_card(folder: Path) -> ModelCard | None:
    """Reads a folder's card.

    Args:
        folder: a model's folder.

    Returns:
        The card, or None where there is none.

    Raises:
        ModelError: the card is damaged.
    """
    path = folder / CARD_NAME
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        raw["files"] = {name: FileRecord(**record) for name, record in raw["files"].items()}
        return ModelCard(**raw)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise ModelError(f"{path}: damaged ({error}); run `gpoa models fetch {folder.name}` to mend it") from error


def model_id(folder: Path) -> str:
    """A stable name of the weights in a folder, for cache keys and prompt files.

    It depends on the files' contents only: two machines that fetched the same files get the same id.

    Args:
        folder: an installed model, or any folder of weights (then its files are hashed).

    Returns:
        The model's name and the first 12 digits of the SHA-256 over its files' names and SHA-256.
    """
    folder = Path(folder)
    card = read_card(folder)
    if card is not None:
        name, digests = card.name, {file: record.sha256 for file, record in card.files.items()}
    else:
        name, digests = folder.resolve().name, _hash_folder(folder)
    lines = "".join(f"{file} {digests[file]}\n" for file in sorted(digests))
    return f"{name}-{hashlib.sha256(lines.encode()).hexdigest()[:12]}"


def _hash_folder(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of the weight and config files in a folder without a card."""
    paths = [path for path in folder.iterdir() if path.suffix in _WEIGHT_SUFFIXES and path.is_file()]
    return {path.name: _hash_once(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


@lru_cache(maxsize=64)
def _hash_once(path: Path, size: int, changed: int) -> str:
    """`sha256_of`, once a process for each state of a file (a stage asks for its model's id many times)."""
    return sha256_of(path)
