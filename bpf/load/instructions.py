"""Changes to compiled instructions before the kernel gets them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_INSTRUCTION: Final = struct.Struct("<BBhi")
_SIZE: Final = _INSTRUCTION.size
_CLASS: Final = 0x07
_JUMPS: Final = (0x05, 0x06)
"""BPF_JMP and BPF_JMP32."""
_ALWAYS: Final = 0x05
_CALL: Final = 0x85
_EXIT: Final = 0x95
_LOAD_64: Final = 0x18
"""BPF_LD | BPF_IMM | BPF_DW: two instructions long; with source BPF_PSEUDO_MAP_FD, a map's descriptor."""
_PSEUDO_MAP_FD: Final = 1
_PSEUDO_FUNCTION: Final = 4
"""BPF_PSEUDO_FUNC: the source is a function, by its distance (include/uapi/linux/bpf.h)."""

_NEW, _ON_THE_WAY, _DONE = range(3)


def with_map(code: bytes, old: int, new: int) -> bytes:
    """Return the instructions with the descriptor of one map replaced by another."""
    changed = bytearray(code)
    for at in range(0, len(code), _SIZE):
        operation, registers, offset, operand = _INSTRUCTION.unpack_from(code, at)
        if operation == _LOAD_64 and registers >> 4 == _PSEUDO_MAP_FD and operand == old:
            _INSTRUCTION.pack_into(changed, at, operation, registers, offset, new)
    return bytes(changed)


def with_callback(code: bytes, mark: int, callback: bytes) -> tuple[bytes, int]:
    """Append a function to the instructions, and put its address wherever the mark is loaded.

    Args:
        code: The instructions.
        mark: The 64-bit placeholder of the function's address.
        callback: The function's instructions.

    Returns:
        The instructions, and the number of those before the function; ``code`` and 0 if it has no mark.
    """
    low, high = struct.unpack("<ii", struct.pack("<Q", mark))
    behind = len(code) // _SIZE
    changed = bytearray(code)
    found = False
    for at in range(0, len(code) - _SIZE, _SIZE):
        operation, registers, offset, operand = _INSTRUCTION.unpack_from(code, at)
        is_load = operation == _LOAD_64 and not registers >> 4
        if is_load and (operand, _INSTRUCTION.unpack_from(code, at + _SIZE)[3]) == (low, high):
            registers |= _PSEUDO_FUNCTION << 4
            _INSTRUCTION.pack_into(changed, at, operation, registers, offset, behind - at // _SIZE - 1)
            _INSTRUCTION.pack_into(changed, at + _SIZE, 0, 0, 0, 0)
            found = True
    return (bytes(changed) + callback, behind) if found else (code, 0)


def with_loops_closed_by_jumps(code: bytes) -> bytes:
    """Return the program with a jump at the end of each loop that falls through to its first instruction.

    The compiler lays out a loop like that if it saves a jump, and Linux before 6.8 or so refuses it
    ("back-edge from insn ...", check_cfg of kernel/bpf/verifier.c). A jump of length 0 in between has no
    effect and is accepted.
    """
    while (place := _run_into(list(_INSTRUCTION.iter_unpack(code)))) is not None:
        code = _with_jump_before(code, place)
    return code


def _next(program: list[tuple[int, int, int, int]], at: int) -> Iterator[tuple[int, bool]]:
    """Yield the successors of an instruction in the verifier's order, and whether a jump leads there."""
    operation, _, offset, _ = program[at]
    if operation == _EXIT:
        return
    is_jump = operation & _CLASS in _JUMPS and operation != _CALL
    if operation == _LOAD_64:
        yield at + 2, False
    elif operation == _ALWAYS:
        yield at + 1 + offset, True
    else:
        yield at + 1, is_jump
    if is_jump and operation != _ALWAYS:
        yield at + 1 + offset, True


def _run_into(program: list[tuple[int, int, int, int]]) -> int | None:
    """Return the first instruction of a loop that is closed without a jump; None if there is none."""
    states = [_NEW] * len(program)
    states[0] = _ON_THE_WAY
    way = [(0, _next(program, 0))]
    while way:
        at, successors = way[-1]
        for successor, by_jump in successors:
            if states[successor] == _NEW:
                states[successor] = _ON_THE_WAY
                way.append((successor, _next(program, successor)))
                break
            if states[successor] == _ON_THE_WAY and not by_jump:
                return successor
        else:
            states[at] = _DONE
            way.pop()
    return None


def _with_jump_before(code: bytes, place: int) -> bytes:
    """Insert a jump of length 0; jumps to ``place`` still lead to the same instruction."""
    changed = []
    for index, (operation, registers, offset, operand) in enumerate(_INSTRUCTION.iter_unpack(code)):
        if operation & _CLASS in _JUMPS and operation not in (_CALL, _EXIT):
            target = index + 1 + offset
            offset += (target >= place) - (index >= place)
        if index == place:
            changed.append(_INSTRUCTION.pack(_ALWAYS, 0, 0, 0))
        changed.append(_INSTRUCTION.pack(operation, registers, offset, operand))
    return b"".join(changed)
