"""The evidence of a cause is replaced between exec and look: the cause is not certain, or still true.

Each scene has every kind of thing on its way: directories, links that lead on, a working directory, a script
and its interpreter, permissions, a mount. One of them is changed, in each way in which it can be; and where
nothing is changed, the cause must be certain.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import codes, diagnose, kernel_invoked
from tests.live.circumstances import USER
from tests.live.never_certain import NEVER_CERTAIN
from tests.live.swapped_mounts import TRUE
from tests.live.why_cases import CAUSES
from tests.unit.tui.why.failing import failed_exec

_MACHINES: Final = {"x86_64": 62, "aarch64": 183}


@dataclass(frozen=True)
class Scene:
    """A failing exec.

    Attributes:
        code: Its cause.
        path: What is executed, below the scene's directory.
        job: What the file holds; None if there is none.
        mode: The file's.
        interpreter: What the interpreter holds; None if there is none.
        rests_on: What can be replaced, below the scene's directory.
        cwd: The working directory, below the scene's directory, if the path is relative.
        user: Who executes it.
        of_kernel: The kernel itself starts it, as a setting says.
    """

    code: str
    path: str
    job: bytes | None = None
    mode: int = 0o755
    interpreter: bytes | None = None
    rests_on: tuple[str, ...] = ("first", "second", "outer", "outer/inner")
    cwd: str | None = None
    user: int | None = None
    of_kernel: bool = False


def _elf(interpreter: bytes) -> bytes:
    machine = _MACHINES[platform.machine()]
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    size = len(interpreter) + 1
    return header + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, size, size, 1) + interpreter + b"\0"


_WAY: Final = ("first", "second", "outer", "outer/inner")
_INTERPRETED: Final = (*_WAY, "outer/inner/job", "tools", "tools/link")
SCENES: Final = {
    "missing file": Scene("missing-file", "first/inner/none"),
    "missing directory": Scene("missing-directory", "first/inner/none/job"),
    "missing below the working directory": Scene(
        "missing-in-working-directory", "none", rests_on=("outer", "outer/inner"), cwd="outer/inner"
    ),
    "link below the working directory": Scene(
        "missing-in-working-directory", "first/none", rests_on=("outer", "first", "second"), cwd="."
    ),
    "missing kernel helper": Scene("missing-kernel-helper", "first/inner/none", of_kernel=True),
    "dangling link": Scene("dangling-link", "tools/dangling", rests_on=("tools", "tools/dangling")),
    "loop of links": Scene("link-loop", "tools/loop", rests_on=("tools", "tools/loop", "tools/pool")),
    "missing interpreter": Scene(
        "missing-interpreter", "first/inner/job", b"#!{base}/tools/none\n", rests_on=(*_WAY, "tools")
    ),
    "missing interpreter behind a link": Scene(
        "missing-interpreter", "first/inner/job", b"#!{base}/tools/link\n", rests_on=_INTERPRETED
    ),
    "missing ELF interpreter": Scene(
        "missing-elf-interpreter", "first/inner/job", b"{elf}", rests_on=_INTERPRETED
    ),
    "interpreter without x": Scene(
        "interpreter-not-executable",
        "first/inner/job",
        b"#!{base}/tools/link\n",
        interpreter=b"text\n",
        rests_on=(*_INTERPRETED, "tools/interpreter"),
    ),
    "text": Scene("no-shebang", "first/inner/job", b"text\n", rests_on=(*_WAY, "outer/inner/job")),
    "empty file": Scene("empty-file", "outer/inner/job", b"", rests_on=(*_WAY[2:], "outer/inner/job")),
    "no x": Scene(
        "no-execute-permission", "first/inner/job", b"x", 0o644, rests_on=(*_WAY, "outer/inner/job")
    ),
    "closed to its caller": Scene(
        "no-execute-permission",
        "first/inner/job",
        b"x",
        0o700,
        rests_on=(*_WAY, "outer/inner/job"),
        user=USER,
    ),
    "directory": Scene("is-directory", "first/inner", rests_on=_WAY),
    "directory that is closed": Scene(
        "unsearchable-directory", "closed/job", rests_on=("closed",), user=USER
    ),
    "file for a directory": Scene(
        "not-a-directory", "first/inner/job/more", b"x", rests_on=(*_WAY, "outer/inner/job")
    ),
}


@contextmanager
def built(scene: Scene) -> Iterator[Path]:
    """Build the scene's files in a directory of their own."""
    base = Path(tempfile.mkdtemp(prefix="execwhy-swapped-"))
    try:
        base.chmod(0o755)
        for directory in ("outer/inner", "tools", "closed"):
            (base / directory).mkdir(parents=True)
        (base / "first").symlink_to("second")
        (base / "second").symlink_to(base / "outer")
        (base / "tools/link").symlink_to("interpreter")
        (base / "tools/dangling").symlink_to("nowhere")
        (base / "tools/loop").symlink_to("pool")
        (base / "tools/pool").symlink_to("loop")
        if scene.job is not None:
            job = scene.job.replace(b"{base}", os.fsencode(base))
            job = job.replace(b"{elf}", _elf(os.fsencode(base / "tools/link")))
            (base / "outer/inner/job").write_bytes(job)
            (base / "outer/inner/job").chmod(scene.mode)
        if scene.interpreter is not None:
            (base / "tools/interpreter").write_bytes(scene.interpreter)
            (base / "tools/interpreter").chmod(0o644)
        (base / "closed").chmod(0o700)
        with helper_setting(f"|{base}/{scene.path} %P") if scene.of_kernel else nullcontext():
            yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


