"""How the kernel reads many first lines and broken programs, and the diagnosis of each of its answers."""

from __future__ import annotations

import errno
import os
import random
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import diagnose
from tests.live.listener import Listener
from tests.live.zoo import Zoo
from tests.settled import SETTLED

LINES = 600
"""First lines to try, each 2 ms."""

TRIES = 5

DISTURBED = (
    "was so at the exec is not known",
    "memory, which others could change",
    "could not be looked at.",
)
"""Why a cause is not certain where another program mounts something, reads the caller's /proc, or keeps this
one from running: of its threads one waits for the other, which counts as time of a look."""

_PHDR = 56


@dataclass(frozen=True)
class Answer:
    """The kernel's answer for one file, and its diagnosis.

    Attributes:
        content: What is in the file.
        error: Name of the errno; None if the program ran, or was killed while it was loaded.
        diagnosis: The diagnosis of its record; None without a record, if nothing failed.
    """

    content: bytes
    error: str | None
    diagnosis: Diagnosis | None

    @property
    def is_disturbed(self) -> bool:
        """Return whether the cause is uncertain because of what another program did."""
        facts = () if self.diagnosis is None or self.diagnosis.certain else self.diagnosis.evidence
        return any(reason in fact for fact in facts for reason in DISTURBED)


def execute(paths: Sequence[str]) -> list[str | None]:
    """Execute each, from a child without threads: a path in memory that others could write is not certain.

    Returns:
        The names of their errnos; None for a program that ran or was killed.
    """
    silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            with open(writing, "w") as answer:
                for path in paths:
                    try:
                        os.waitpid(os.posix_spawn(path, [path], {}, file_actions=silent), 0)
                        print(file=answer)
                    except OSError as error:
                        print(errno.errorcode[error.errno or 0], file=answer)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        errors = [line.rstrip("\n") or None for line in answer]
    os.waitpid(child, 0)
    assert len(errors) == len(paths)
    return errors


def answers(contents: Sequence[bytes], zoo: Zoo, listener: Listener) -> list[Answer]:
    """Execute files with these contents, and diagnose what failed; again where others disturbed that."""
    found = _answers(contents, zoo, listener)
    for _ in range(TRIES):
        disturbed = [number for number, answer in enumerate(found) if answer.is_disturbed]
        if not disturbed:
            break
        again = _answers([contents[number] for number in disturbed], zoo, listener)
        for number, answer in zip(disturbed, again, strict=True):
            found[number] = answer
    return found


