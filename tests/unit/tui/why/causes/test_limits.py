"""E2BIG and related errors: the diagnosis names what was too large, as far as it was read."""

from __future__ import annotations

import dataclasses
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from execwhy.bpf.events.record import Diagnosis, Truncated
from execwhy.tui.why.causes import diagnose, limits
from execwhy.tui.why.causes import too_big as too_big_strings
from execwhy.tui.why.causes.strings import MAX_ARG_STRLEN
from execwhy.tui.why.scene.processes import holders, listing
from tests.settled import SETTLED
from tests.unit.tui.why.failing import a_failure, failed_exec


def too_big(**facts: object) -> tuple[str, bool, str]:
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, **{"arguments_source": "kernel", **facts}))
    return diagnosis.code, diagnosis.certain, diagnosis.summary


def test_one_string_too_long_is_named() -> None:
    record = failed_exec("/bin/true", ["true", "x" * MAX_ARG_STRLEN, "short"])
    assert record.error == "E2BIG"
    diagnosis = diagnose(record)
    assert (diagnosis.code, diagnosis.certain) == ("argument-too-long", False)
    assert "in the caller's memory" in diagnosis.evidence[-1]
    assert diagnosis.brief == "argument 1 is too long"
    assert diagnose(dataclasses.replace(record, arguments_source="kernel")).certain


def test_a_variable_too_long_is_named_without_its_value() -> None:
    record = failed_exec("/bin/true", ["true"], {"SECRET": "s3cr3t" * MAX_ARG_STRLEN})
    diagnosis = diagnose(record)
    assert diagnosis.code == "variable-too-long"
    assert '"SECRET"' in diagnosis.summary
    assert "s3cr3t" not in str(diagnosis)


def test_a_truncated_string_is_named_if_it_is_the_only_one() -> None:
    truncated = Truncated(arguments=True, argc=2, envc=1, argument_indexes=(1,))
    caller = {"pid": os.getpid(), "tid": os.getpid()}
    facts = {"arguments": ("true", "x" * 4095), "environment": ("A=1",), "truncated": truncated, **caller}
    assert too_big(**facts)[:2] == ("argument-too-long", False)


@pytest.mark.parametrize("measured", [True, False])
def test_a_string_that_is_too_long_is_not_reported_as_short(measured: bool) -> None:
    truncated = Truncated(
        arguments=True, argc=2, envc=1, argument_indexes=(1,), long_argument=1 if measured else None
    )
    facts = {"arguments": ("true", "x" * 8190), "environment": ("A=1",), "truncated": truncated}
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, **facts))
    assert diagnosis.code == "argument-too-long"
    assert "more than 131,072 bytes" in diagnosis.summary
    assert diagnosis.evidence[:2] == (
        "It was given 2 arguments and 1 variable.",
        "Only the first 8,190 bytes of argument 1 were copied.",
    )
    said = " ".join(diagnosis.evidence)
    assert "largest string" not in said and "at least" not in said


def test_neither_of_two_truncated_strings_is_blamed() -> None:
    truncated = Truncated(arguments=True, argc=3, envc=0, argument_indexes=(1, 2))
    facts = {"arguments": ("true", "x" * 4095, "y" * 4095), "truncated": truncated}
    assert too_big(**facts)[:2] == ("arguments-too-big", False)


def test_unread_strings_leave_the_cause_open() -> None:
    truncated = Truncated(arguments=True, argc=400, envc=0)
    assert too_big(arguments=("true",) * 41, truncated=truncated)[:2] == ("arguments-too-big", False)


def test_missing_parts_of_the_strings_are_reported() -> None:
    truncated = Truncated(arguments=True, argc=5, envc=1, argument_indexes=(1,))
    arguments = ("true", "x" * 4095, None)
    facts = {"arguments": arguments, "environment": ("A=1",), "truncated": truncated}
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, **facts))
    assert not diagnosis.certain
    assert any(
        "1 was read only in part, 1 could not be read and 2 were not read at all" in fact
        for fact in diagnosis.evidence
    )


def limited(stack: int, whose: str) -> Callable[[object, str], tuple[int, str]]:
    return lambda scene, name: (stack, whose)


