"""Every cause, made for real, is named correctly, and none is claimed that can no longer be known."""

from __future__ import annotations

import dataclasses
import errno
import os
import platform
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from execwhy.bpf.caller.lookup import look_up
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene.moment import CLOCK_STEP, SLOW_SECONDS
from tests.live import circumstances
from tests.live.exec_child import PATIENCE, Attempt, Exec, attempted
from tests.live.listener import Listener
from tests.live.why_cases import CAUSES, FORGOTTEN, Cause
from tests.live.why_files import mount_silent_file_system, protected_links, registered_handler, write_files
from tests.live.zoo import Zoo, built_zoo
from tests.settled import SETTLED
from tests.unit.tui.why.watched import watching

NO_PID = 2**22 + 1
"""Above PID_MAX_LIMIT: no process has it."""


@pytest.fixture(scope="module")
def files() -> Iterator[Zoo]:
    with built_zoo() as zoo:
        write_files(zoo)
        # Some are another user's.
        time.sleep(SLOW_SECONDS + SETTLED)
        yield zoo


@pytest.fixture(autouse=True)
def only_what_is_declared_is_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with watching(monkeypatch):
        yield


def prepare(cause: Cause, zoo: Zoo) -> Callable[[], Exec]:
    def in_child() -> Exec:
        cause.setup(zoo)
        call = cause.call(zoo)
        time.sleep(SETTLED)
        return call

    return in_child


def the_record(attempt: Attempt, listener: Listener) -> ExecFailure:
    records = listener.records_of(attempt.caller.pid, attempt.before)
    assert len(records) == 1
    return records[0]


def is_said(cause: Cause, diagnosis: Diagnosis, zoo: Zoo) -> None:
    assert diagnosis.code == cause.code, diagnosis
    assert cause.says.format(zoo=zoo.directory) in diagnosis.summary
    assert diagnosis.certain is cause.certain, diagnosis
    assert diagnosis.certain or any(fact.startswith("Not certain: ") for fact in diagnosis.evidence)
    assert 0 < len(diagnosis.brief) <= 150


@pytest.mark.parametrize("cause", CAUSES, ids=[f"{cause.error}: {cause.name}" for cause in CAUSES])
def test_the_cause_is_named_while_the_caller_lives(cause: Cause, files: Zoo, listener: Listener) -> None:
    with attempted(prepare(cause, files)) as attempt:
        assert attempt.error == (None if cause.killed else cause.error)
        record = the_record(attempt, listener)
        is_said(cause, diagnose(record), files)


@pytest.mark.parametrize("cause", CAUSES, ids=[f"{cause.error}: {cause.name}" for cause in CAUSES])
def test_the_cause_is_named_or_left_open_after_the_caller_has_exited(
    cause: Cause, files: Zoo, listener: Listener
) -> None:
    with attempted(prepare(cause, files)) as attempt:
        record = the_record(attempt, listener)
    diagnosis = diagnose(record)
    if cause.gone is None:
        assert diagnosis.code == cause.code, diagnosis
    else:
        assert diagnosis.code == cause.gone, diagnosis
        assert not diagnosis.certain
    assert diagnosis.certain or any(fact.startswith("Not certain: ") for fact in diagnosis.evidence)


def test_a_file_written_right_before_its_exec_is_not_a_certain_cause(files: Zoo, listener: Listener) -> None:
    def in_child() -> Exec:
        with open(files / "fresh", "w") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(files / "fresh", 0o755)
        return Exec(files.path("fresh"))

    with attempted(in_child) as attempt:
        record = the_record(attempt, listener)
        right_after = os.stat(files / "fresh").st_ctime_ns + CLOCK_STEP // 2
        diagnosis = diagnose(dataclasses.replace(record, timestamp=right_after))
    assert diagnosis.code == "missing-interpreter"
    assert not diagnosis.certain
    assert any("changed at about the time of the exec" in fact for fact in diagnosis.evidence), diagnosis


@pytest.mark.parametrize(
    ("limit", "most", "error"),
    [
        ("as", 4096, "EFAULT"),
        ("as", 200_000, "ENOMEM"),
        ("data", 1000, "ENOMEM"),
    ],
)
def test_a_limit_on_memory_that_kills_in_the_loader_is_named(
    limit: str, most: int, error: str, listener: Listener
) -> None:
    with subprocess.Popen(["prlimit", f"--{limit}={most}", "--core=0", "/bin/true"]) as process:
        # Until it is waited for, it is a zombie whose limits can be read.
        def killed() -> list[ExecFailure]:
            return [one for one in listener.failures if one.pid == process.pid and one.killed_by]

        listener.until(lambda: bool(killed()), "the record of the killed process")
        (record,) = killed()
        diagnosis = diagnose(record)
    assert (record.error, diagnosis.code) == (error, "killed-after-point-of-no-return")
    assert f"limited by RLIMIT_{limit.upper()} to {most:,} bytes" in diagnosis.summary
    assert not diagnosis.certain, "anyone of its user may have set it since"
    gone = diagnose(record)
    assert not gone.certain
    assert any("its limits" in fact and fact.startswith("Not certain: ") for fact in gone.evidence)


