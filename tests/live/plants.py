"""Evidence for a cause that is planted after an exec has failed for another reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.live.circumstances import USER

PROGRAM: Final = b"#!/bin/sh\n"

Plant = Callable[[Path, int], object]


@dataclass(frozen=True)
class Planted:
    """One planted cause.

    Attributes:
        code: The cause that the evidence suggests; the look may find another one.
        error: The errno that the caller gets.
        plant: Plants the evidence, given the scene's directory and the caller's pid.
        path: What is executed, below the scene's directory; a path of its own if it begins with "=".
        before: Prepares the scene, long before the exec.
        facts: Further fields of the record; a caller whose ``user`` is None is root.
        user: Who executes it.
        limit: What the caller sets afterwards: a resource, and how much of it.
    """

    code: str
    error: int
    plant: Plant
    path: str = "d/job"
    before: Callable[[Path], object] = lambda base: None
    facts: tuple[tuple[str, Any], ...] = ()
    user: int | None = USER
    limit: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.code}-{self.path}"


def write(content: bytes, name: str = "d/job") -> Plant:
    return lambda base, pid: (base / name).write_bytes(content.replace(b"{base}", os.fsencode(base)))


def chmod(name: str, mode: int) -> Plant:
    return lambda base, pid: (base / name).chmod(mode)


def remove(name: str) -> Plant:
    def plant(base: Path, pid: int) -> None:
        place = base / name
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()

    return plant


def put(name: str, make: Callable[[Path], object]) -> Plant:
    def plant(base: Path, pid: int) -> None:
        remove(name)(base, pid)
        make(base / name)

    return plant


def link(name: str, target: str) -> Callable[[Path], object]:
    return lambda base: (base / name).symlink_to(target.replace("{base}", str(base)))


def program(name: str, content: bytes = PROGRAM, mode: int = 0o755) -> Callable[[Path], object]:
    def before(base: Path) -> None:
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_bytes(content.replace(b"{base}", os.fsencode(base)))
        (base / name).chmod(mode)

    return before


def nothing(base: Path, pid: int) -> None:
    """Plant nothing: the caller plants the evidence, or the record itself is misleading."""