def test_recording_and_screen_agree_on_the_stack_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # One looks while the caller lives, the other when it may be gone; neither knows the limit at the exec.
    said = []
    for whose in ("the caller's", "its parent's"):
        monkeypatch.setattr(too_big_strings, "limit_of", limited(8 << 20, whose))
        truncated = Truncated(arguments=True, argc=2, envc=0, argument_indexes=(1,))
        facts = {"arguments": ("true", "x" * 4095), "truncated": truncated}
        said.append(diagnose(a_failure("/bin/true", errno.E2BIG, **facts)))
    alive, gone = said
    assert (alive.code, alive.certain) == (gone.code, gone.certain) == ("argument-too-long", False)
    assert gone.evidence[:-1] == alive.evidence[:-1]
    assert "what it was at the exec is not known" in alive.evidence[-1]
    assert "its parent's, and it may have had another" in gone.evidence[-1]


@pytest.mark.parametrize("whose", ["the caller's", "its parent's"])
def test_the_total_size_is_certain_only_beyond_what_any_limit_allows(
    whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(too_big_strings, "limit_of", limited(8 << 20, whose))
    for number, certain in ((30, False), (70, True)):
        facts = {"arguments": ("x" * 100_000,) * number, "truncated": Truncated(argc=number, envc=0)}
        assert too_big(**facts)[:2] == ("arguments-too-big", certain)


def test_a_stack_limit_below_the_minimum_for_strings_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(too_big_strings, "limit_of", limited(65_536, "the caller's"))
    facts = {"arguments": ("x" * 33_000,) * 3, "truncated": Truncated(argc=3, envc=0)}
    code, certain, summary = too_big(**facts)
    assert (code, certain) == ("arguments-too-big", False)
    assert "the kernel takes 65,536 here" in summary


@pytest.mark.parametrize("whose", ["the caller's", "its parent's", "not known"])
def test_strings_that_are_not_too_long_do_not_explain_the_error(
    whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(too_big_strings, "limit_of", limited(8 << 20, whose))
    facts = {"arguments": ("true",), "truncated": Truncated(argc=1, envc=0)}
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, **facts))
    assert (diagnosis.code, diagnosis.certain) == ("unexplained", False)
    assert "do not explain: 1 argument and 0 variables take 23 bytes" in diagnosis.summary
    assert "too big" not in diagnosis.summary and diagnosis.advice is None
    assert any("seccomp filter" in fact for fact in diagnosis.evidence), "the caller is gone"


def test_strings_within_the_parents_limit_may_exceed_that_of_a_vanished_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(too_big_strings, "limit_of", limited(8 << 20, "its parent's"))
    facts = {"arguments": ("x" * 100_000,) * 3, "truncated": Truncated(argc=3, envc=0)}
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, **facts))
    assert diagnosis.code == "arguments-too-big"
    assert "may be too big together" in diagnosis.summary
    assert any("all strings were read" in fact for fact in diagnosis.evidence)


def test_an_unknown_count_is_not_shown_as_a_count() -> None:
    truncated = Truncated(arguments=True, argc=None, envc=0)
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, arguments=("x",) * 512, truncated=truncated))
    assert "at least 512 arguments and 0 variables" in diagnosis.summary
    assert diagnosis.evidence[0].startswith("It was given at least 512 arguments and 0 variables; ")
    assert diagnosis.evidence[3].startswith("The largest string that was read is")
    assert diagnosis.evidence[-1].startswith("Not certain: of the strings, an unknown number was not read")
    assert "--max-args-bytes" not in " ".join(diagnosis.evidence), "there are too many to read"


def test_options_that_read_more_are_named_if_they_help() -> None:
    for argc, helps in ((40, True), (60_000, False)):
        truncated = Truncated(arguments=True, argc=argc, envc=0)
        diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, arguments=("x",) * 30, truncated=truncated))
        assert ("--max-args-bytes" in " ".join(diagnosis.evidence)) is helps


def test_the_count_of_the_kernel_is_shown() -> None:
    truncated = Truncated(arguments=True, argc=60_000, envc=3)
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, arguments=("x",) * 512, truncated=truncated))
    assert "60,000 arguments and 3 variables" in diagnosis.summary
    # Each string also takes its NUL and a pointer.
    assert "at least 540," in diagnosis.evidence[0]


def test_the_limit_is_shown_with_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(too_big_strings, "limit_of", limited(8 << 20, "the caller's"))
    facts = {"arguments": ("x" * 100_000,) * 30, "truncated": Truncated(argc=30, envc=0)}
    diagnosis = diagnose(a_failure("/bin/true", errno.E2BIG, **facts))
    said = " ".join(diagnosis.evidence)
    for name in ("RLIMIT_STACK", "8,388,608", "ARG_MAX", "6,291,456", "131,072", "MAX_ARG_STRLEN"):
        assert name in said


