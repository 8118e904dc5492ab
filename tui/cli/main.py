"""The command ``execwhy``: reads its options, joins a source with the screen or a file, and runs it.

bcc, the screen and the kernel's side are imported only where they are needed, so that --help answers
at once and --open works where there is no bcc.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from argparse import Namespace
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from execwhy.bpf.load.rlimits import obstacle
from execwhy.bpf.priority import SESSION, Session, go_first
from execwhy.tui.cli.arguments import USAGE_ERROR, UsageError, parse, scope_text
from execwhy.tui.faults.crash import crash_report, report_threads
from execwhy.tui.model.history.resident import keep_heap_compact
from execwhy.tui.model.text.printable import printable
from execwhy.tui.terminal.descriptors import occupy_closed

if TYPE_CHECKING:
    from execwhy.bpf.events.source import Capture, EventSource, Origin
    from execwhy.bpf.privileges import User
    from execwhy.bpf.read.reader import KernelSource
    from execwhy.tui.model.query import Query
    from execwhy.tui.recording.instrumented import InstrumentedSource
    from execwhy.tui.recording.recorder import Result
    from execwhy.tui.why.lookers.process import Spawner

_FAILURE: Final = 1
"""Exit status when something failed that was asked for rightly."""

_WITHOUT_SCREEN: Final = "read the file with jq, as it is JSON Lines"
"""What one does with a file where there is no terminal."""

_FIRST_LINE: Final = 0.3
"""Seconds to wait for a file's first line before the screen opens: no file needs them, and a pipe may."""


class _Failure(Exception):
    """The program cannot do what it was asked to; ``str()`` is one sentence that says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments without the program's name; None for those of the process, which then ends here.

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
            # Python says at its end what could not be written.
            return status
    # Taking a history of a million events apart would keep whoever quits waiting.
    os._exit(status)


def _run(argv: Sequence[str]) -> int:
    try:
        closed = occupy_closed()
    except OSError as error:
        return _complain(f"/dev/null cannot be opened ({error.strerror}): mount or make it.", _FAILURE)
    # A thread that numpy's library starts when it is imported would keep the privileges it began with.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    _distrust_environment()
    report_threads()
    try:
        options = parse(argv)
        if options.check:
            return _check(options)
        query = asked_filter(options)
        _refuse_what_the_kernel_cannot_do(options)
        if options.record is not None:
            return _record(options, query, closed)
        return _monitor(options, query, closed)
    except UsageError as error:
        return _complain(str(error), USAGE_ERROR)
    except _Failure as error:
        return _complain(str(error), _FAILURE)
    except KeyboardInterrupt:
        return _complain("interrupted.", _FAILURE)
    except Exception as error:
        return _report(error)
    except SystemExit as error:
        # --help and --version, and a signal
        return error.code if isinstance(error.code, int) else 0
    finally:
        SESSION.step_back()


def _require_utf8() -> None:
    """Begin again in UTF-8 mode where the locale has another encoding.

    The kernel's records are decoded from UTF-8; looked up in another encoding a path would be that of
    another file.
    """
    if sys.getfilesystemencoding() != "utf-8":
        with contextlib.suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _report(error: Exception) -> int:
    """Say which limit an error comes from, else where it is: Python's own words would quote a process."""
    if (sentence := obstacle(error)) is not None:
        return _complain(sentence, _FAILURE)
    print(crash_report(error), file=sys.stderr)
    return _FAILURE


def _complain(message: str, status: int) -> int:
    print(f"execwhy: {printable(message)}", file=sys.stderr)
    return status


def asked_filter(options: Namespace) -> Query:
    """The filter that --uid, --path and --filter make together.

    Raises:
        UsageError: Which of them is none, and where.
    """
    from execwhy.tui.model.query import both

    scope = _parse_filter(scope_text(options), "--path")
    asked = both(scope, _parse_filter(options.filter, "--filter"))
    # The screen reads its text again, and together they may be longer than a filter can be.
    return _parse_filter(asked.text, "--filter")


def _tell_beginning(origin: Origin, path: str) -> None:
    """Say that it records; on standard output the header does, to a reader whose screen this would spoil."""
    if path != "-":
        from execwhy.tui.recording.recorder import beginning

        _tell(beginning(origin, path, at_terminal=os.isatty(2)))