def failed(scene: Scene, base: Path) -> ExecFailure:
    """Have the exec fail, once its files are old enough to prove something."""
    path = scene.path if scene.cwd is not None else base / scene.path
    record = failed_exec(path, cwd=base / (scene.cwd or "."), user=scene.user)
    return dataclasses.replace(record, kernel_invoked=True, syscall=None) if scene.of_kernel else record


@contextmanager
def helper_setting(value: str) -> Iterator[None]:
    """Have a setting name a helper: the kernel's own is the whole machine's, and is read but not written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_invoked, "read_proc", {"/proc/sys/kernel/core_pattern": value}.get)
        yield


def put_another(place: Path) -> None:
    """Put something else in its place, which was made before and is older than the exec."""
    spare = spare_of(place)
    if place.is_dir() and not place.is_symlink():
        # rename(2) lets no directory take the place of one that is not empty.
        place.rename(f"{place}.old")
    spare.rename(place)


def put_another_and_take_it_back(place: Path) -> None:
    place.rename(f"{place}.old")
    spare_of(place).rename(place)
    place.rename(spare_of(place))
    Path(f"{place}.old").rename(place)


def exchange_by_a_link(place: Path) -> None:
    """Put a link to the other thing there."""
    place.rename(f"{place}.old")
    place.symlink_to(spare_of(place))


def chmod(place: Path) -> None:
    os.chmod(place, 0o755)
    os.chmod(place, 0o711)


def chmod_and_back(place: Path) -> None:
    before = os.stat(place).st_mode
    os.chmod(place, 0o000)
    os.chmod(place, before & 0o7777)


def remove(place: Path) -> None:
    place.rename(f"{place}.old")


def rewrite(place: Path) -> None:
    place.write_bytes(b"#!/no/such/interpreter\n")


def spare_of(place: Path) -> Path:
    """Return what is put in its place."""
    return place.with_name(f"{place.name}.spare")


def make_spare(place: Path) -> None:
    """Make what will take a place: of the same kind, with another content, or a link to another file."""
    spare = spare_of(place)
    if place.is_symlink():
        spare.symlink_to("/no/such/place")
    elif place.is_dir():
        (spare / "inner").mkdir(parents=True)
        for name in ("job", "inner/job", "none", "inner/none", "interpreter", "link"):
            (spare / name).write_bytes(b"#!/no/such/other\n")
            (spare / name).chmod(0o755)
    else:
        spare.write_bytes(b"#!/no/such/other\n")
        spare.chmod(0o755)


SWAPS: Final[tuple[Callable[[Path], None], ...]] = (
    put_another,
    put_another_and_take_it_back,
    exchange_by_a_link,
    chmod,
    chmod_and_back,
    remove,
    rewrite,
)


def fits(swap: Callable[[Path], None], place: Path) -> bool:
    """Return whether the swap can be made there."""
    is_link, is_directory = place.is_symlink(), place.is_dir()
    if swap in (chmod, chmod_and_back):
        return not is_link
    return swap is not rewrite or (not is_link and not is_directory)


SITUATIONS: Final = [(name, place) for name, scene in SCENES.items() for place in scene.rests_on]


@pytest.mark.parametrize("name", SCENES)
def test_a_cause_is_certain_if_nothing_has_changed(name: str) -> None:
    scene = SCENES[name]
    with built(scene) as base:
        diagnosis = diagnose(failed(scene, base))
        assert (diagnosis.code, diagnosis.certain) == (scene.code, True), diagnosis
        again = diagnose(failed(scene, base))
    assert (again.code, again.certain) == (scene.code, True), again


_OF_ITS_TYPE: Final = {"not-a-directory": "outer/inner/job", "is-directory": "outer/inner"}
"""Causes that are a file's type, which no inode changes, and which place has it."""


