"""The options: their names, their values and their help texts."""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shlex
import sys
from typing import Final, NoReturn

from execwhy.bpf.program.plans import NAMES

THEME_NAMES: Final = ("dark", "light", "contrast", "terminal", "mono")
"""The themes of execwhy.tui.screen.themes, which takes too long to import for --help."""

USAGE_ERROR: Final = 2
"""Exit status for a wrong command line."""

_NO_ID: Final = 0xFFFFFFFF
_SIZE: Final = re.compile(r"(\d{1,15})\s?([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}

_SMALLEST_RING: Final = 64 << 10
"""Bytes: room for a few of the largest records, and a multiple of every page size."""
_LARGEST_RING: Final = 1 << 30
"""Bytes: the kernel maps it twice in a row and never swaps it out."""

_SMALLEST_RECORDING: Final = 64 << 10
"""Bytes: a header and an ending, with room for records between them."""

_EPILOG: Final = """\
examples:
  sudo execwhy                                every exec that fails, live
  sudo execwhy --uid www-data                 only those of one user; --uid 0 is root
  sudo execwhy --path /opt/app/               only paths that begin with /opt/app/
  sudo execwhy --filter 'errno in (EACCES,EPERM) !comm:cron'
  sudo execwhy --capture 'uid:1000..1999'     the kernel skips and counts the rest
  sudo execwhy --record fails.jsonl --duration 60
  sudo execwhy --record - --count 10 | jq -r 'select(.path).path'
  execwhy --open fails.jsonl                  no root needed
  ssh root@web-1 execwhy --record - | execwhy --open -
  execwhy --open <(ssh root@web-1 execwhy --record -) <(ssh root@web-2 execwhy --record -)
  sudo execwhy --check                        what this kernel allows

exit status: 0 for success, 1 for a failure, 2 for a wrong command line.
manual: {manual}
"""


class UsageError(Exception):
    """A wrong command line; ``str()`` is one sentence that says what to do.

    The sentence quotes the command line: pass it through ``printable`` before showing it.
    """


_REMEDY: Final = re.compile(r"\b(give|choose|leave) ")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        problem = message.removeprefix("argument ")
        problem = problem.replace("not allowed with argument ", "leave it out beside ")
        raise UsageError(f"{problem}." if _REMEDY.search(problem) else f"{problem}: see execwhy --help.")


class _Version(argparse.Action):
    """Looks up the version only for ``--version``: it takes longer than all other options together."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> NoReturn:
        from importlib.metadata import version

        print(f"execwhy {version('execwhy')}")
        parser.exit()


def _uid(text: str) -> int:
    """Return the user id that a number or a user name stands for."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _NO_ID:
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError, UnicodeError):
        raise argparse.ArgumentTypeError(f'there is no user "{text}": give a name or a number') from None