def _tell(text: str) -> None:
    """Say it on standard error, if someone reads there: what is recorded does not depend on it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _parse_filter(text: str, option: str) -> Query:
    from execwhy.tui.model.query import QueryError, parse

    try:
        return parse(text)
    except QueryError as error:
        raise UsageError(f"{option}: {error.message}, at column {error.start + 1} of: {text}") from None


def _check(options: Namespace) -> int:
    from execwhy.bpf.load.check import report

    text, status = report(options.plan, all_failures=options.all_failures, types=options.types)
    print(text)
    return status


def _require_root() -> None:
    from execwhy.bpf.load.support import KernelError, require_root

    try:
        require_root()
    except KernelError as error:
        raise _Failure(str(error)) from None


def _refuse_what_the_kernel_cannot_do(options: Namespace) -> None:
    """Check the options that need more than their own text, before anyone asks for root or a terminal.

    Raises:
        UsageError: Which of them is wrong, and why.
    """
    _capture(options)
    if options.user is not None:
        _user(options.user)
    for name in ("max_args_bytes", "max_env_bytes"):
        if (size := getattr(options, name)) is None:
            continue
        from execwhy.bpf.read.reader import MAX_TEXT_BYTES

        if size > MAX_TEXT_BYTES:
            raise UsageError(f"--{name.replace('_', '-')} is too large: give at most {MAX_TEXT_BYTES}.")


def _capture(options: Namespace) -> Capture | None:
    """Return the filter that the kernel is to apply; None for no filter.

    Raises:
        UsageError: The kernel cannot apply it, or it is no filter.
    """
    if options.capture is None:
        return None
    from execwhy.tui.model.query import QueryError

    query = _parse_filter(options.capture, "--capture")
    try:
        return query.capture()
    except QueryError as error:
        raise UsageError(f"--capture: {error.message}: {options.capture}") from None


def _kernel_source(options: Namespace) -> tuple[KernelSource, Spawner]:
    """Return the source, whose hooks another process attaches, and the parent of those that look at files.

    This process has no privilege from then on, unless it is to keep all of them.
    """
    _require_root()
    from execwhy.bpf.load import support
    from execwhy.bpf.load.probe import ProbeError
    from execwhy.bpf.read.reader import DEFAULT_ARGS_BYTES, DEFAULT_ENV_BYTES, KernelSource

    args_bytes, env_bytes = options.max_args_bytes, options.max_env_bytes
    source = KernelSource(
        plan=options.plan,
        max_args_bytes=DEFAULT_ARGS_BYTES if args_bytes is None else args_bytes,
        max_env_bytes=DEFAULT_ENV_BYTES if env_bytes is None else env_bytes,
        capture=_capture(options),
        ring_bytes=options.ring_size,
        all_failures=options.all_failures,
        types=options.types,
    )
    try:
        if options.plan is not None:
            support.choose(options.plan)
        source.load()
    except (support.KernelError, ProbeError) as error:
        raise _Failure(str(error)) from None
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        unknown = f"no process can be started to attach the hooks ({reason}): make room for one."
        raise _Failure(obstacle(error) or unknown) from None
    try:
        _end_orderly()
        go_first()
        return source, _become_unprivileged(options)
    except BaseException:
        source.close()
        raise


def _end_orderly() -> None:
    """Have signals that end the program raise SystemExit, until the screen or the recording takes them.

    The session would otherwise keep the nice value that it was given.
    """

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def _become_unprivileged(options: Namespace) -> Spawner:
    """Fork the parent of the lookers, which keeps what looking needs, and give up everything here."""
    from execwhy.bpf.caller.caller_root import home_namespaces
    from execwhy.bpf.privileges import FOR_DIAGNOSIS, drop
    from execwhy.tui.why.lookers.process import Begin, LookAt, Spawner, start_parent

    user = _user(options.user)
    home_namespaces()  # which takes privileges to find out

    def prepare() -> Begin:
        Session().stay_first()
        if not options.keep_privileges:
            drop(user, FOR_DIAGNOSIS)
        from execwhy.tui.why import look

        def begin() -> LookAt:
            look.prepare()
            return look.look_at

        return begin

    try:
        control = start_parent(prepare)
    except OSError as error:
        unknown = f"no process can be started to look for causes ({error.strerror}): make room for one."
        raise _Failure(obstacle(error) or unknown) from None
    if not options.keep_privileges:
        _give_up_privileges((), options.user)
    return Spawner(control)


def _user(uid: int | None) -> User | None:
    from execwhy.bpf.privileges import user_behind_sudo, user_of_the_system

    try:
        return user_behind_sudo(os.environ) if uid is None else user_of_the_system(uid)
    except KeyError:
        raise UsageError(f"--user: there is no user {uid}: give one that this system knows.") from None


def _give_up_privileges(kept: Collection[int], uid: int | None = None) -> None:
    """Be the user with that id, else the one behind sudo, with these capabilities at most."""
    from execwhy.bpf.privileges import PrivilegeError, drop

    try:
        drop(_user(uid), kept)
    except PrivilegeError as error:
        raise _Failure(str(error)) from None
    if uid is not None:
        # What is written belongs to the user that was asked for.
        for name in ("SUDO_UID", "SUDO_GID"):
            os.environ.pop(name, None)


def _record(options: Namespace, query: Query, closed: frozenset[int]) -> int:
    from execwhy.tui.model.files.safe_file import SnapshotError
    from execwhy.tui.recording.bounded import Bounds
    from execwhy.tui.recording.output import CLOSED, STDOUT, open_output
    from execwhy.tui.recording.recorder import Limits, Recording, ending_on_signals
    from execwhy.tui.recording.rotation import Rotation
    from execwhy.tui.why.lookers.dispatcher import Lookers

    _require_root()
    if options.record == "-" and STDOUT in closed:
        raise _Failure(CLOSED)
    source, spawner = _kernel_source(options)
    measured = _measured(source, options.metrics)
    try:
        rotation = None if options.keep is None else Rotation(options.record, options.keep)
        output = open_output(options.record) if rotation is None else rotation.open_next()
    except SnapshotError as error:
        source.close()
        raise _Failure(str(error)) from None
    said: list[str] = []

    def notice(sentence: str) -> None:
        said.append(sentence)
        _tell(f"execwhy: {printable(sentence)}")

    recording = Recording(
        measured or source,
        output,
        selection=query,
        query=query.text,
        lookers=Lookers(spawner),
        show_secrets=options.show_secrets,
        limits=Limits(options.duration, options.count),
        bounds=Bounds(options.max_bytes, rotation.open_next if rotation else None, options.keep or 1),
        on_notice=notice,
        on_begin=lambda origin: _tell_beginning(origin, "-" if options.record == "-" else output.name),
        on_cause=measured.count_cause if measured is not None else lambda _diagnosis, _count: None,
    )

    def stop() -> None:
        recording.stop()
        # A second signal ends the program at once.
        SESSION.step_back()

    with ending_on_signals(stop):
        result = recording.run()
        # Still within: a signal that comes now is too late to change how it ended.
        return _conclude(result, options.record, "" if measured is None else measured.problem, said)


def _conclude(result: Result, path: str, problem: str, said: Sequence[str] = ()) -> int:
    """Say how a recording ended; the exit status.

    A problem that a notice has said already is not repeated.
    """
    if problem:
        result = replace(result, problem=result.problem or problem)
    if result.fault is not None:
        _report(result.fault)
    if result.problem and not any(result.problem in notice for notice in said):
        _complain(result.problem, _FAILURE)
    if result.began:
        from execwhy.tui.recording.recorder import summary

        _tell(summary(result, path))
    elif not result.problem and result.fault is None:
        _complain("nothing was recorded, it ended before the hooks were attached: let it run longer.", 0)
    return _FAILURE if result.problem or result.fault is not None else 0


def _measured(source: KernelSource, path: str | None) -> InstrumentedSource | None:
    """The source, counted into that file, which is written at once to see that it can be."""
    if path is None:
        return None
    from execwhy.tui.model.files.safe_file import SnapshotError
    from execwhy.tui.recording.instrumented import InstrumentedSource

    measured = InstrumentedSource(source, path)
    try:
        measured.write()
    except SnapshotError as error:
        source.close()
        raise _Failure(f"--metrics: {error}") from None
    return measured


def _monitor(options: Namespace, query: Query, closed: frozenset[int]) -> int:
    source: EventSource
    spawner: Spawner | None = None
    measured: InstrumentedSource | None = None
    if options.open is None:
        _require_root()
        _require_terminal("use --record - without a screen")
        live, spawner = _kernel_source(options)
        source = live
        measured = _measured(live, options.metrics)
    else:
        from execwhy.bpf.events.source import Stage
        from execwhy.bpf.privileges import FOR_READING_A_FILE
        from execwhy.tui.model.files.merging import opened

        for path in options.open:
            if path != "-":
                _require_readable(path)
        _require_distinct(options.open)
        descriptor = _keyboard_for_data(closed) if "-" in options.open else 0
        if os.geteuid() == 0:
            _give_up_privileges(FOR_READING_A_FILE)
        source = files = opened(options.open, standard_input=descriptor)
        files.begin(_FIRST_LINE)
        if (status := source.status()).stage is Stage.FAILED:
            source.close()
            raise _Failure(status.detail)
        try:
            _require_terminal(_WITHOUT_SCREEN)
        except _Failure:
            source.close()
            raise
    from execwhy.tui.model.history.resident import BESIDE, ELSEWHERE, Resident
    from execwhy.tui.terminal import terminal

    terminal.forget_claimed_size()
    from execwhy.tui.model.history.store import DEFAULT_MAX_BYTES, DEFAULT_MAX_EVENTS, History
    from execwhy.tui.screen.app import ExecwhyApp
    from execwhy.tui.why.lookers.dispatcher import Lookers

    # A file's records were diagnosed where they were captured; here and now the facts are others.
    lookers = None if spawner is None else Lookers(spawner)
    memory = Resident(beside=BESIDE - ELSEWHERE if lookers else BESIDE)
    app = ExecwhyApp(
        measured or source,
        query=query.text,
        history=History(
            options.history or DEFAULT_MAX_EVENTS, options.history_bytes or DEFAULT_MAX_BYTES, memory
        ),
        show_secrets=options.show_secrets,
        lookers=lookers,
        capture=options.capture or "",
        theme=options.theme,
        on_cause=None if measured is None else measured.count_cause,
        greets=True,
    )
    ended = terminal.run(app, mouse=not options.no_mouse)
    return _complain(app.failure, ended) if app.failure else ended


def _require_readable(path: str) -> None:
    """Say what is wrong with a file before the screen covers the shell; reading it may fail all the same."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise _Failure(f"{path} is a directory: give the name of a snapshot or a recording in it.")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no name of a file"
        raise _Failure(f"{path} cannot be read ({reason}): check its name.") from None
    if not os.access(path, os.R_OK):
        raise _Failure(f"{path} cannot be read by this user: ask its owner, or open it as root.")