@pytest.mark.parametrize(
    ("name", "code"),
    [("asks-env", "missing-program-of-env"), ("asks-env-with-option", "blank-in-env-argument")],
)
def test_the_script_that_had_env_look_for_a_program_is_named(
    name: str, code: str, files: Zoo, listener: Listener
) -> None:
    script = files / name
    subprocess.run([script], check=False, stderr=subprocess.DEVNULL)
    tries = [record for record in listener.records_with(script) if record.path and "/bin/" in record.path]
    assert tries
    for record in tries:
        diagnosis = diagnose(record)
        assert (diagnosis.code, diagnosis.certain) == (code, False), diagnosis
        assert f'the script "{script}"' in diagnosis.summary


def test_the_test_cases_cover_many_causes() -> None:
    assert len({(cause.error, cause.name) for cause in CAUSES}) == len(CAUSES)
    assert len({cause.code for cause in CAUSES}) >= 40


def test_a_foreign_link_in_a_sticky_directory_is_not_followed(files: Zoo, listener: Listener) -> None:
    with protected_links(), attempted(lambda: Exec(files.path("sticky/link"))) as attempt:
        assert attempt.error == "EACCES"
        diagnosis = diagnose(the_record(attempt, listener))
    assert diagnosis.code == "protected-link"
    assert diagnosis.certain


def test_a_foreign_link_in_a_sticky_directory_is_followed_to_a_directory(
    files: Zoo, listener: Listener
) -> None:
    with protected_links(), attempted(lambda: Exec(files.path("sticky/to-plain/job"))) as attempt:
        diagnosis = diagnose(the_record(attempt, listener))
    assert (diagnosis.code, diagnosis.certain) == ("no-execute-permission", True), diagnosis


def test_a_binfmt_misc_handler_without_its_interpreter_is_named(files: Zoo, listener: Listener) -> None:
    def in_child() -> Exec:
        time.sleep(SETTLED)  # binfmt_misc may have been mounted for it
        return Exec(files.path("handled"))

    with registered_handler("execwhy-test", "/no/such/emulator"), attempted(in_child) as attempt:
        assert attempt.error == "ENOENT"
        diagnosis = diagnose(the_record(attempt, listener))
    assert diagnosis.code == "missing-binfmt-interpreter"
    assert '"/no/such/emulator"' in diagnosis.summary
    assert diagnosis.certain


def test_a_binfmt_misc_handler_without_a_free_descriptor_kills_the_caller(
    files: Zoo, listener: Listener
) -> None:
    def in_child() -> Exec:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        return Exec(files.path("handled"))

    with (
        registered_handler("execwhy-test", files / "succeeds", "O"),
        attempted(in_child) as attempt,
    ):
        record = the_record(attempt, listener)
        diagnosis = diagnose(record)
    assert attempt.killed_by == record.killed_by == "SIGSEGV"
    assert record.error == "EMFILE"
    assert diagnosis.code == "killed-after-point-of-no-return"
    assert f'"{files / "handled"}" could not be loaded (EMFILE)' in diagnosis.summary
    assert any("binfmt_misc handler with the flag O" in fact for fact in diagnosis.evidence)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is an ABI of x86_64")
def test_a_program_for_an_abi_missing_from_the_kernel_is_recognized(files: Zoo, listener: Listener) -> None:
    with attempted(lambda: Exec(files.path("x32"))) as attempt:
        assert attempt.error == "ENOEXEC"
        diagnosis = diagnose(the_record(attempt, listener))
    assert diagnosis.code == "32-bit-not-supported"
    assert not diagnosis.certain


def test_a_namespace_that_lives_on_is_examined_through_another_process(
    files: Zoo, listener: Listener
) -> None:
    def in_child() -> Exec:
        time.sleep(FORGOTTEN)
        circumstances.mount_noexec(files / "directory")
        if child := os.fork():
            os.waitpid(child, 0)
            os._exit(0)
        time.sleep(SETTLED)
        return Exec(files.path("directory/program"))

    with attempted(in_child) as attempt:
        record = the_record(attempt, listener)
        # Its parent is in the same namespace and still there.
        diagnosis = diagnose(dataclasses.replace(record, pid=NO_PID, tid=NO_PID))
    assert diagnosis.code == "noexec-mount"
    assert not diagnosis.certain
    assert any("its mounts may have changed since" in fact for fact in diagnosis.evidence), diagnosis


def test_a_fuse_file_system_of_another_user_is_reported_as_closed(files: Zoo, listener: Listener) -> None:
    def in_child() -> Exec:
        time.sleep(FORGOTTEN)
        mount_silent_file_system(files / "directory")
        circumstances.become_user()
        return Exec(files.path("directory/program"))

    with attempted(in_child) as attempt:
        assert attempt.error == "EACCES"
        diagnosis = diagnose(the_record(attempt, listener))
    assert diagnosis.code == "not-looked-at"
    assert any("allow_other" in fact for fact in diagnosis.evidence), diagnosis


def test_a_file_system_that_never_answers_is_not_waited_for(files: Zoo, listener: Listener) -> None:
    def in_child() -> Exec:
        time.sleep(FORGOTTEN)
        mount_silent_file_system(files / "directory")
        return Exec(files.path("nothing"))

    said: list[object] = []

    def ask(record: ExecFailure) -> None:
        said.append(look_up(record, time.time_ns()))
        said.append(diagnose(record).code)

    with attempted(in_child) as attempt:
        record = the_record(attempt, listener)
        for path in (files / "directory/program", files / "directory"):
            asked = dataclasses.replace(record, path=path, return_value=-errno.EACCES)
            thread = threading.Thread(target=ask, args=(asked,), daemon=True)
            thread.start()
            thread.join(PATIENCE)
    assert said == [(None, None), "not-looked-at"] * 2
