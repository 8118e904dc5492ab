"""Cases of path, argv and envp."""

from __future__ import annotations

from typing import Final

from tests.live import circumstances
from tests.live.cases import HUGE, MISSING, Case
from tests.live.exec_child import (
    NULL_ARRAY,
    Exec,
    Pointer,
)


def _one_argument(size: int) -> Case:
    return Case(f"one argument of {size} bytes", "ENOENT", lambda zoo: Exec(MISSING, argv=(b"z" * size,)))


STRINGS: Final = [
    Case("400 arguments", "ENOENT", lambda zoo: Exec(MISSING, argv=tuple(b"a%d" % i for i in range(400)))),
    Case("argv of NULL alone", "ENOENT", lambda zoo: Exec(MISSING, argv=())),
    Case("argv NULL", "ENOENT", lambda zoo: Exec(MISSING, argv=NULL_ARRAY)),
    Case("envp of NULL alone", "ENOENT", lambda zoo: Exec(MISSING, envp=())),
    Case("envp NULL", "ENOENT", lambda zoo: Exec(MISSING, envp=NULL_ARRAY)),
    Case("empty strings", "ENOENT", lambda zoo: Exec(MISSING, argv=(b"", b"", b"x", b""), envp=(b"", b"="))),
    Case("one huge argument", "ENOENT", lambda zoo: Exec(MISSING, argv=(b"argv0", HUGE, b"behind"))),
    Case("huge arguments", "ENOENT", lambda zoo: Exec(MISSING, argv=(HUGE,) * 5)),
    *(_one_argument(size) for size in (4094, 4095, 4096, 4097, 8189, 8190, 8191, 8192, 8193)),
    Case(
        "strings about as long as a page",
        "ENOENT",
        lambda zoo: Exec(MISSING, argv=tuple(b"%d" % n + b"y" * n for n in range(4088, 4100))),
    ),
    Case(
        "500 variables",
        "ENOENT",
        lambda zoo: Exec(MISSING, envp=tuple(b"VARIABLE_%d=value %d" % (i, i) for i in range(500))),
    ),
    Case(
        "one huge variable",
        "ENOENT",
        lambda zoo: Exec(MISSING, envp=(b"A=b", b"HUGE=" + HUGE, b"C=d")),
    ),
    Case("2,000 arguments", "ENOENT", lambda zoo: Exec(MISSING, argv=tuple(b"%d" % i for i in range(2000)))),
    Case(
        "5,000 arguments",
        "ENOENT",
        lambda zoo: Exec(MISSING, argv=tuple(b"%d" % i for i in range(5000))),
    ),
    Case(
        "every byte",
        "ENOENT",
        lambda zoo: Exec(
            b"/no/" + bytes(range(1, 256)), argv=(bytes(range(1, 256)),), envp=(bytes(range(1, 256)),)
        ),
    ),
    Case(
        "hostile bytes",
        "ENOENT",
        lambda zoo: Exec(
            b"/no/\x1b]0;title\x07\x1b[2J\n[bold red]markup[/]",
            argv=(
                "\u202egnp.exe".encode(),
                b"\x1b[31m",
                b"[link=x]y[/]",
                b"\xff\xfe\xc0\x80",
                "\U000e0041".encode(),
            ),
            envp=(b"LS_COLORS=\x9b31m", b"no equals sign", b"\r\n\t=\\"),
        ),
    ),
    Case(
        "argv that nobody has touched",
        "ENOENT",
        lambda zoo: Exec(
            MISSING,
            argv=(b"touched", circumstances.untouched(zoo.directory, b"untouched"), b"touched too"),
            envp=(circumstances.untouched(zoo.directory, b"UN=touched"), b"A=b"),
        ),
    ),
    Case(
        "array and string at the end of their memory",
        "ENOENT",
        lambda zoo: Exec(MISSING, argv=circumstances.at_the_end_of_memory((b"first", b"second"))),
    ),
    Case(
        "path that nobody has touched",
        "ENOENT",
        lambda zoo: Exec(Pointer(circumstances.untouched(zoo.directory, MISSING).address, MISSING)),
    ),
    Case("path of 4,095 bytes", "ENOENT", lambda zoo: Exec(b"/p" * 2047 + b"q")),
    Case("path of 4,096 bytes", "ENAMETOOLONG", lambda zoo: Exec(b"/p" * 2048), path_in_doubt=True),
]
