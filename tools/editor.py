"""Write the files with which clangd parses each part of the BPF program by itself.

Run by ``make editor``: ``compile_commands.json``, and in ``build/editor`` a header for each part. The header
has everything that the compiler sees before the part: the generated numbers and structs, bcc's macros, the
earlier parts. Offsets in kernel structures are invented, since a parser does not need the right ones.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Final

ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from execwhy.bpf.program import members, text  # noqa: E402
from execwhy.bpf.program.headers import TYPES  # noqa: E402
from execwhy.bpf.program.plans import FENTRY, LEGACY, TRACEPOINT, Plan  # noqa: E402

DIRECTORY: Final = "build/editor"

PLANS: Final = {"readings.c": TRACEPOINT, "output.c": TRACEPOINT, "hooks_kprobe.c": LEGACY}
"""The plan that a part is parsed for: one that uses most of its code. The others are parsed for fentry."""

Command = dict[str, str | list[str]]

_SOME_BYTES: Final = 64
FLAGS: Final = (
    "-xc",
    "-std=gnu11",
    "-ffreestanding",
    "-Wall",
    "-Wno-unused-function",
    "-Wno-unused-variable",
)
"""A part uses only some of what the parts before it define."""


def header(part: str, plan: Plan) -> str:
    """Return the C text that a part is parsed with."""
    names = [members.macro_name(member) for member in members.members()] + list(members.BY_VERSION)
    types = dict.fromkeys(names, 0) | {f"SIZE_{struct}": _SOME_BYTES for struct in members.SIZES}
    types |= dict.fromkeys(members.spans(types), _SOME_BYTES)
    if "JOINED" in plan.features:
        types |= {"COPIES": 1, "DIRECT_MAP": 0, "PAGE_TABLE_LEVELS": 5}
    settings = text.Settings(plan.name, 8192, 8192, 1 << 20, all_failures=True)
    numbers = text.declarations(settings, plan, types, {}, typed=True, finds_memory=True)
    parts = text.part_names()
    before = parts[: parts.index(part)]
    return (
        TYPES
        + f"#define PAGE_SIZE {os.sysconf('SC_PAGE_SIZE')}\n"
        + numbers
        + f'#include "{ROOT}/tools/bcc_for_editors.h"\n'
        + "".join(f'#include "{text.DIRECTORY}/{name}"\n' for name in before)
    )


def write(directory: str) -> list[Command]:
    """Write the headers into a directory; return the commands that parse the parts with them."""
    commands: list[Command] = []
    for part in text.part_names():
        path = os.path.join(directory, part.replace("/", "-").replace(".c", ".h"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(header(part, PLANS.get(part, FENTRY)))
        source = os.path.join(text.DIRECTORY, part)
        commands.append(
            {"directory": ROOT, "file": source, "arguments": ["clang", *FLAGS, "-include", path, source]}
        )
    return commands


def main() -> None:
    """Write all files."""
    directory = os.path.join(ROOT, DIRECTORY)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(ROOT, "compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump(write(directory), file, indent=1)


if __name__ == "__main__":
    main()
