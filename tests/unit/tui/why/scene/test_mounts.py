"""A device number is shown with its file system if the caller has a mount of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from execwhy.bpf.caller.caller_root import CallerRoot
from execwhy.bpf.caller.mounts import MountTable
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene.mounts import device
from tests.unit.tui.why.failing import failed_exec


def view(*points: str, base: str = "") -> CallerRoot:
    lines = (f"{n} 0 254:0 / {point} rw - ext4 /dev/vda rw" for n, point in enumerate(points, 1))
    return CallerRoot(-1, base, MountTable("\n".join(lines).encode()), own=True)


@pytest.mark.parametrize(
    ("points", "path", "mount_point"),
    [
        (("/",), "/bin/x", "/"),
        (("/", "/srv"), "/srv/x", "/srv"),
        (("/srv", "/"), "/srv2/x", "/"),
        (("/mnt/deep/er", "/mnt"), None, "/mnt"),
    ],
)
def test_the_mount_on_the_path_is_named_among_several_of_a_device(
    points: tuple[str, ...], path: str | None, mount_point: str
) -> None:
    assert device("254:0", view(*points), path) == f'device 254:0 (ext4 on "{mount_point}")'


def test_in_a_chroot_the_path_begins_at_its_root() -> None:
    assert device("254:0", view("/", "/jail/srv", base="/jail"), "/srv/x").endswith('on "/jail/srv")')


def test_a_device_without_a_mount_is_named_alone() -> None:
    assert device("8:1", view("/"), "/x") == "device 8:1"
    assert device("8:1", None, "/x") == "device 8:1"


def test_a_file_that_is_gone_is_named_with_its_file_system(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_text("no program\n")
    path.chmod(0o755)
    record = failed_exec(path)
    path.unlink()
    assert record.binary is not None
    named = device(record.binary.device, view(), str(path))
    evidence = diagnose(record).evidence
    assert any(fact.startswith("At the time of the exec") and f"{named} (" in fact for fact in evidence)
