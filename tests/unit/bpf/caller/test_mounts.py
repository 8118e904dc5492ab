"""The mounts of a process are parsed, and judged by their file systems."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

import pytest

from execwhy.bpf.caller import descriptors, mounts, safety
from execwhy.bpf.caller.descriptors import device_of, mount_id
from execwhy.bpf.caller.mountinfo import Mount, Watch
from execwhy.bpf.caller.mounts import MountTable, own_mounts
from execwhy.bpf.caller.safety import Access
from execwhy.bpf.events import clock

DOCKER = "/var/lib/docker/overlay2"
OWN = MountTable(
    f"""1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:5 / /proc rw - proc proc rw
3 1 0:40 / {DOCKER}/abc/merged rw - overlay overlay rw,lowerdir={DOCKER}/l/A:{DOCKER}/l/B,upperdir={DOCKER}/u
4 1 0:41 / /home/u/fuse rw,nosuid,nodev - fuse.sshfs u@host: rw,user_id=1000
5 1 0:42 / /mnt/over rw - overlay overlay rw,lowerdir=/usr:/home/u/fuse/x
6 1 0:43 / /mnt/relative rw - overlay overlay rw,lowerdir=l/A:l/B,upperdir=abc/diff
7 1 0:44 / /mnt/itself rw - overlay overlay rw,lowerdir=/mnt/itself/lower,upperdir=/mnt/itself/upper
8 1 0:45 / /mnt/colon rw - overlay overlay rw,lowerdir=/a\\134:b,upperdir=/home/u/fuse/x\\054y
""".encode()
)


def access(line: str, *, trusted: bool = True, own: MountTable | None = None) -> Access:
    mount = MountTable(f"{line}\n".encode(), trusted=trusted, own=own).get(int(line.split(maxsplit=1)[0]))
    assert mount is not None
    return mount.access


def of_kind(kind: str, options: str = "rw", device: str = "0:99") -> Access:
    return access(f"77 1 {device} / /x {options} - {kind} x rw", own=OWN)


def test_a_line_is_read_with_its_escapes() -> None:
    line = rb"36 35 98:0 /mnt1 /mnt\0402 rw,noatime,noexec shared:1 - ext3 /dev/root rw,errors=continue"
    mount = MountTable(line).get(36)
    assert mount is not None
    assert (mount.id, mount.parent, mount.device, mount.root) == (36, 35, "98:0", "/mnt1")
    assert (mount.point, mount.file_system) == ("/mnt 2", "ext3")
    assert mount.device_id == 98 << 20
    assert "noexec" in mount.options
    assert MountTable(line).at("/mnt 2") == mount
    assert MountTable(line).get(6) is None
    assert MountTable(line).get(35) is None


@pytest.mark.parametrize("line", [b"", b"36 35 98:0", b"36 35 98:0 / /x rw shared:1 ext3 x rw", b"\n\n"])
def test_an_incomplete_line_is_not_a_mount(line: bytes) -> None:
    assert MountTable(line).get(36) is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ext4", Access.READ),
        ("tmpfs", Access.READ),
        ("proc", Access.WALK),
        ("sysfs", Access.WALK),
        ("fuse", Access.NONE),
        ("fuse.sshfs", Access.NONE),
        ("fuseblk", Access.NONE),
        ("nfs4", Access.NONE),
        ("autofs", Access.NONE),
        ("ecryptfs", Access.NONE),
        ("invented-tomorrow", Access.NONE),
    ],
)
def test_only_a_file_system_known_to_be_safe_is_entered(kind: str, expected: Access) -> None:
    assert of_kind(kind) is expected


def test_the_file_system_of_our_own_root_directory_is_always_entered() -> None:
    own = MountTable(b"1 0 0:30 / / rw - virtiofs root rw\n2 1 0:31 / /x rw - virtiofs x rw\n")
    assert [mount and mount.access for mount in (own.get(1), own.get(2))] == [Access.READ, Access.NONE]
    assert access("9 1 0:30 / / rw - virtiofs root rw", own=own) is Access.READ
    assert access("9 1 0:31 / / rw - virtiofs x rw", own=own) is Access.NONE


def test_a_loop_device_of_a_user_is_not_entered() -> None:
    assert of_kind("iso9660", "ro,nosuid,nodev", "7:3") is Access.NONE
    assert of_kind("squashfs", "ro,nodev", "7:3") is Access.READ
    assert of_kind("ext4", "rw,nosuid", "8:3") is Access.READ


@pytest.mark.parametrize(("mount", "expected"), [(3, 2), (5, 0), (6, 0), (7, 2), (8, 0)])
def test_an_overlay_mounted_by_root_is_as_safe_as_its_layers(mount: int, expected: int) -> None:
    found = OWN.get(mount)
    assert found is not None and found.access is Access(expected)


def test_the_layers_show_which_file_systems_an_overlay_is_on() -> None:
    table = MountTable(
        b"""1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:30 / /run rw - tmpfs tmpfs rw
3 1 0:40 / /mnt/live rw - overlay overlay rw,lowerdir=/usr,upperdir=/run/u,workdir=/run/w
4 1 0:41 / /mnt/disk rw - overlay overlay rw,lowerdir=/usr,upperdir=/srv/u,workdir=/srv/w
"""
    )
    assert types_below(table, 1, 3, 4) == [set(), {"ext4", "tmpfs"}, {"ext4"}]


def test_layers_of_nested_overlays_are_followed_even_if_an_overlay_hides_its_own() -> None:
    table = MountTable(
        b"""2 1 0:39 / / rw - overlay overlay rw,lowerdir=/ro,upperdir=/cow/u
