"""The command line's options: what they are called, what they take, and which go together."""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from execwhy.bpf.program.plans import NAMES

THEME_NAMES: Final = ("dark", "light", "contrast", "terminal", "mono")
"""Of execwhy.tui.screen.themes, which takes too long to import for --help."""

USAGE_ERROR: Final = 2
"""Exit status of a command line that cannot be understood."""

_NO_ID: Final = 0xFFFFFFFF
_SIZE: Final = re.compile(r"(\d{1,15})\s?([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}

_SMALLEST_RING: Final = 64 << 10
"""Bytes: a few of the largest records, and a multiple of every page size."""
_LARGEST_RING: Final = 1 << 30
"""Bytes: the kernel maps it twice in a row and never swaps it out."""

_SMALLEST_RECORDING: Final = 64 << 10
"""Bytes: header and ending with room for records between them."""

_EPILOG: Final = """\
examples:
  sudo execwhy                                every exec that fails, live
  sudo execwhy --uid www-data                 those of one user; --uid 0 is root
  sudo execwhy --path /opt/app/               those whose path begins with /opt/app/
  sudo execwhy --filter 'errno in (EACCES,EPERM) !comm:cron'
  sudo execwhy --capture 'uid:1000..1999'     what does not match costs little, and is counted
  sudo execwhy --record fails.jsonl --duration 60
  sudo execwhy --record - --count 10 | jq -r 'select(.path).path'
  execwhy --open fails.jsonl                  no root needed
  ssh root@web-1 execwhy --record - | execwhy --open -
  execwhy --open <(ssh root@web-1 execwhy --record -) <(ssh root@web-2 execwhy --record -)
  sudo execwhy --check                        what this kernel allows

exit status: 0, 1 when something failed, 2 when the command line is wrong.
manual: {manual}
"""


class UsageError(Exception):
    """A command line that cannot be understood; ``str()`` is one sentence that says what to do.

    It quotes the command line: show it through ``printable``.
    """


_REMEDY: Final = re.compile(r"\b(give|choose|leave) ")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        told = message.removeprefix("argument ")
        told = told.replace("not allowed with argument ", "leave it out beside ")
        raise UsageError(f"{told}." if _REMEDY.search(told) else f"{told}: see execwhy --help.")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for, which takes longer than all else here."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> NoReturn:
        from importlib.metadata import version

        print(f"execwhy {version('execwhy')}")
        parser.exit()


def _uid(text: str) -> int:
    """A user id, or the id of the user of that name."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _NO_ID:
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError, UnicodeError):
        raise argparse.ArgumentTypeError(f'there is no user "{text}": give a name or a number') from None


def _size(text: str) -> int:
    """Bytes: 4096, 64K, 512M, 2GiB; each unit is 1,024 of the one before."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f'"{text}" is no size: give one such as 65536, 64K, 512M or 2G')
    return int(match[1]) << _UNITS[match[2].upper()]


def _positive_size(text: str) -> int:
    number = _size(text)
    if number == 0:
        raise argparse.ArgumentTypeError("give more than 0 bytes")
    return number


def _recording_size(text: str) -> int:
    number = _size(text)
    if number < _SMALLEST_RECORDING:
        raise argparse.ArgumentTypeError(f'"{text}" is no size for a recording: give 64K or more')
    return number


def _ring_size(text: str) -> int:
    """A power of two, as the kernel wants it: the least that is not smaller."""
    number = _size(text)
    if not _SMALLEST_RING <= number <= _LARGEST_RING:
        raise argparse.ArgumentTypeError(f'"{text}" is no size for it: give one from 64K to 1G')
    return 1 << (number - 1).bit_length()


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is no whole number above 0: give one such as 10')
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) or float(text) == 0:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no number of seconds above 0: give one such as 60 or 0.5'
        )
    return float(text)


def _manual() -> str:
    """How to read the manual: it is where man looks for it, in the checkout, or in the venv of pipx."""
    checkout = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    places = (f"{checkout}/man/execwhy.8", f"{sys.prefix}/share/man/man8/execwhy.8")
    return next((f"man {shlex.quote(place)}" for place in places if os.path.exists(place)), "man execwhy")