@settings(max_examples=200)
@given(st.sampled_from(SITUATIONS), st.sampled_from(SWAPS))
def test_no_cause_is_certain_after_its_evidence_was_replaced(
    situation: tuple[str, str], swap: Callable[[Path], None]
) -> None:
    scene, (_, name) = SCENES[situation[0]], situation
    with built(scene) as base:
        place = base / name
        assume(fits(swap, place))
        make_spare(place)
        record = failed(scene, base)
        true = diagnose(record)
        # With another error the kernel passed through a directory, no matter what its permissions are now.
        went_through = place.is_dir() and swap in (chmod, chmod_and_back) and record.error != "EACCES"
        # Where only the type of what the path leads to counts, its permissions and content do not.
        of_its_type = _OF_ITS_TYPE.get(scene.code) == name and swap in (chmod, chmod_and_back, rewrite)
        swap(place)
        diagnosis = diagnose(record)
    assert (true.code, true.certain) == (scene.code, True), true
    assert not diagnosis.certain or went_through or of_its_type, diagnosis
    assert not diagnosis.certain or (diagnosis.code, diagnosis.summary) == (true.code, true.summary)


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("name", ["first", "second", "outer", "outer/inner", "outer/inner/job"])
def test_a_change_on_the_path_of_a_script_makes_the_cause_uncertain(
    name: str, swap: Callable[[Path], None]
) -> None:
    scene = SCENES["missing interpreter"]
    with built(scene) as base:
        place = base / name
        if not fits(swap, place):
            return
        make_spare(place)
        record = failed(scene, base)
        swap(place)
        diagnosis = diagnose(record)
    of_a_directory = place.name in ("outer", "inner") and swap in (chmod, chmod_and_back)
    # The kernel went through it, as the error says.
    assert diagnosis.certain is of_a_directory, diagnosis
    assert not of_a_directory or diagnosis.code == scene.code


@pytest.mark.parametrize("name", [name for name, scene in SCENES.items() if scene.job is not None])
def test_writes_to_other_files_do_not_weaken_a_cause(name: str) -> None:
    scene = SCENES[name]
    with built(scene) as base:
        record = failed(scene, base)
        (base / "noise").write_text("")
        diagnosis = diagnose(record)
    assert (diagnosis.code, diagnosis.certain) == (scene.code, True), diagnosis


def test_a_helper_whose_setting_has_changed_since_is_a_missing_file_and_no_more() -> None:
    scene = SCENES["missing kernel helper"]
    with built(scene) as base:
        record = failed(scene, base)
        with helper_setting("core"):
            diagnosis = diagnose(record)
    assert diagnosis.code == "missing-file"
    assert any("no setting that was looked at names it" in fact for fact in diagnosis.evidence)


OF_THE_RECORD: Final = frozenset(
    {
        "argument-too-long",
        "arguments-too-big",
        "bad-argument-pointer",
        "empty-path",
        "link-not-followed",
        "name-too-long",
        "path-too-long",
        "unknown-flags",
        "variable-too-long",
    }
)
"""Causes based on strings and flags that the kernel program read: nothing can be replaced."""

OF_THE_CALLER: Final = frozenset(
    {
        "bad-descriptor",
        "descriptor-limit",
        "file-capabilities-not-granted",
        "killed-after-point-of-no-return",
        "open-for-writing",
        "out-of-memory",
        "process-limit",
        "seccomp-filter",
        "working-directory-gone",
    }
)
"""Causes based on the state and rights of the caller and its relatives: ``test_planted`` covers them."""

LIKE_ANOTHER: Final = {
    "arguments-in-path": "missing-file",
    "bad-elf-interpreter": "interpreter-not-executable",
    "blank-before-shebang": "no-shebang",
    "blank-in-path": "missing-file",
    "bom-before-shebang": "no-shebang",
    "crlf-interpreter": "missing-interpreter",
    "foreign-architecture": "no-shebang",
    "interpreters-nested-too-deep": "missing-interpreter",
    "macos-program": "no-shebang",
    "malformed-elf": "no-shebang",
    "name-ends-in-cr": "missing-file",
    "not-a-program": "no-shebang",
    "not-an-executable-elf": "no-shebang",
    "not-expanded": "missing-file",
    "protected-link": "link-loop",
    "quotes-in-path": "missing-file",
    "shebang-too-long": "no-shebang",
    "shebang-without-interpreter": "no-shebang",
    "special-file": "is-directory",
    "text-with-bom": "no-shebang",
    "too-many-links": "link-loop",
    "truncated-elf": "no-shebang",
    "windows-program": "no-shebang",
}
"""Causes with the same evidence as another one that is tested here: a name, a content, a type."""


def test_every_cause_has_a_test_that_replaces_its_evidence() -> None:
    tried = {scene.code for scene in SCENES.values()} | set(TRUE.values())
    like = LIKE_ANOTHER | {cause.code: cause.like for cause in CAUSES if cause.like}
    exempt = {*OF_THE_RECORD, *OF_THE_CALLER, *like, *NEVER_CERTAIN}
    exempt |= {cause.code for cause in CAUSES if cause.never_certain}
    assert set(like.values()) <= tried
    assert not tried & exempt
    assert set(codes()) - tried == exempt