def _require_distinct(paths: Sequence[str]) -> None:
    """Refuse a file that is named twice, by whatever names: each of its events would be counted twice.

    Raises:
        UsageError: Which two are the same.
    """
    named: dict[tuple[int, int], str] = {}
    for path in paths:
        try:
            status = os.fstat(0) if path == "-" else os.stat(path)
        except OSError:
            continue
        file = status.st_dev, status.st_ino
        if file in named and stat.S_ISREG(status.st_mode):
            raise UsageError(f"--open: {named[file]} and {path} are the same file: leave one of them out.")
        named[file] = path


def _keyboard_for_data(closed: frozenset[int]) -> int:
    """Put the terminal in standard input's place; the descriptor under which the data is read now.

    Raises:
        UsageError: Standard input is the terminal itself, or was closed.
        _Failure: There is no terminal.
    """
    if 0 in closed:
        raise UsageError("--open - reads standard input, and that is closed: give it a file.")
    if os.isatty(0):
        raise UsageError("--open - reads standard input: give it a file, as in execwhy --open - < FILE.")
    data = os.dup(0)
    try:
        keyboard = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        raise _Failure(f"the screen needs a terminal: run execwhy in one, or {_WITHOUT_SCREEN}.") from None
    os.dup2(keyboard, 0)
    os.close(keyboard)
    return data


def _require_terminal(instead: str) -> None:
    """Refuse what Textual would draw nonsense on. It reads standard input and draws on standard error.

    Args:
        instead: What else there is to do, as the end of a sentence.

    Raises:
        _Failure: There is no terminal, or none that can place a cursor.
    """
    if not (os.isatty(0) and os.isatty(2)):
        raise _Failure(f"the screen needs a terminal: run execwhy in one, or {instead}.")
    if os.environ.get("TERM", "dumb") in ("dumb", ""):
        raise _Failure(f"this terminal cannot show a screen (TERM is dumb or empty): set TERM, or {instead}.")


def _distrust_environment() -> None:
    """Drop what Textual would obey: TEXTUAL_DRIVER imports any code, TEXTUAL_LOG writes any file."""
    for name in [name for name in os.environ if name.startswith("TEXTUAL_")]:
        del os.environ[name]


if __name__ == "__main__":
    sys.exit(main())
