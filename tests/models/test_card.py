"""The card beside the weights, and the identity made from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpoa.errors import ModelError
from gpoa.models.card import model_id, read_card, sha256_of, write_card
from tests.models.fakes import tiny_entry

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def _folder(parent: Path, content: bytes = b"abc") -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    (parent / "tiny.pth").write_bytes(content)
    return parent


def test_sha256_of(tmp_path: Path) -> None:
    assert sha256_of(_folder(tmp_path) / "tiny.pth") == ABC


def test_card_round_trip(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "tiny")
    written = write_card(folder, tiny_entry(), "somewhere", "a note")
    assert read_card(folder) == written
    assert list(written.files) == ["tiny.pth"]
    assert (written.files["tiny.pth"].sha256, written.files["tiny.pth"].bytes) == (ABC, 3)
    assert (written.licence, written.source, written.note) == ("CC0", "somewhere", "a note")


def test_no_card(tmp_path: Path) -> None:
    assert read_card(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",  # cut off
        "[]",  # not an object
        '{"name": "tiny"}',  # fields missing
        json.dumps({"files": {"a": {"sha256": "x"}}}),  # half a record
    ],
)
def test_damaged_card(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(ModelError, match="card.json: damaged"):
        read_card(tmp_path)


def test_model_id_depends_on_contents_only(tmp_path: Path) -> None:
    first, second = _folder(tmp_path / "a" / "tiny"), _folder(tmp_path / "b" / "tiny")
    write_card(first, tiny_entry(), "one place", "")
    write_card(second, tiny_entry(), "another place", "another note")
    assert model_id(first) == model_id(second)
    name, _, digits = model_id(first).rpartition("-")
    assert (name, len(digits)) == ("tiny", 12)
    other = _folder(tmp_path / "c" / "tiny", b"abd")
    write_card(other, tiny_entry(), "one place", "")
    assert model_id(other) != model_id(first)


def test_model_id_without_a_card_is_the_same(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "tiny")
    bare = model_id(folder)
    write_card(folder, tiny_entry(), "somewhere", "")
    assert model_id(folder) == bare