3 2 0:30 / /run rw - tmpfs tmpfs rw
4 2 8:1 / /disk rw - ext4 /dev/sda1 rw
5 3 0:40 / /run/etc rw - overlay overlay rw,lowerdir=/run/etc,upperdir=/disk/u
6 2 0:41 / /mnt/outer rw - overlay overlay rw,lowerdir=/run/etc,upperdir=/run/v
7 2 0:42 / /mnt/relative rw - overlay overlay rw,lowerdir=l,upperdir=u
8 2 0:43 / /mnt/unknown rw - overlay overlay rw,lowerdir=/mnt/relative,upperdir=/disk/u
"""
    )
    expected = [None, {"tmpfs", "ext4"}, {"tmpfs", "ext4"}, None, None]
    assert types_below(table, 2, 5, 6, 7, 8) == expected


def types_below(table: MountTable, *numbers: int) -> list[Set[str] | None]:
    return [table.types_below(mount) for number in numbers if (mount := table.get(number))]


def test_an_overlay_mounted_by_a_user_is_never_entered() -> None:
    line = "9 1 0:77 / /x rw - overlay overlay rw,lowerdir=/usr:/bin,userxattr"
    assert access(line, trusted=False, own=OWN) is Access.NONE
    assert access(line, trusted=True, own=OWN) is Access.READ
    # A container in a user namespace whose root directory was mounted outside it.
    rooted = "9 1 0:40 / / rw - overlay overlay rw,lowerdir=/usr:/bin"
    assert access(rooted, trusted=False, own=OWN) is Access.READ
    unsafe = "9 1 0:42 / / rw - overlay overlay rw,lowerdir=/usr:/bin"
    assert access(unsafe, trusted=False, own=OWN) is Access.NONE


def test_layers_are_read_with_their_escapes() -> None:
    options = rb"rw,lowerdir=/a\134:b:/c\040d,upperdir=/e,workdir=/w,lowerdir+=/f,redirect_dir=nofollow"
    assert list(safety.layers(options)) == [rb"/a:b", rb"/c\040d", b"/e", b"/f"]


def test_the_topmost_of_two_mounts_at_a_mount_point_counts() -> None:
    table = MountTable(b"5 1 8:1 / /x rw - ext4 a rw\n9 5 8:2 / /x rw - ext4 b rw\n")
    moved = MountTable(b"5 9 8:1 / /x rw - ext4 a rw\n9 1 8:2 / /x rw - ext4 b rw\n")
    tops = [each.at("/x") for each in (table, moved)]
    assert [top.device for top in tops if top is not None] == ["8:2", "8:1"]


def test_the_mount_of_a_path_is_the_innermost() -> None:
    found = [OWN.on_the_way(path) for path in ("/proc/1", "/procx", "/")]
    assert [mount.id for mount in found if mount is not None] == [2, 1, 1]
    assert MountTable().on_the_way("/x/y") is None


def test_only_a_bounded_number_of_mount_points_is_remembered() -> None:
    table = MountTable(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw")
    for number in range(2 * mounts._POINTS):
        assert table.on_the_way(f"/{number}") == table.get(1)
    assert len(table._points) <= mounts._POINTS


def test_an_automounter_counts_unless_another_mount_covers_it() -> None:
    lines = (
        "9 1 0:46 / /net rw - autofs a rw",
        "11 1 0:48 / /auto rw - autofs a rw",
        "12 11 8:2 / /auto rw - ext4 b rw",
    )
    assert MountTable("\n".join(lines).encode()).automounts == {"/net"}


def test_each_of_our_mounts_is_found_by_its_id() -> None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        mount = own_mounts().get(int(fields[0]))
        assert mount is not None and (mount.device, str(mount.parent)) == (fields[2], fields[1])


def test_the_mount_of_a_descriptor_is_known_without_an_fstat(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_PATH)
    place = own_mounts().place(descriptor)
    assert place.mount == own_mounts().get(mount_id(descriptor)) is not None
    assert descriptors._mount_id_by_fdinfo(descriptor) == mount_id(descriptor) >= 0
    status = os.fstat(descriptor)
    assert device_of(descriptor) == f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    os.close(descriptor)


@pytest.mark.parametrize("name", ["pipe", "memfd", "ns"])
def test_internal_mounts_of_the_kernel_are_recognized(name: str) -> None:
    reading, writing = os.pipe()
    samples = {
        "pipe": reading,
        "memfd": os.memfd_create("x"),
        "ns": os.open("/proc/self/ns/net", os.O_RDONLY),
    }
    expected = {"pipe": Access.WALK, "memfd": Access.READ, "ns": Access.WALK}
    assert own_mounts().place(samples[name]).access is expected[name]
    for descriptor in (writing, *samples.values()):
        os.close(descriptor)


def test_a_table_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execwhy.bpf.caller.mounts.MAX_FOREIGN_BYTES", 100)
    table = MountTable(own=OWN, watch=Watch("/proc/self"))
    descriptor = os.open("/", os.O_PATH)
    assert "more mounts than are read" in table.refused
    assert table.get(1) is None
    assert not table.unchanged_since(clock.now())
    os.close(descriptor)


def test_mounts_are_unchanged_since_they_were_read() -> None:
    before = clock.now()
    table = MountTable(watch=Watch("/proc/self"))
    assert not table.unchanged_since(before)
    assert table.unchanged_since(clock.now())
    assert not MountTable(b"1 0 8:1 / / rw - ext4 x rw").unchanged_since(clock.now())


def test_a_mount_that_may_block_says_so() -> None:
    mount = OWN.get(4)
    assert isinstance(mount, Mount) and mount.may_block
