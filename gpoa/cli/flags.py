"""The flags of a verb's dataclass: their short help, and one line for what is mistyped.

`tyro` parses; here is only what its own help and messages, made for sixty flags in boxes, do not give.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpoa.errors import ConfigError

COLUMN = 30
"""Where the help of a flag begins; a longer flag has a line of its own."""
WORDS = {Path: "PATH", int: "N", float: "X", str: "NAME"}


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        name: without `--`; a nested one has its section before it, as `optimize.margin`.
        values: what follows it, as `PATH [PATH ...]`; empty for a switch.
        help: its sentence.
        required: it has no default.
        default: its default, in words; empty where that says nothing.
    """

    name: str
    values: str
    help: str
    required: bool = False
    default: str = ""


def flags_of(kind: type, prefix: str = "") -> list[Flag]:
    """All flags of a dataclass, those of nested dataclasses included.

    Args:
        kind: the dataclass.
        prefix: of its section.
    """
    hints, sentences, flags = typing.get_type_hints(kind, include_extras=True), _sentences(kind), []
    for one in dataclasses.fields(kind):
        hint, name, said = hints[one.name], one.name.replace("_", "-"), sentences.get(one.name, "")
        if typing.get_origin(hint) is typing.Annotated:
            hint, *settings = typing.get_args(hint)
            for setting in settings:
                name = name if getattr(setting, "name", None) is None else setting.name
                said = getattr(setting, "help", None) or said
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            flags += flags_of(hint, f"{prefix}{name}." if name else prefix)
            continue
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        flags.append(Flag(prefix + name, _values(hint), said, required, "" if required else _default(one)))
    return flags


def print_help(prog: str, description: str, flags: Sequence[Flag], shown: Sequence[str] = ()) -> None:
    """Prints a verb's help.

    Args:
        prog: `gpoa run`.
        description: what the verb does, with examples.
        flags: all flags of the verb.
        shown: names of the flags that most people use; default: those of no section.
    """
    common = [flag for flag in flags if flag.name in shown] if shown else [f for f in flags if "." not in f.name]
    needed = " ".join(f"--{flag.name} {flag.values}" for flag in flags if flag.required)
    print(" ".join(f"usage: {prog} {needed} [options]".split()))
    print(f"\n{description.strip()}\n\noptions:")
    common.append(Flag("config", "FILE", "Read options from a JSON or TOML file; those on the command line win."))
    for flag in common:
        _print_flag(flag)
    if len(flags) > len(common) - 1:
        print(f"\nAll {len(flags)} options: {prog} --help-all")


def check_flags(prog: str, flags: Sequence[Flag], argv: Sequence[str]) -> None:
    """Refuses what no flag is called, naming the nearest, and required flags that are missing.

    Args:
        prog: `gpoa run`.
        flags: all flags of the verb.
        argv: its arguments.

    Raises:
        ConfigError: says which.
    """
    known = [flag.name for flag in flags]
    switches = [flag.name for flag in flags if not flag.values]
    negated = [".".join([*name.split(".")[:-1], f"no-{name.split('.')[-1]}"]) for name in switches]
    given = [token for token in argv if re.match(r"--?[A-Za-z]", token)]
    names = [token.lstrip("-").split("=")[0].replace("_", "-") for token in given]
    for token, name in zip(given, names, strict=True):
        if not token.startswith("--") or name not in (*known, *negated):
            raise ConfigError(f"unknown option {token.split('=')[0]}; {nearest(name, [*known, *negated], prog)}")
    missing = [f"--{flag.name}" for flag in flags if flag.required and flag.name not in names]
    if missing:
        raise ConfigError(f"{', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing; `{prog} -h` explains")


def nearest(name: str, known: Sequence[str], prog: str) -> str:
    """A question for a mistyped option: the one of that name in some section, else the one that is spelled most
    alike."""
    near = [one for one in known if one.split(".")[-1] == name]
    near += difflib.get_close_matches(name, [*dict.fromkeys(sorted(known, key=len))], 1, 0.6)
    near += [one for one in known if difflib.SequenceMatcher(None, one.split(".")[-1], name).ratio() > 0.8]
    return f"did you mean --{near[0]}?" if near else f"`{prog} -h` lists the options"


def explain(prog: str, flags: Sequence[Flag], message: str) -> ConfigError:
    """What tyro said of a value, in one line.

    Args:
        prog: `gpoa run`.
        flags: all flags of the verb.
        message: what tyro printed.
    """
    text = " ".join(re.sub(r"[─-╿]|-{4,}", " ", message).split())
    place = re.search(r"(?:parsing|argument:?|for) '?--([\w.-]+)", text)
    flag = next((flag for flag in flags if place and flag.name == place[1]), None)
    if flag is not None:
        value = re.search(r"invalid choice '([^']*)'|instantiated from \['([^]]*)'\]|with base 10: '([^']*)'", text)
        value = value or re.search(r"could not convert string to float: '([^']*)'()()", text)
        said = next(filter(None, value.groups()), "") if value else ""
        words = {"N": "a whole number", "X": "a number"}
        return ConfigError(
            f"{' '.join([f'--{flag.name}', said]).strip()}: expected {words.get(flag.values, flag.values)}"
        )
    stray = re.search(r"Unrecognized options: (.*?) (?:Perhaps|For full)", text)
    if stray is not None:
        return ConfigError(f"unexpected argument {stray[1]}; `{prog} -h` explains")
    return ConfigError(text.split(" For full helptext")[0][:300])


def _sentences(kind: type) -> dict[str, str]:
    """Field -> the docstring below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _values(hint: Any) -> str:
    """What follows a flag of a type."""
    origin, inner = typing.get_origin(hint), [one for one in typing.get_args(hint) if one is not type(None)]
    if origin in (typing.Union, types.UnionType):
        return _values(inner[0])
    if origin is typing.Literal:
        return "{" + ",".join(map(str, inner)) + "}"
    if origin is tuple:
        return f"{_values(inner[0])} [{_values(inner[0])} ...]"
    return "" if hint is bool else WORDS.get(hint, "VALUE")


def _default(one: dataclasses.Field) -> str:
    """A field's default in words, where it is a number, a name or a path."""
    value = one.default
    if one.default_factory is not dataclasses.MISSING:
        value = one.default_factory()
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None or isinstance(value, bool) else str(value)


def _print_flag(flag: Flag) -> None:
    """A flag and its sentence in two columns."""
    width = min(110, max(70, shutil.get_terminal_size((100, 24)).columns - 2))
    left = f"  --{flag.name} {flag.values}".rstrip()
    note = " (required)" if flag.required else f" (default: {flag.default})" if flag.default else ""
    lines = textwrap.wrap(flag.help + note, width - COLUMN, break_on_hyphens=False, break_long_words=False) or [""]
    if len(left) > COLUMN - 2:
        print(left)
        left = ""
    print(f"{left:<{COLUMN}}{lines[0]}".rstrip())
    for line in lines[1:]:
        print(" " * COLUMN + line)