def test_more_than_a_quarter_of_the_callers_stack_is_too_big() -> None:
    # This process is the caller, so its limit can be read.
    arguments = tuple("x" * 100_000 for _ in range(70))
    code, certain, summary = too_big(
        pid=os.getpid(), tid=os.getpid(), arguments=arguments, truncated=Truncated(argc=70, envc=0)
    )
    assert (code, certain) == ("arguments-too-big", True)
    assert "7,00" in summary


def of_this_process(error: int, monkeypatch: pytest.MonkeyPatch, most: int | None, whose: str) -> Diagnosis:
    """Diagnose an error of this process, which is still there, under a limit."""
    monkeypatch.setattr(limits, "limit_of", lambda scene, name: (most, whose))
    return diagnose(a_failure("/bin/true", error, pid=os.getpid(), tid=os.getpid(), uid=os.getuid()))


@pytest.mark.parametrize(
    ("most", "whose", "code", "said"),
    [
        (0, "the caller's", "process-limit", "its limit (RLIMIT_NPROC) is 0: exec refuses"),
        (1 << 30, "the caller's", "unexplained", "do not explain:"),
        (None, "the caller's", "unexplained", "its limit (RLIMIT_NPROC) is unlimited"),
        (1 << 30, "its parent's", "process-limit", "may have been over its process limit"),
        (None, "not known", "process-limit", "may have been over its process limit"),
    ],
)
def test_the_process_limit_is_the_cause_only_if_the_count_allows_it(
    most: int | None, whose: str, code: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnosis = of_this_process(errno.EAGAIN, monkeypatch, most, whose)
    assert (diagnosis.code, diagnosis.certain) == (code, False)
    assert said in diagnosis.summary and "RLIMIT_NPROC" in diagnosis.summary


def test_a_count_just_below_the_limit_leaves_it_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "threads_of", lambda scene, uid: 95)
    diagnosis = of_this_process(errno.EAGAIN, monkeypatch, 100, "the caller's")
    assert diagnosis.code == "process-limit"
    assert "it has 95 threads, and its limit (RLIMIT_NPROC) is 100" in diagnosis.summary


