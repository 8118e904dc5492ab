"""argv and envp from the kernel's own copy are as passed, without the changes by a ``#!`` line."""

from __future__ import annotations

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.program import layout
from execwhy.bpf.read.decode import decode
from tests.unit.raw_record import UNREAD, element, raw_record

ARGV = (b"zero", b"one", b"two words", b"")
ENVP = (b"A=1", b"B=\xff")


def strings(*of: bytes) -> bytes:
    return b"".join(string + b"\0" for string in of)


def failure(
    block: bytes,
    counts: tuple[int, int, int],
    *,
    total: int | None = None,
    argv: bytes = element(b"of the caller"),
    user_counts: tuple[int, int] = (4, 2),
    interpreter: bytes = b"",
    limits: tuple[int, int] = (8192, 8192),
) -> ExecFailure:
    raw = raw_record(
        {"copied": block, "arguments": argv, "interpreter": interpreter},
        counts=user_counts,
        bprm_counts=counts,
        copied_total=len(block) if total is None else total,
    )
    record = decode(raw, 0, limits)[0]
    assert isinstance(record, ExecFailure)
    return record


def text(of: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(string.decode("utf-8", "surrogateescape") for string in of)


def test_the_kernels_copy_is_recorded_rather_than_the_callers_current_memory() -> None:
    record = failure(strings(*ARGV, *ENVP), (4, 2, 4))
    assert (record.arguments, record.environment) == (text(ARGV), text(ENVP))
    assert record.arguments_source == "kernel"
    assert (record.truncated.argc, record.truncated.envc) == (4, 2)
    assert not (record.truncated.arguments or record.truncated.environment)


def test_a_script_has_the_passed_arguments_and_argv0_of_the_caller() -> None:
    block = strings(b"/bin/interpreter", b"-x", b"/the/script", *ARGV[1:], *ENVP)
    record = failure(block, (4, 2, 6), argv=element(b"zero"), interpreter=b"/bin/interpreter\0")
    assert (record.arguments, record.environment) == (text(ARGV), text(ENVP))
    assert record.arguments_source == "kernel"


def test_a_script_whose_argv0_cannot_be_read_has_none_there() -> None:
    block = strings(b"/bin/interpreter", b"/the/script", b"one")
    record = failure(block, (2, 0, 3), argv=UNREAD, interpreter=b"/bin/interpreter\0")
    assert record.arguments == (None, "one")


def test_arguments_of_a_script_without_a_kernel_count_come_from_the_caller() -> None:
    block = strings(b"/bin/interpreter", b"/the/script", b"one")
    record = failure(
        block, (3, 0, 3), argv=element(b"zero") + element(b"one"), interpreter=b"/bin/interpreter\0"
    )
    assert record.arguments == ("zero", "one")
    assert record.arguments_source == "user"


def test_an_empty_argv_is_empty_though_the_kernel_makes_it_one_empty_string() -> None:
    record = failure(strings(b"", *ENVP), (1, 2, 1), argv=b"", user_counts=(0, 2))
    assert record.arguments == ()
    assert record.truncated.argc == 0
    assert record.environment == text(ENVP)


def test_one_empty_string_is_not_an_empty_argv() -> None:
    record = failure(strings(b"", *ENVP), (1, 2, 1), argv=element(b""), user_counts=(1, 2))
    assert record.arguments == ("",)


@pytest.mark.parametrize(
    "block", [strings(*ARGV), strings(*ARGV, *ENVP, b"more"), strings(*ARGV, *ENVP)[:-1]]
)
def test_an_inconsistent_copy_is_not_recorded(block: bytes) -> None:
    record = failure(block, (4, 2, 4))
    assert record.arguments == ("of the caller",)
    assert record.arguments_source == "user"


def test_a_copy_that_ends_early_is_marked_where_it_ends() -> None:
    block = strings(b"zero", b"o" * 5000)[:3000]
    record = failure(block, (3, 2, 3), total=9000, user_counts=(3, 2))
    assert record.arguments == ("zero", "o" * (3000 - 5))
    assert record.truncated.arguments
    assert record.truncated.argument_indexes == (1,)
    assert record.truncated.argc == 3


def test_a_limit_applies_to_the_copy_too() -> None:
    record = failure(strings(b"a" * 10, b"b" * 20000, b"c"), (3, 0, 3), limits=(100, 100))
    assert record.arguments == ("a" * 10, "b" * 89)
    assert record.truncated.argument_indexes == (1,)
    assert record.truncated.argc == 3


def test_a_number_of_strings_other_than_the_kernels_count_is_marked() -> None:
    argv = element(b"zero") + element(b"one")
    record = failure(b"", (3, 0, 3), argv=argv, user_counts=(2, 0))
    assert (record.arguments, record.arguments_source) == (("zero", "one"), "user")
    assert (record.truncated.argc, record.truncated.arguments) == (3, True)
    record = failure(b"", (2, 0, 2), argv=argv, user_counts=(2, 0))
    assert not record.truncated.arguments


def test_a_program_started_by_the_kernel_is_marked_as_such() -> None:
    raw = raw_record({"arguments": element(b"modprobe")}, counts=(1, 0), bits=layout.KERNEL_INVOKED)
    record = decode(raw, 0)[0]
    assert isinstance(record, ExecFailure)
    assert (record.kernel_invoked, record.syscall) == (True, None)
    assert (record.arguments, record.arguments_source) == (("modprobe",), "kernel")


def test_the_file_that_the_kernel_had_open_is_recorded() -> None:
    raw = raw_record(
        {"binary": b"x\0bin\0", "interpreter": b"/no/such\0"},
        bits=layout.BINARY_KNOWN,
        binary_end=layout.AT_ROOT,
        inode_number=5,
        ctime=6,
        size=7,
        device=8 << 20 | 1,
        mode=0o100755,
        owner=10,
        group=11,
    )
    record = decode(raw, 0)[0]
    assert isinstance(record, ExecFailure)
    binary = record.binary
    assert binary is not None
    assert (binary.path, binary.device, binary.device_id) == ("/bin/x", "8:1", 8 << 20 | 1)
    assert (binary.inode_number, binary.ctime, binary.inode_mode) == (5, 6, 0o100755)
    assert (binary.size, binary.uid, binary.gid, binary.source) == (7, 10, 11, "kernel")
    assert record.interpreter_path == "/no/such"