def _size(text: str) -> int:
    """Return the bytes in a size such as 4096, 64K, 512M or 2GiB; each unit is 1,024 times the one before."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f'"{text}" is not a size: give one such as 65536, 64K, 512M or 2G')
    return int(match[1]) << _UNITS[match[2].upper()]


def _positive_size(text: str) -> int:
    number = _size(text)
    if number == 0:
        raise argparse.ArgumentTypeError("give more than 0 bytes")
    return number


def _recording_size(text: str) -> int:
    number = _size(text)
    if number < _SMALLEST_RECORDING:
        raise argparse.ArgumentTypeError(f'"{text}" is too small for a recording: give 64K or more')
    return number


def _ring_size(text: str) -> int:
    """Return the size, rounded up to a power of two, which the kernel requires."""
    number = _size(text)
    if not _SMALLEST_RING <= number <= _LARGEST_RING:
        raise argparse.ArgumentTypeError(f'"{text}" is not a valid size: give one from 64K to 1G')
    return 1 << (number - 1).bit_length()


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number above 0: give one such as 10')
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) or float(text) == 0:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a number of seconds above 0: give one such as 60 or 0.5'
        )
    return float(text)


def _manual() -> str:
    """Return the command that opens the manual, which man does not find in a checkout or in pipx's venv."""
    checkout = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    places = (f"{checkout}/man/execwhy.8", f"{sys.prefix}/share/man/man8/execwhy.8")
    return next((f"man {shlex.quote(place)}" for place in places if os.path.exists(place)), "man execwhy")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the shell completions are generated from it, too."""
    whole = _Parser(
        prog="execwhy",
        description="Shows every process execution that fails, live, and says why.",
        epilog=_EPILOG.format(manual=_manual()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    selection = whole.add_argument_group("what is shown, or written by --record")
    selection.add_argument(
        "--filter",
        metavar="EXPR",
        default="",
        help="start with this filter; press ? in the monitor for examples",
    )
    selection.add_argument("--uid", metavar="N|NAME", type=_uid, help="only execs of this user")
    selection.add_argument("--path", metavar="PREFIX", help="only paths that begin with PREFIX")
    selection.add_argument(
        "--show-secrets", action="store_true", help="do not mask values that look like passwords or tokens"
    )
    selection.add_argument(
        "--metrics", metavar="FILE", help="write the counters to this file, for node_exporter"
    )
    capture = whole.add_argument_group("what is captured")
    capture.add_argument(
        "--capture", metavar="EXPR", help="have the kernel skip execs that do not match; uid and path only"
    )
    capture.add_argument("--plan", choices=NAMES, help="use this hook plan instead of the best one")
    capture.add_argument(
        "--all-failures",
        action="store_true",
        help="with fentry: also see calls refused by seccomp or for lack of x32; 70 ns more per system call",
    )
    capture.add_argument(
        "--types",
        choices=("btf", "headers"),
        help="where to take the kernel's types from (default: BTF if there is any)",
    )
    capture.add_argument(
        "--max-args-bytes",
        metavar="SIZE",
        type=_size,
        help="bytes of argv to read from each exec (default: 8K)",
    )
    capture.add_argument("--max-env-bytes", metavar="SIZE", type=_size, help="the same for envp")
    capture.add_argument(
        "--ring-size", metavar="SIZE", type=_ring_size,
        help="size of the kernel's buffer, rounded up to a power of two (default: 4M to 16M)",
    )  # fmt: skip
    rights = whole.add_argument_group(
        "privileges, once the hooks are attached"
    ).add_mutually_exclusive_group()
    rights.add_argument(
        "--user", metavar="N|NAME", type=_uid, help="run as this user instead of the one who called sudo"
    )
    rights.add_argument(
        "--keep-privileges", action="store_true", help="stay root, with all of root's privileges"
    )
    mode = whole.add_argument_group("instead of the live screen").add_mutually_exclusive_group()
    mode.add_argument(
        "--record", metavar="FILE|-", help="write JSON Lines without a screen; - is standard output"
    )
    mode.add_argument(
        "--open",
        metavar="FILE|-",
        nargs="+",
        action="extend",
        help="show snapshots or recordings, merged by time; a growing one is followed; - is standard input",
    )
    mode.add_argument("--check", action="store_true", help="show what this kernel allows, and exit")
    recording = whole.add_argument_group("with --record")
    recording.add_argument("--duration", metavar="SECONDS", type=_seconds, help="end after this many seconds")
    recording.add_argument("--count", metavar="N", type=_positive, help="end after N failed execs")
    recording.add_argument(
        "--max-bytes", metavar="SIZE", type=_recording_size,
        help="limit the file to this size; records that do not fit are left out and counted",
    )  # fmt: skip
    recording.add_argument(
        "--keep", metavar="N", type=_positive,
        help="with --max-bytes: begin a new numbered file when one is full, and keep N files",
    )  # fmt: skip
    screen = whole.add_argument_group("the screen")
    screen.add_argument("--history", metavar="N", type=_positive, help="keep N events (default: 1000000)")
    screen.add_argument(
        "--history-bytes",
        metavar="SIZE",
        type=_positive_size,
        help="memory for these events (default: 384M)",
    )
    screen.add_argument(
        "--theme", choices=THEME_NAMES, help="colours (default: EXECWHY_THEME, or what suits the terminal)"
    )
    screen.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    whole.add_argument("--version", action=_Version, nargs=0, help="show the version, and exit")
    return whole
