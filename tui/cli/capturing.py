"""Capturing from the kernel: the source, the parent of the lookers, and giving up root's privileges."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Collection
from typing import TYPE_CHECKING

from execwhy.bpf.load.rlimits import obstacle
from execwhy.bpf.priority import Session, go_first
from execwhy.tui.cli.complaints import CommandError
from execwhy.tui.cli.filters import capture_filter
from execwhy.tui.cli.options import UsageError
from execwhy.tui.cli.signals import exit_on_signals

if TYPE_CHECKING:
    from execwhy.bpf.privileges import User
    from execwhy.bpf.read.reader import KernelSource
    from execwhy.tui.recording.instrumented import InstrumentedSource
    from execwhy.tui.why.lookers.process import Begin, LookAt
    from execwhy.tui.why.lookers.spawner import Spawner


def check_capture_options(options: Namespace) -> None:
    """Check the values that need more than their own text, before anything asks for root or a terminal.

    Raises:
        UsageError: One of them is wrong.
    """
    capture_filter(options)
    if options.user is not None:
        _user(options.user)
    for name in ("max_args_bytes", "max_env_bytes"):
        if (size := getattr(options, name)) is None:
            continue
        from execwhy.bpf.read.reader import MAX_TEXT_BYTES

        if size > MAX_TEXT_BYTES:
            raise UsageError(f"--{name.replace('_', '-')} is too large: give at most {MAX_TEXT_BYTES}.")


def require_root() -> None:
    """Raise ``CommandError`` unless this process may attach the hooks."""
    from execwhy.bpf.load import support

    try:
        support.require_root()
    except support.KernelError as error:
        raise CommandError(str(error)) from None


def kernel_source(options: Namespace) -> tuple[KernelSource, Spawner]:
    """Attach the hooks in another process; return their source, and the parent of the lookers.

    From then on this process has no privileges, except with ``--keep-privileges``.
    """
    require_root()
    from execwhy.bpf.load import support
    from execwhy.bpf.load.probe import ProbeError
    from execwhy.bpf.read.reader import DEFAULT_ARGS_BYTES, DEFAULT_ENV_BYTES, KernelSource

    args_bytes, env_bytes = options.max_args_bytes, options.max_env_bytes
    source = KernelSource(
        plan=options.plan,
        max_args_bytes=DEFAULT_ARGS_BYTES if args_bytes is None else args_bytes,
        max_env_bytes=DEFAULT_ENV_BYTES if env_bytes is None else env_bytes,
        capture=capture_filter(options),
        ring_bytes=options.ring_size,
        all_failures=options.all_failures,
        types=options.types,
    )
    try:
        if options.plan is not None:
            support.choose(options.plan)
        source.load()
    except (support.KernelError, ProbeError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        unknown = f"no process can be started to attach the hooks ({reason}): make room for one."
        raise CommandError(obstacle(error) or unknown) from None
    try:
        exit_on_signals()
        go_first()
        return source, _become_unprivileged(options)
    except BaseException:
        source.close()
        raise


def counted_source(source: KernelSource, path: str | None) -> InstrumentedSource | None:
    """Return the source with its counters written to a file; None without ``--metrics``.

    The file is written at once, so that a file that cannot be written is reported before the start.
    """
    if path is None:
        return None
    from execwhy.tui.model.files.safe_file import SnapshotError
    from execwhy.tui.recording.instrumented import InstrumentedSource

    counted = InstrumentedSource(source, path)
    try:
        counted.write()
    except SnapshotError as error:
        source.close()
        raise CommandError(f"--metrics: {error}") from None
    return counted


def give_up_privileges(kept: Collection[int], uid: int | None = None) -> None:
    """Become the user with this id, or the one behind sudo, and keep at most these capabilities."""
    from execwhy.bpf.privileges import PrivilegeError, drop

    try:
        drop(_user(uid), kept)
    except PrivilegeError as error:
        raise CommandError(str(error)) from None
    if uid is not None:
        # Files that are written now belong to the user that --user names.
        for name in ("SUDO_UID", "SUDO_GID"):
            os.environ.pop(name, None)


def _become_unprivileged(options: Namespace) -> Spawner:
    """Fork the parent of the lookers, which keeps the capabilities that they need, and drop them here."""
    from execwhy.bpf.caller.namespaces import home_namespaces
    from execwhy.bpf.privileges import FOR_DIAGNOSIS, drop
    from execwhy.tui.why.lookers.process import start_parent
    from execwhy.tui.why.lookers.spawner import Spawner

    user = _user(options.user)
    home_namespaces()  # finding them out takes privileges

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
        raise CommandError(obstacle(error) or unknown) from None
    if not options.keep_privileges:
        give_up_privileges((), options.user)
    return Spawner(control)


def _user(uid: int | None) -> User | None:
    from execwhy.bpf.privileges import user_behind_sudo, user_of_the_system

    try:
        return user_behind_sudo(os.environ) if uid is None else user_of_the_system(uid)
    except KeyError:
        raise UsageError(f"--user: there is no user {uid}: give one that this system knows.") from None