@pytest.mark.parametrize(
    ("most", "code", "said"),
    [
        (3, "descriptor-limit", "may have reached its limit of open files (its limit is 3)"),
        (1 << 20, "unexplained", "its limit (RLIMIT_NOFILE) is 1,048,576"),
    ],
)
def test_the_descriptor_limit_is_the_cause_only_if_the_count_allows_it(
    most: int, code: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnosis = of_this_process(errno.EMFILE, monkeypatch, most, "the caller's")
    assert (diagnosis.code, diagnosis.certain) == (code, False)
    assert said in diagnosis.summary


def test_open_files_of_a_vanished_caller_are_not_counted() -> None:
    diagnosis = diagnose(a_failure("/bin/true", errno.EMFILE))
    assert diagnosis.code == "descriptor-limit"
    assert diagnosis.summary.startswith("The caller may have reached")
    assert diagnosis.evidence[-2].startswith("Not certain: whether a seccomp filter made this error")
    assert diagnosis.evidence[-1] == "Not certain: how many files it had open was not counted."


@pytest.mark.parametrize(
    ("numbers", "code"),
    [("100 0 100", "system-file-limit"), ("99 0 100", "system-file-limit"), ("9 0 100", "unexplained")],
)
def test_the_file_table_is_the_cause_only_if_it_is_nearly_full(
    numbers: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "read_proc", lambda path: numbers if path.endswith("file-nr") else None)
    diagnosis = diagnose(a_failure("/bin/true", errno.ENFILE))
    assert (diagnosis.code, diagnosis.certain) == (code, False)
    assert ("may have reached" in diagnosis.summary) is (numbers == "99 0 100")


def test_a_seccomp_filter_is_named_if_the_facts_do_not_explain_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seccomp, sentence in (
        ("2", "Not certain: the caller runs under a seccomp filter, which can make this error."),
        ("0", "Not certain: all this was looked at"),
    ):
        status = f"Seccomp:\t{seccomp}\nTracerPid:\t0\n"
        monkeypatch.setattr(
            "execwhy.tui.why.scene.proc.CallerProcess.read", lambda process, name, said=status: said
        )
        diagnosis = of_this_process(errno.EMFILE, monkeypatch, 1 << 20, "the caller's")
        assert diagnosis.evidence[-1].startswith(sentence)


def test_pointers_that_can_all_be_followed_do_not_explain_a_bad_address() -> None:
    diagnosis = diagnose(a_failure("/bin/true", errno.EFAULT, arguments=("a",), environment=("A=1",)))
    assert (diagnosis.code, diagnosis.certain) == ("unexplained", False)
    assert "argv and envp could be read" in diagnosis.summary
    truncated = Truncated(arguments=True)
    diagnosis = diagnose(a_failure("/bin/true", errno.EFAULT, arguments=("a",), truncated=truncated))
    assert diagnosis.code == "bad-argument-pointer"
    assert "may not be in the caller's memory" in diagnosis.summary


def test_a_descriptor_that_is_open_does_not_explain_a_bad_one() -> None:
    with open(os.devnull) as file:
        number = file.fileno()
        facts = {"dirfd": number, "syscall": "execveat", "pid": os.getpid(), "tid": os.getpid()}
        diagnosis = diagnose(a_failure("program", errno.EBADF, **facts))
    assert (diagnosis.code, diagnosis.certain) == ("unexplained", False)
    assert f"file descriptor {number}, where execveat was to begin, is open" in diagnosis.summary


def test_a_bad_pointer_is_claimed_only_if_it_is_the_only_one() -> None:
    me = os.getpid()
    for source in ("kernel", "user"):
        facts = {"arguments": ("a", None, "b"), "arguments_source": source, "pid": me, "tid": me}
        one = diagnose(a_failure("/bin/true", errno.EFAULT, **facts))
        assert (one.code, one.certain) == ("bad-argument-pointer", False)
        assert "argument 1" in one.summary
    two = diagnose(a_failure("/bin/true", errno.EFAULT, arguments=("a", None), environment=(None,)))
    assert (two.code, two.certain) == ("bad-argument-pointer", False)


def test_an_error_that_the_filter_of_a_vanished_caller_may_have_made_is_not_certain() -> None:
    for error, facts in (
        (errno.EFAULT, {"arguments": ("a", None, "b")}),
        (errno.EBADF, {"dirfd": 7, "syscall": "execveat"}),
        (errno.ENFILE, {}),
    ):
        diagnosis = diagnose(a_failure("program", error, **facts))
        assert not diagnosis.certain, diagnosis


def test_among_partly_read_strings_another_one_may_be_the_bad_one() -> None:
    me, truncated = os.getpid(), Truncated(arguments=True, argc=9)
    record = a_failure("x", errno.EFAULT, arguments=("a", None), truncated=truncated, pid=me, tid=me)
    diagnosis = diagnose(record)
    assert (diagnosis.code, diagnosis.certain) == ("bad-argument-pointer", False)


def test_a_file_open_for_writing_is_named_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o755)
    with path.open("r+b") as file:
        record = failed_exec(path)
        assert record.error == "ETXTBSY"
        diagnosis = diagnose(record)
        assert diagnosis.code == "open-for-writing"
        assert f"(pid {os.getpid()})" in diagnosis.brief
        assert f"fd {file.fileno()}" in diagnosis.summary
        assert diagnosis.summary.endswith(" had it open.")
        assert "is open for writing: " in diagnosis.summary
    afterwards = diagnose(record)
    assert afterwards.brief == "perhaps open for writing"
    assert "may have been open for writing" in afterwards.summary
    assert afterwards.summary.endswith("no process was found holding it open for writing.")


def test_the_progress_of_the_search_for_a_holder_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o755)
    with path.open("r+b"):
        record = failed_exec(path)
    listing._last.clear()
    monkeypatch.setattr(listing, "SECONDS", 60)
    assert not any("were looked at" in fact for fact in diagnose(record).evidence)
    for name, why in (("MAX_DESCRIPTORS", "room"), ("SECONDS", "time")):
        listing._last.clear()
        monkeypatch.setattr(listing, name, 0)
        diagnosis = diagnose(record)
        assert diagnosis.brief == "perhaps open for writing"
        assert any(
            "processes" in fact and f"were looked at: there is only so much {why}" in fact
            for fact in diagnosis.evidence
        )


def test_a_writer_through_another_name_of_the_file_is_found(tmp_path: Path) -> None:
    path, other = tmp_path / "job", tmp_path / "same"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o755)
    os.link(path, other)
    with other.open("r+b"):
        diagnosis = diagnose(failed_exec(path))
    assert f"(pid {os.getpid()})" in diagnosis.brief


