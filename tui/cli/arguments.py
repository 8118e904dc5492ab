"""The command line: which options go together, and what their values ask for."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import Final

from execwhy.tui.cli.options import UsageError, parser

_NEEDS_RECORD: Final = ("duration", "count", "max_bytes", "keep")
_ONLY_LIVE: Final = (
    "capture", "plan", "all_failures", "types", "max_args_bytes", "max_env_bytes", "ring_size",
    "user", "keep_privileges", "metrics",
)  # fmt: skip
_OTHER_FORMATS: Final = frozenset((".gz", ".zst", ".xz", ".bz2", ".lz4", ".zip", ".csv", ".svg"))
"""Extensions of other formats: a recording with such a name would not be what its name says."""

_PIPE: Final = "pipe --record - into the program that makes one"
_ONLY_SCREEN: Final = ("history", "history_bytes", "theme", "no_mouse")
_ONLY_EVENTS: Final = (
    "filter",
    "uid",
    "path",
    "capture",
    "max_args_bytes",
    "max_env_bytes",
    "ring_size",
    "user",
    "keep_privileges",
    "show_secrets",
    "metrics",
)


def _refuse(
    options: argparse.Namespace, names: Sequence[str], reason: str, remedy: str = "leave it out"
) -> None:
    """Raise ``UsageError`` for the first of these options that was given, since it would have no effect."""
    for name in names:
        value = getattr(options, name)
        # Compared by identity, because 0 == False, and 0 is a uid.
        if value is not None and value is not False and value != "":
            raise UsageError(f"--{name.replace('_', '-')} {reason}: {remedy}.")


def _refuse_few_bytes(max_bytes: int, files: int) -> None:
    """Raise ``UsageError`` if the files are too few or too small to keep some records of each user."""
    from execwhy.tui.recording.files.bounds import least_bytes

    if files < 2:
        raise UsageError(f"--keep {files} would remove all records whenever a file is full: give 2 or more.")
    least = least_bytes(files)
    if max_bytes < least:
        raise UsageError(
            f"--keep {files} needs --max-bytes {-(-least >> 10)}K at least, so that each user has room for "
            "some records: choose a larger size, or keep more files."
        )


def _unrecognized(options: argparse.Namespace, rest: Sequence[str]) -> str:
    """Return what is wrong with words that belong to no option; other tracers run them as a command."""
    problem = f"unrecognized arguments: {' '.join(rest)}"
    word = next(word for word in (*rest, "") if word != "--")
    if not word or word.startswith("-"):
        return f"{problem}: see execwhy --help."
    for name in ("filter", "capture"):
        if getattr(options, name):
            return f"{problem}: give --{name} one word, in quotes."
    if os.path.splitext(word)[1].lower() == ".jsonl":
        return f"{problem}: to show a recording, give it to --open."
    return f"{problem}: execwhy watches the whole machine: start it, then run {word} in another shell."


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line and check which options go together.

    Raises:
        UsageError: An option is wrong, or has no effect beside another.
        SystemExit: ``--help`` or ``--version`` was given, and has been answered.
    """
    options, rest = parser().parse_known_args(argv)
    if rest:
        raise UsageError(_unrecognized(options, rest))
    if options.record is None:
        _refuse(options, _NEEDS_RECORD, "needs --record", "add --record FILE, or leave it out")
    else:
        _refuse(options, _ONLY_SCREEN, "concerns the screen, and --record has none")
        if options.max_bytes is None:
            _refuse(options, ("keep",), "needs --max-bytes", "add --max-bytes SIZE, or leave it out")
        elif options.keep is not None:
            _refuse_few_bytes(options.max_bytes, options.keep)
        ending = os.path.splitext(options.record)[1].lower()
        if ending in _OTHER_FORMATS:
            raise UsageError(
                f"--record writes JSON Lines and not {ending}: end the name in .jsonl, or {_PIPE}."
            )
        if options.record == "-":
            _refuse(options, ("keep",), "needs files, and --record - is standard output")
    if options.open is not None:
        _refuse(options, _ONLY_LIVE, "concerns the kernel, and --open reads a file")
    if options.check:
        _refuse(options, (*_ONLY_EVENTS, *_ONLY_SCREEN), "has no effect on --check")
    if options.capture is not None and not options.capture.strip():
        raise UsageError("--capture is empty: give it a filter, or leave it out.")
    for name in ("record", "open", "path", "metrics"):
        value = getattr(options, name)
        if value == "" or (isinstance(value, list) and "" in value):
            raise UsageError(f"--{name} is empty: give it a name, or leave it out.")
    if options.open is not None and options.open.count("-") > 1:
        raise UsageError("--open - reads standard input, which can be read only once: leave one of them out.")
    return options


def scope_text(options: argparse.Namespace) -> str:
    """Return the filter that ``--uid`` and ``--path`` stand for."""
    terms = []
    if options.uid is not None:
        terms.append(f"uid=={options.uid}")
    if options.path is not None:
        terms.append(_prefix_term(options.path))
    return " ".join(terms)


def _prefix_term(prefix: str) -> str:
    """Return the condition for paths with this prefix: a glob if no character in it is special."""
    if re.fullmatch(r"[\w./+@%-]+", os.fsencode(prefix).decode("latin-1"), re.ASCII):
        return f"path:{prefix}**"
    from execwhy.tui.model.query.lexer import quoted

    return f"path~{quoted('^' + re.escape(prefix))}"
