"""Generate CAUSES of the manual from what the causes declare.

Run by ``make causes``; a test fails if that was forgotten.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Final

ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from execwhy.tui.why.causes import declarations  # noqa: E402
from execwhy.tui.why.registry import Declaration  # noqa: E402

MANUAL: Final = os.path.join(ROOT, "man/execwhy.8")

_ITEMS: Final = re.compile(r"(?<=^\.SH CAUSES\n)(.*?)^\.SS .*?(?=^\.SH )", re.DOTALL | re.MULTILINE)
"""The section: an introduction, and the generated items."""

_PAGE: Final = re.compile(r" ?\b([a-z]+) ?(\(\d\))\s*")
"""A manual page in a sentence, such as env(1)."""


def manual(text: str) -> str:
    """Return the manual with CAUSES generated from the declarations.

    Args:
        text: The current manual.
    """
    return _ITEMS.sub(lambda found: found[1] + "".join(_sections()), text)


def _sections() -> Iterator[str]:
    """Yield a subsection for each errno, in the order of their numbers, and one for all errnos."""
    declared = declarations()
    for number in sorted({number for one in declared for number in one.errnos}):
        title = (
            f"{errno.errorcode[number]} ({number}), {os.strerror(number)[0].lower()}{os.strerror(number)[1:]}"
        )
        yield _section(title, [one for one in declared if number in one.errnos])
    yield _section("Any error", [one for one in declared if not one.errnos])


def _section(title: str, declared: list[Declaration]) -> str:
    items = "".join(map(_item, sorted(declared, key=lambda one: one.code)))
    return f".SS {_escaped(title)}\n.PD 0\n{items}.PD\n"


def _item(one: Declaration) -> str:
    lines = [
        line
        for part in _PAGE.sub(r"\n.BR \1 \2\n", one.manual).splitlines()
        for line in textwrap.wrap(_escaped(part), 80, break_long_words=False, break_on_hyphens=False)
    ]
    return "\n".join([".TP 34", f".B {_escaped(one.code)}", *lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def main() -> None:
    """Write the manual."""
    with open(MANUAL, encoding="utf-8") as file:
        text = file.read()
    with open(MANUAL, "w", encoding="utf-8") as file:
        file.write(manual(text))


if __name__ == "__main__":
    main()