@pytest.mark.parametrize(("flags", "release"), [(0x1, "6.18.0"), (0x1, "6.1.0"), (0x10000, "6.13.9-arch")])
def test_unknown_flags_are_named(flags: int, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel(release, monkeypatch)
    diagnosis = diagnose(a_failure("x", errno.EINVAL, syscall="execveat", dirfd=-100, flags=flags))
    assert diagnosis.code == "unknown-flags"
    assert diagnosis.certain


def test_a_flag_that_the_kernel_knows_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel("6.14.0-rc1", monkeypatch)
    diagnosis = diagnose(a_failure("/x", errno.EINVAL, syscall="execveat", dirfd=-100, flags=0x10000))
    assert diagnosis.code != "unknown-flags"


def kernel(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel be of that release."""
    system = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((system[0], system[1], release, *system[3:])))


def test_a_killed_process_is_reported_as_killed() -> None:
    diagnosis = diagnose(a_failure("/bin/true", errno.ELIBBAD, killed_by="SIGSEGV"))
    assert diagnosis.code == "killed-after-point-of-no-return"
    assert diagnosis.brief == "killed by SIGSEGV while loading (ELIBBAD)"
    assert not diagnosis.certain


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EFAULT])
def test_a_kill_for_lack_of_memory_is_not_certain_if_the_limits_are_gone(error: int) -> None:
    diagnosis = diagnose(a_failure("/bin/true", error, killed_by="SIGSEGV"))
    assert not diagnosis.certain
    assert any("RLIMIT_AS, RLIMIT_DATA" in fact for fact in diagnosis.evidence)


@pytest.mark.parametrize(
    ("title", "name", "most"),
    [
        ("Max address space", "RLIMIT_AS", 100_000),
        ("Max data size", "RLIMIT_DATA", 1000),
        ("Max stack size", "RLIMIT_STACK", 1000),
    ],
)
@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EFAULT])
def test_the_limit_on_memory_that_killed_is_named(
    title: str, name: str, most: int, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit_of(scene: object, asked: str) -> tuple[int | None, str]:
        return (most if asked == title else None), "the caller's"

    monkeypatch.setattr(limits, "limit_of", limit_of)
    diagnosis = diagnose(a_failure("/bin/true", error, killed_by="SIGSEGV"))
    assert not diagnosis.certain
    assert "what it was at the exec is not known" in diagnosis.evidence[-1]
    assert f"limited by {name} to {most:,} bytes" in diagnosis.summary
    assert diagnosis.brief.startswith(f"{name} too low")
    assert diagnosis.advice is not None and f"Raise {name}" in diagnosis.advice


def test_a_limit_that_leaves_room_to_load_the_program_is_not_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "limit_of", lambda scene, asked: (2 << 30, "the caller's"))
    diagnosis = diagnose(a_failure("/bin/true", errno.ENOMEM, killed_by="SIGSEGV"))
    assert not diagnosis.certain


def test_a_string_of_known_length_is_named_regardless_of_what_follows() -> None:
    """A variable of 150 KB is read only in part, and nothing after it is read."""
    environment = ("PATH=/bin", "LONG=" + "x" * 8000)
    truncated = Truncated(environment=True, argc=1, envc=40, environment_indexes=(1,), long_variable=1)
    facts = {"arguments": ("true",), "environment": environment, "truncated": truncated}
    code, certain, summary = too_big(**facts)
    assert (code, certain) == ("variable-too-long", True)
    assert summary.startswith('Variable "LONG" has more than 131,072 bytes, its NUL included; ')


def test_a_measured_but_unread_string_is_named_by_its_number() -> None:
    truncated = Truncated(environment=True, argc=1, envc=40, long_variable=25)
    code, certain, summary = too_big(arguments=("true",), environment=("A=1",), truncated=truncated)
    assert (code, certain) == ("variable-too-long", True)
    assert summary.startswith("Environment element 25 has more than 131,072 bytes, its NUL included; ")
    truncated = Truncated(arguments=True, argc=40, envc=0, long_argument=25)
    code, certain, summary = too_big(arguments=("true",), truncated=truncated)
    assert (code, certain) == ("argument-too-long", True)
    assert summary.startswith("Argument 25 has more than 131,072 bytes, its NUL included; ")


@pytest.mark.parametrize(
    ("error", "is_cut_off", "certain"),
    [(errno.EIO, True, True), (errno.EFAULT, True, False), (errno.ENOMEM, False, False)],
)
def test_a_truncated_file_is_blamed_for_a_kill_only_with_a_matching_error(
    error: int, is_cut_off: bool, certain: bool, tmp_path: Path
) -> None:
    path = tmp_path / "job"
    whole = Path("/bin/true").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    path.chmod(0o755)
    time.sleep(SETTLED)
    diagnosis = diagnose(a_failure(str(path), error, killed_by="SIGSEGV"))
    assert ("is cut off" in diagnosis.summary, diagnosis.certain) == (is_cut_off, certain), diagnosis
