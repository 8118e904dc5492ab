"""The command ``execwhy``: parse the options and run what they ask for.

bcc, the screen and the kernel's side are imported only where they are needed, so that ``--help`` answers
at once and ``--open`` works on machines without bcc.
"""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from execwhy.bpf.priority import SESSION
from execwhy.tui.cli.arguments import parse
from execwhy.tui.cli.complaints import FAILURE, CommandError, complain, report
from execwhy.tui.cli.options import USAGE_ERROR, UsageError
from execwhy.tui.faults.crash import report_threads
from execwhy.tui.model.history.resident import keep_heap_compact
from execwhy.tui.terminal.descriptors import occupy_closed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments without the program's name; None for those of the process, which then exits here.

    Returns:
        The exit status: 0, 1 for a failure, 2 for a wrong command line.
    """
    if argv is not None:
        return _run(argv)
    _require_utf8()
    keep_heap_compact()
    status = _run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        if not status:
            # Python reports what could not be written when it exits.
            return status
    # Freeing a history of a million events would keep the user waiting.
    os._exit(status)


def _run(argv: Sequence[str]) -> int:
    try:
        closed = occupy_closed()
    except OSError as error:
        return complain(f"/dev/null cannot be opened ({error.strerror}): mount or make it.", FAILURE)
    # numpy's library would start a thread when it is imported, and that thread would keep root's privileges.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    _distrust_environment()
    report_threads()
    try:
        return _dispatch(parse(argv), closed)
    except UsageError as error:
        return complain(str(error), USAGE_ERROR)
    except CommandError as error:
        return complain(str(error), FAILURE)
    except KeyboardInterrupt:
        return complain("interrupted.", FAILURE)
    except Exception as error:
        return report(error)
    except SystemExit as error:
        # --help, --version, or a signal.
        return error.code if isinstance(error.code, int) else 0
    finally:
        SESSION.step_back()


def _dispatch(options: Namespace, closed: frozenset[int]) -> int:
    if options.check:
        return _check(options)
    from execwhy.tui.cli.capturing import check_capture_options
    from execwhy.tui.cli.filters import requested_filter

    query = requested_filter(options)
    check_capture_options(options)
    if options.record is not None:
        from execwhy.tui.cli.record import record

        return record(options, query, closed)
    from execwhy.tui.cli.monitor import monitor

    return monitor(options, query, closed)


def _check(options: Namespace) -> int:
    from execwhy.bpf.load import check

    text, status = check.report(options.plan, all_failures=options.all_failures, types=options.types)
    print(text)
    return status


def _require_utf8() -> None:
    """Start again in UTF-8 mode if the locale has another encoding.

    The kernel's records are decoded as UTF-8. Encoded in another way, a path would name another file.
    """
    if sys.getfilesystemencoding() != "utf-8":
        with contextlib.suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _distrust_environment() -> None:
    """Remove variables that Textual obeys: TEXTUAL_DRIVER imports any code, TEXTUAL_LOG writes any file."""
    for name in [name for name in os.environ if name.startswith("TEXTUAL_")]:
        del os.environ[name]


if __name__ == "__main__":
    sys.exit(main())