def _answers(contents: Sequence[bytes], zoo: Zoo, listener: Listener) -> list[Answer]:
    directory = zoo / f"formats-{time.monotonic_ns()}"
    os.mkdir(directory)
    paths = [f"{directory}/{number}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o755)
    time.sleep(SETTLED)
    errors = execute(paths)
    listener.catch_up()
    records = {record.path: record for record in listener.failures}
    assert all(path in records for path, error in zip(paths, errors, strict=True) if error)
    diagnoses = [diagnose(records[path]) if path in records else None for path in paths]
    return [Answer(*each) for each in zip(contents, errors, diagnoses, strict=True)]


OF_A_LINE = {
    "ENOENT": {"missing-interpreter", "crlf-interpreter"},
    "ENOEXEC": {"shebang-too-long", "shebang-without-interpreter", "no-shebang"},
    "EACCES": {"shebang-without-interpreter", "interpreter-not-executable"},
    "ENOTDIR": {"not-a-directory"},
}
"""The possible causes of each error of the lines below: nothing else is wrong with their files."""


def test_every_first_line_is_read_as_the_kernel_reads_it(
    zoo: Zoo, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All missing files are missing in one directory, which nobody else changes.
    place = zoo.path(f"lines-{time.monotonic_ns()}")
    os.mkdir(place)
    monkeypatch.chdir(os.fsdecode(place))
    dice = random.Random(0)
    link = place + b"/link"
    interpreters = [
        *(
            link,
            link + b"\r",
            link + b"/",
            b"",
            place + b"/no/x",
            b"relative",
            place + b"/" + b"a" * 180,
            b"\xff",
        ),
        *(link.rjust(length, b"/") for length in range(236, 256)),
        *(zoo.path("text"), zoo.path("not-executable")),
    ]
    blanks = [
        b"",
        b" ",
        b"\t",
        b" \t ",
        b"\0",
        b"\r",
        *(b" " * n for n in (100, 249, 250, 251, 252, 253, 254)),
    ]
    arguments = [b"", b"-x", b"-x -y", b"a" * 200, b"\0\0", b"-x\0y", b"a" * 255]
    ends = [b"\n", b"\r\n", b"", b"\0\n", b" \n", b"\0", b"\t\0\n", b" " * 300, b"\n" + b"x" * 300]
    parts = (blanks, interpreters, blanks[:6], arguments, blanks[:4], ends)
    os.symlink(zoo / "succeeds", link)
    lines = [b"#!" + b"".join(dice.choice(part) for part in parts) for _ in range(LINES)]
    found = answers(lines, zoo, listener)
    assert {answer.error for answer in found} == {None, *OF_A_LINE}, "every kind of answer is tried"
    for answer in found:
        if answer.error is None:
            assert answer.diagnosis is None, answer
        else:
            assert answer.diagnosis is not None and answer.diagnosis.certain, answer
            assert answer.diagnosis.code in OF_A_LINE[answer.error], answer


@pytest.mark.parametrize("name", ["succeeds", "dynamic"])
def test_a_program_truncated_anywhere_in_its_headers_is_reported_as_truncated(
    name: str, zoo: Zoo, listener: Listener
) -> None:
    with open(zoo / name, "rb") as file:
        program = file.read()
    (offset,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    headers = offset + size * count
    found = answers([program[:length] for length in range(1, headers + 200)], zoo, listener)
    for answer in found:
        assert answer.diagnosis is not None, answer
        # After the headers, the kernel's error can also be that of a limit (EFAULT of clear_user).
        assert answer.diagnosis.certain or answer.error is None, answer
        if answer.error is None:
            assert answer.diagnosis.code == "killed-after-point-of-no-return"
            assert "is cut off: it has " in answer.diagnosis.summary
        else:
            assert answer.diagnosis.code == "truncated-elf", answer
    assert [answer.error for answer in found[: headers - 1]] == ["ENOEXEC"] * (headers - 1)
    assert found[-1].error is None, "beyond its headers the kernel begins to load it"


def test_headers_with_one_wrong_field_are_reported_with_the_kernels_error(
    zoo: Zoo, listener: Listener
) -> None:
    with open(zoo / "dynamic", "rb") as file:
        program = file.read()
    (table,) = struct.unpack_from("<Q", program, 32)
    (count,) = struct.unpack_from("<H", program, 56)
    interp = next(
        at for at in range(table, table + count * _PHDR, _PHDR) if program[at : at + 4] == b"\3\0\0\0"
    )
    begin, length = (struct.unpack_from("<Q", program, interp + at)[0] for at in (8, 32))
    wrong = {
        "ENOEXEC malformed-elf": [
            (_with("<H", program, 54, 55), "wrong size"),
            (_with("<H", program, 56, 0), "no program headers"),
            (_with("<H", program, 56, 1171), "more than 64 KiB"),
            (_with("<H", program, 18, 3), "no 64-bit programs for i386"),
            (_with("<Q", program, interp + 32, 1), "impossible length"),
            (_with("<Q", program, interp + 32, 4097), "impossible length"),
            (_with("<Q", program, interp + 32, length - 1), "does not end"),
        ],
        "ENOEXEC truncated-elf": [(_with("<Q", program, 32, 1 << 40), "its ELF headers alone need")],
        "EINVAL malformed-elf": [(_with("<Q", program, interp + 8, (1 << 64) - 1), "where no file has any")],
        "EIO truncated-elf": [(_with("<Q", program, interp + 8, len(program)), "its headers point to")],
        "ENOENT missing-elf-interpreter": [(_with("B", program, begin, ord("q")), "there is no directory")],
    }
    for expected, cases in wrong.items():
        found = answers([content for content, _ in cases], zoo, listener)
        for answer, (_, says) in zip(found, cases, strict=True):
            assert answer.diagnosis is not None and answer.diagnosis.certain, answer.diagnosis
            assert f"{answer.error} {answer.diagnosis.code}" == expected, answer.diagnosis
            assert says in answer.diagnosis.summary


def _with(form: str, program: bytes, at: int, value: int) -> bytes:
    changed = bytearray(program)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)
