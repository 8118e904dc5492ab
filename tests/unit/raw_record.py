"""Make the bytes of a record as the BPF program writes them, to test the code that reads them."""

from __future__ import annotations

import struct

from execwhy.bpf.events.kinds import EXEC
from execwhy.bpf.program import layout, limits


def element(text: bytes) -> bytes:
    """Return one string of argv or envp; long ones in pieces, as the kernel program reads them."""
    pieces = []
    while len(text) >= limits.CHUNK - 1:
        pieces.append((text[: limits.CHUNK - 1], True))
        text = text[limits.CHUNK - 1 :]
    pieces.append((text, False))
    return b"".join(
        struct.pack("<H", len(piece) | (layout.CONTINUED if more else 0)) + piece for piece, more in pieces
    )


UNREAD = struct.pack("<H", layout.UNREAD)


def walked(*components: bytes) -> bytes:
    """Return a path as the kernel program walks it: from its last component up."""
    return b"".join(component + b"\0" for component in reversed(components))


def raw_record(
    sections: dict[str, bytes] | None = None,
    *,
    counts: tuple[int, int] = (0, 0),
    ends: tuple[int, int, int, int] = (layout.AT_ROOT, layout.AT_TOP, layout.NO_FILE, layout.AT_ROOT),
    binary_end: int = layout.NO_FILE,
    bprm_counts: tuple[int, int, int] = (layout.UNKNOWN,) * 3,
    too_long: tuple[int, int] = (layout.UNKNOWN,) * 2,
    kind: int = EXEC.code,
    **fields: int | bytes,
) -> bytes:
    """Return a record; fields that are not given are zero.

    Args:
        sections: Bytes of each section by name.
        counts: argc and envc.
        ends: How the walks ended: cwd, root, stdin, cgroup.
        binary_end: How the walk to the binary ended.
        too_long: The first argument and the first variable that is longer than the kernel takes.
        bprm_counts: argc and envc as the kernel counted them, and argc after ``#!`` lines.
        kind: The code of its kind.
        fields: Other members of the header.
    """
    sections = {"path": b"/x\0"} | (sections or {})
    bodies = [sections.get(name, b"") for name in layout.SECTIONS]
    values: list[int | bytes] = []
    for member in layout.HEADER:
        if member.name == "counts":
            values += counts
        elif member.name == "too_long":
            values += too_long
        elif member.name == "kind":
            values.append(kind)
        elif member.name == "ends":
            values += (*ends, binary_end)
        elif member.name == "bprm_counts":
            values += bprm_counts
        elif member.name == "lengths":
            values += map(len, bodies)
        elif member.name == "used":
            values.append(sum(map(len, bodies)))
        elif member.name != "reserved":
            values.append(fields.pop(member.name, b"" if member.ctype == "char" else 0))
    assert not fields, f"no such members: {fields}"
    return layout.HEADER_STRUCT.pack(*values) + b"".join(bodies)
