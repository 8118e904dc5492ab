"""Instructions are repaired, and still compute the same."""

from __future__ import annotations

import struct

from execwhy.bpf.load.instructions import with_callback, with_loops_closed_by_jumps, with_map

_FORMAT = "<BBhi"
MOVE, ADD, CALL, EXIT, LOAD_64 = 0xB7, 0x07, 0x85, 0x95, 0x18
ALWAYS, IF_EQUAL = 0x05, 0x15


def code(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack(_FORMAT, *instruction) for instruction in instructions)


def listed(program: bytes) -> list[tuple[int, ...]]:
    return list(struct.iter_unpack(_FORMAT, program))


def run(program: bytes, steps: int = 1000) -> int:
    """Return r0 at the end of a program of assignments, sums and jumps."""
    instructions = listed(program)
    at = r0 = 0
    for _ in range(steps):
        operation, _, offset, operand = instructions[at]
        at += 1
        if operation == EXIT:
            return r0
        if operation == MOVE:
            r0 = operand
        elif operation == ADD:
            r0 += operand
        elif operation == ALWAYS or (operation == IF_EQUAL and r0 == operand):
            at += offset
    raise AssertionError("it does not end")


LOOP_THAT_IS_RUN_INTO = code(
    (MOVE, 0, 0, 1),
    (ALWAYS, 0, 1, 0),  # into the loop, behind its closing jump
    (ADD, 0, 0, 10),  # the end of the loop runs on into its beginning
    (ADD, 0, 0, 1),  # the beginning
    (IF_EQUAL, 0, 1, 35),
    (ALWAYS, 0, -4, 0),
    (EXIT, 0, 0, 0),
)


def test_a_loop_closed_by_falling_through_gets_a_jump_and_computes_the_same() -> None:
    mended = with_loops_closed_by_jumps(LOOP_THAT_IS_RUN_INTO)
    assert run(mended) == run(LOOP_THAT_IS_RUN_INTO) == 35
    assert listed(mended)[3] == (ALWAYS, 0, 0, 0)
    assert len(mended) == len(LOOP_THAT_IS_RUN_INTO) + 8


def test_a_repaired_program_needs_no_repair() -> None:
    mended = with_loops_closed_by_jumps(LOOP_THAT_IS_RUN_INTO)
    assert with_loops_closed_by_jumps(mended) == mended


def test_a_loop_closed_by_a_jump_is_unchanged() -> None:
    program = code((MOVE, 0, 0, 0), (ADD, 0, 0, 1), (IF_EQUAL, 0, 1, 3), (ALWAYS, 0, -3, 0), (EXIT, 0, 0, 0))
    assert run(program) == 3
    assert with_loops_closed_by_jumps(program) == program


def test_a_load_of_64_bits_counts_as_one_instruction() -> None:
    # Its second half is not an instruction: its operation is 0.
    program = code((LOAD_64, 0x11, 0, 7), (0, 0, 0, 0), (MOVE, 0, 0, 0), (EXIT, 0, 0, 0))
    assert with_loops_closed_by_jumps(program) == program


def test_only_the_given_map_is_replaced() -> None:
    program = code(
        (LOAD_64, 0x11, 0, 7), (0, 0, 0, 0),  # a map
        (LOAD_64, 0x11, 0, 8), (0, 0, 0, 0),  # another
        (LOAD_64, 0x01, 0, 7), (0, 0, 0, 0),  # a number
        (MOVE, 0, 0, 7),
    )  # fmt: skip
    operands = [operand for _, _, _, operand in listed(with_map(program, 7, 9))]
    assert operands == [9, 0, 8, 0, 7, 0, 7]


def test_a_callback_follows_the_code_and_its_address_replaces_the_mark() -> None:
    mark = 0x6F6E5F6D_656D6F72
    program = code(
        (MOVE, 0, 0, 0),
        (LOAD_64, 3, 0, mark & 0xFFFFFFFF),
        (0, 0, 0, mark >> 32),
        (LOAD_64, 4, 0, 7),
        (0, 0, 0, 0),
        (EXIT, 0, 0, 0),
    )
    callback = code((MOVE, 0, 0, 1), (EXIT, 0, 0, 0))
    changed, where = with_callback(program, mark, callback)
    assert where == 6
    assert listed(changed)[1:3] == [(LOAD_64, 0x43, 0, where - 1 - 1), (0, 0, 0, 0)]
    assert listed(changed)[3:6] == listed(program)[3:6]
    assert listed(changed)[where:] == listed(callback)


def test_code_without_the_mark_has_no_callback() -> None:
    program = code((LOAD_64, 3, 0, 7), (0, 0, 0, 0), (EXIT, 0, 0, 0))
    assert with_callback(program, 8, code((EXIT, 0, 0, 0))) == (program, 0)