def parser() -> argparse.ArgumentParser:
    """What understands the command line; the shell completions are made of it, too."""
    whole = _Parser(
        prog="execwhy",
        description="Shows every process execution that fails, live, and says why.",
        epilog=_EPILOG.format(manual=_manual()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    selection = whole.add_argument_group("what is shown, or written by --record")
    selection.add_argument(
        "--filter", metavar="EXPR", default="", help="start with this filter (? in the screen)"
    )
    selection.add_argument("--uid", metavar="N|NAME", type=_uid, help="only execs of this user")
    selection.add_argument("--path", metavar="PREFIX", help="only paths that begin with PREFIX")
    selection.add_argument(
        "--show-secrets", action="store_true", help="do not mask what looks like a password or token"
    )
    selection.add_argument(
        "--metrics", metavar="FILE", help="write the counters to this file, for node_exporter"
    )
    capture = whole.add_argument_group("what is captured")
    capture.add_argument(
        "--capture", metavar="EXPR", help="let the kernel skip what does not match; uid and path only"
    )
    capture.add_argument("--plan", choices=NAMES, help="use this hook plan, not the best one")
    capture.add_argument(
        "--all-failures",
        action="store_true",
        help="with fentry: also calls that seccomp or a missing x32 refuses; costs every system call 70 ns",
    )
    capture.add_argument(
        "--types", choices=("btf", "headers"), help="take the kernel's types from here (BTF, else headers)"
    )
    capture.add_argument(
        "--max-args-bytes", metavar="SIZE", type=_size, help="bytes of argv to read of each exec"
    )
    capture.add_argument("--max-env-bytes", metavar="SIZE", type=_size, help="the same for envp")
    capture.add_argument(
        "--ring-size", metavar="SIZE", type=_ring_size,
        help="bytes between kernel and program, rounded up to a power of two (4M to 16M, by memory)",
    )  # fmt: skip
    rights = whole.add_argument_group(
        "privileges, once the hooks are attached"
    ).add_mutually_exclusive_group()
    rights.add_argument(
        "--user", metavar="N|NAME", type=_uid, help="run as this user, not as the one behind sudo"
    )
    rights.add_argument(
        "--keep-privileges", action="store_true", help="stay root, with all of root's privileges"
    )
    mode = whole.add_argument_group("other than the live screen").add_mutually_exclusive_group()
    mode.add_argument(
        "--record", metavar="FILE|-", help="write JSON Lines without a screen; - is standard output"
    )
    mode.add_argument(
        "--open",
        metavar="FILE|-",
        nargs="+",
        action="extend",
        help="show snapshots or recordings, several in one order of time; what grows is followed; "
        "- is standard input",
    )
    mode.add_argument("--check", action="store_true", help="show what this kernel allows, and exit")
    recording = whole.add_argument_group("with --record")
    recording.add_argument("--duration", metavar="SECONDS", type=_seconds, help="end after this many seconds")
    recording.add_argument("--count", metavar="N", type=_positive, help="end after N failed execs")
    recording.add_argument(
        "--max-bytes", metavar="SIZE", type=_recording_size,
        help="limit the file to this size; what does not fit is left out and counted",
    )  # fmt: skip
    recording.add_argument(
        "--keep", metavar="N", type=_positive,
        help="with --max-bytes: begin a new, numbered file instead, and keep N files",
    )  # fmt: skip
    screen = whole.add_argument_group("the screen")
    screen.add_argument("--history", metavar="N", type=_positive, help="keep N events (1000000)")
    screen.add_argument(
        "--history-bytes", metavar="SIZE", type=_positive_size, help="keep this much, such as 200M (384M)"
    )
    screen.add_argument(
        "--theme", choices=THEME_NAMES, help="colours (EXECWHY_THEME, else as the terminal has them)"
    )
    screen.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    whole.add_argument("--version", action=_Version, nargs=0, help="show the version, and exit")
    return whole


_NEEDS_RECORD: Final = ("duration", "count", "max_bytes", "keep")
_ONLY_LIVE: Final = (
    "capture", "plan", "all_failures", "types", "max_args_bytes", "max_env_bytes", "ring_size",
    "user", "keep_privileges", "metrics",
)  # fmt: skip
_OTHER_FORMATS: Final = frozenset((".gz", ".zst", ".xz", ".bz2", ".lz4", ".zip", ".csv", ".svg"))
"""Endings of names that a recording would belie."""

_PIPE: Final = "pipe --record - into what makes one"
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
    """Tell of the first of these options that was given: without effect it would be a trap."""
    for name in names:
        value = getattr(options, name)
        # By identity: 0 is a uid, and equal to False.
        if value is not None and value is not False and value != "":
            raise UsageError(f"--{name.replace('_', '-')} {reason}: {remedy}.")


def _refuse_few_bytes(max_bytes: int, files: int) -> None:
    """Refuse files that are too few or too small to keep some records of each user."""
    from execwhy.tui.recording.bounded import least_bytes

    if files < 2:
        raise UsageError(f"--keep {files} would remove all records whenever a file is full: give 2 or more.")
    least = least_bytes(files)
    if max_bytes < least:
        raise UsageError(
            f"--keep {files} needs --max-bytes {-(-least >> 10)}K at least, so that each user has room for "
            "some records: choose a larger size, or keep more files."
        )


def _unrecognized(options: argparse.Namespace, rest: Sequence[str]) -> str:
    """What to say of words that are no option's: many a tracer takes a command there, and starts it."""
    told = f"unrecognized arguments: {' '.join(rest)}"
    word = next(word for word in (*rest, "") if word != "--")
    if not word or word.startswith("-"):
        return f"{told}: see execwhy --help."
    for name in ("filter", "capture"):
        if getattr(options, name):
            return f"{told}: give --{name} one word, in quotes."
    if os.path.splitext(word)[1].lower() == ".jsonl":
        return f"{told}: to show a recording, give it to --open."
    return f"{told}: execwhy watches the whole machine: start it, then run {word} in another shell."


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options.

    Raises:
        UsageError: They cannot be understood, or do not go together.
        SystemExit: --help or --version was given, and is answered.
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
    """What --uid and --path ask for together, in the filter language."""
    terms = []
    if options.uid is not None:
        terms.append(f"uid=={options.uid}")
    if options.path is not None:
        terms.append(_prefix_term(options.path))
    return " ".join(terms)


def _prefix_term(prefix: str) -> str:
    """Return the term for paths with this prefix: a glob, which reads well, unless a character is special."""
    if re.fullmatch(r"[\w./+@%-]+", os.fsencode(prefix).decode("latin-1"), re.ASCII):
        return f"path:{prefix}**"
    from execwhy.tui.model.query.lexer import quoted

    return f"path~{quoted('^' + re.escape(prefix))}"
