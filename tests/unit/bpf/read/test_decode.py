from __future__ import annotations

import ast
import errno
import inspect
import stat
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Burst, Occurrence, SearchEnd, expand_bursts
from execwhy.bpf.events.kinds import SEARCH_END_CODE
from execwhy.bpf.events.record import Ancestor, ExecFailure
from execwhy.bpf.program import layout
from execwhy.bpf.read import failed_exec
from execwhy.bpf.read.decode import DecodeError, Decoder, decode
from execwhy.bpf.read.ring import RecordRun
from tests.unit.raw_record import UNREAD, element, raw_record, walked


def record_of(raw: bytes) -> ExecFailure:
    record = decode(raw, 0)[0]
    assert isinstance(record, ExecFailure)
    return record


def names_unpacked() -> list[list[str]]:
    """Return the names of each tuple that ``decode`` unpacks, without a leading underscore."""
    tree = ast.parse(inspect.getsource(failed_exec.failed_exec))
    targets = [node.targets[0] for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    return [
        [ast.unparse(name).replace("*_", "*").lstrip("_") for name in target.elts]
        for target in targets
        if isinstance(target, ast.Tuple)
    ]


def test_the_values_of_the_header_and_the_sections_are_unpacked_in_the_order_of_the_layout() -> None:
    lengths = [f"{name}_length" for name in layout.SECTIONS]
    values = ["*lengths" if name == lengths[0] else name for name in layout.VALUES if name not in lengths[1:]]
    assert names_unpacked() == [values, list(layout.SECTIONS)]


def test_header_members_reach_the_record() -> None:
    record, lost_before = decode(
        raw_record(
            timestamp=5, started=4, capabilities=1 << 21, return_value=-13, pid=10, tid=11, uid=1, gid=2,
            euid=5, egid=6, fsuid=7, fsgid=8, mount_ns=20, pid_ns=21, lost_before=3, comm=b"sh", tty=b"pts3",
        ),
        1_000,
    )  # fmt: skip
    assert lost_before == 3
    assert isinstance(record, ExecFailure)
    assert (record.timestamp, record.started, record.capabilities) == (1_005, 4, 1 << 21)
    assert (record.return_value, record.error, record.pid, record.tid) == (-13, "EACCES", 10, 11)
    assert (record.uid, record.gid, record.euid, record.egid, record.fsuid, record.fsgid) == (
        1,
        2,
        5,
        6,
        7,
        8,
    )
    assert (record.mount_ns, record.pid_ns, record.comm, record.tty) == (20, 21, "sh", "pts/3")
    assert (record.syscall, record.dirfd, record.flags, record.compat) == ("execve", None, None, False)


def test_a_mount_namespace_of_another_user_namespace_is_marked() -> None:
    assert record_of(raw_record(bits=layout.FOREIGN_MOUNT_NS)).foreign_mount_ns
    assert record_of(raw_record(bits=layout.FOREIGN_USER_NS)).foreign_user_ns
    assert not record_of(raw_record(bits=layout.FOREIGN_MOUNT_NS)).foreign_user_ns
    assert not record_of(raw_record()).foreign_mount_ns


def test_the_duration_of_a_call_is_none_if_its_beginning_was_not_seen() -> None:
    assert record_of(raw_record(duration=3001)).duration_ms == 3001
    assert record_of(raw_record()).duration_ms is None


def test_execveat_has_its_directory_and_flags() -> None:
    record = record_of(raw_record(bits=layout.EXECVEAT | layout.COMPAT, dirfd=-100, flags=0x11000))
    assert (record.syscall, record.dirfd, record.flags) == ("execveat", -100, 0x11000)
    assert record.compat
    assert record.check_only


@pytest.mark.parametrize(
    ("bits", "source", "proven"),
    [
        (layout.PATH_OF_KERNEL, "kernel", True),
        (layout.KERNEL_INVOKED, "kernel", True),
        (layout.PATH_UNCHANGED, "unchanged", True),
        (0, "user", False),
        (layout.PATH_BEFORE, "user", False),
    ],
)
def test_a_path_has_its_source_and_whether_it_is_proven(bits: int, source: str, proven: bool) -> None:
    record = record_of(raw_record({"path": b"/a\0"}, bits=bits))
    assert (record.path, record.path_source, record.path_is_proven) == ("/a", source, proven)
    assert record.path_afterwards is None


def test_a_path_that_has_changed_has_both_readings() -> None:
    sections = {"path": b"/a\0", "path_afterwards": b"/b\xff\0"}
    record = record_of(raw_record(sections, bits=layout.PATH_BEFORE))
    assert (record.path, record.path_afterwards, record.path_is_proven) == ("/a", "/b\udcff", False)


def test_a_path_read_only_before_the_call_is_shown_but_proves_nothing() -> None:
    bits = layout.PATH_BEFORE | layout.PATH_UNREAD
    record = record_of(raw_record({"path": b"/a\0"}, bits=bits))
    assert (record.path, record.path_afterwards, record.path_is_proven) == ("/a", None, False)


def test_the_path_of_a_new_image_is_the_kernels_copy() -> None:
    bits = layout.NEW_IMAGE | layout.PATH_UNREAD
    record = record_of(raw_record({"path": b"ENV=1\0/a" + bytes(9)}, bits=bits))
    assert (record.path, record.path_source) == ("/a", "kernel")


def test_a_path_that_could_not_be_read_is_not_proven() -> None:
    assert not record_of(raw_record({"path": b""}, bits=layout.PATH_UNREAD)).path_is_proven


@pytest.mark.parametrize(
    ("copied", "given"),
    [
        (b"/dev/fd/3", ""),
        (b"/dev/fd/3/", ""),
        (b"/dev/fd/3/bin/x", "bin/x"),
        (b"/dev/fd/33/x", "/dev/fd/33/x"),
        (b"/usr/bin/x", "/usr/bin/x"),
    ],
)
def test_what_the_kernel_puts_before_the_path_of_execveat_is_left_out(copied: bytes, given: str) -> None:
    bits = layout.EXECVEAT | layout.PATH_OF_KERNEL | layout.PATH_BY_DIRECTORY
    assert record_of(raw_record({"path": copied + b"\0"}, bits=bits, dirfd=3)).path == given


def test_components_of_walked_paths_are_put_in_order() -> None:
    record = record_of(
        raw_record({"cwd": walked(b"srv", b"a\xff"), "root": walked(b"jail"), "cgroup": walked(b"x.slice")})
    )
    assert (record.cwd, record.root, record.cgroup) == ("/srv/a\udcff", "/jail", "/x.slice")


def test_a_caller_that_has_not_changed_its_root_has_none() -> None:
    assert record_of(raw_record()).root is None


@pytest.mark.parametrize(
    ("end", "bits", "cwd"),
    [
        (layout.AT_ROOT, layout.CWD_DELETED, "/d (deleted)"),
        (layout.AT_TOP, 0, "(unreachable)/d"),
        (layout.UNFINISHED, 0, ".../d"),
    ],
)
def test_a_cwd_that_is_not_plain_is_marked(end: int, bits: int, cwd: str) -> None:
    ends = (end, layout.AT_TOP, layout.NO_FILE, layout.AT_ROOT)
    assert record_of(raw_record({"cwd": walked(b"d")}, ends=ends, bits=bits)).cwd == cwd


@pytest.mark.parametrize(
    ("mode", "components", "end", "bits", "path"),
    [
        (stat.S_IFCHR | 0o666, (b"dev", b"null"), layout.AT_ROOT, 0, "/dev/null"),
        (stat.S_IFIFO | 0o600, (b"",), layout.OF_NO_TREE, 0, "pipe:[77]"),
        (stat.S_IFIFO | 0o600, (b"run", b"fifo"), layout.AT_ROOT, 0, "/run/fifo"),
        (stat.S_IFSOCK | 0o777, (b"TCP",), layout.OF_NO_TREE, 0, "socket:[77]"),
        (stat.S_IFREG | 0o777, (b"memfd:x",), layout.OF_NO_TREE, layout.STDIN_DELETED, "/memfd:x (deleted)"),
        (0o600, (b"[eventfd]",), layout.OF_NO_TREE, 0, "anon_inode:[eventfd]"),
        (stat.S_IFREG | 0o444, (b"/",), layout.OF_NO_TREE, 0, None),
        (stat.S_IFREG | 0o644, (b"tmp", b"[x]"), layout.AT_TOP, 0, "/tmp/[x]"),
        (0, (), layout.NO_FILE, 0, None),
    ],
)
def test_stdin_has_the_name_that_proc_shows(
    mode: int, components: tuple[bytes, ...], end: int, bits: int, path: str | None
) -> None:
    record = record_of(
        raw_record(
            {"stdin": walked(*components)},
            ends=(layout.AT_ROOT, layout.AT_TOP, end, layout.AT_ROOT),
            stdin_mode=mode,
            stdin_inode=77,
            bits=bits,
        )
    )
    assert (record.stdin_path, record.stdin_type) == (path, stat.S_IFMT(mode))


def test_elements_keep_their_state() -> None:
    arguments = element(b"a") + UNREAD + element(b"") + element(b"\xff\n")
    record = record_of(raw_record({"arguments": arguments}, counts=(4, 0)))
    assert record.arguments == ("a", None, "", "\udcff\n")
    assert (record.truncated.arguments, record.truncated.argc) == (False, 4)
    assert record.arguments_source == "user"


@pytest.mark.parametrize("length", [4094, 4095, 4096, 8190, 10_000])
def test_a_long_element_is_joined_from_its_pieces(length: int) -> None:
    text = bytes(65 + i % 26 for i in range(length))
    record = record_of(raw_record({"arguments": element(text) + element(b"z")}, counts=(2, 0)))
    assert record.arguments == (text.decode(), "z")
    assert not record.truncated.arguments


def test_an_element_without_its_end_is_marked_as_truncated() -> None:
    begun = struct.pack("<H", 3 | layout.CONTINUED) + b"abc"
    record = record_of(raw_record({"environment": element(b"A=1") + begun}, counts=(0, layout.UNKNOWN)))
    assert record.environment == ("A=1", "abc")
    assert record.truncated.environment
    assert record.truncated.environment_indexes == (1,)
    assert record.truncated.envc is None


def test_strings_after_a_partly_unreadable_one_are_kept() -> None:
    begun = struct.pack("<H", 3 | layout.CONTINUED) + b"abc"
    record = record_of(raw_record({"arguments": begun + UNREAD + element(b"z")}, counts=(2, 0)))
    assert record.arguments == ("abc", "z")
    assert (record.truncated.arguments, record.truncated.argument_indexes) == (True, (0,))


def test_an_array_whose_end_could_not_be_read_is_marked() -> None:
    record = record_of(
        raw_record({"arguments": element(b"a")}, bits=layout.ARGUMENTS_UNREAD, counts=(layout.UNKNOWN, 0))
    )
    assert record.truncated.arguments
    assert record.arguments_source == "user"


def test_arrays_that_could_not_be_read_are_distinguished_from_empty_ones() -> None:
    unread = layout.ARGUMENTS_UNREAD | layout.ENVIRONMENT_UNREAD
    assert record_of(raw_record(bits=unread, counts=(layout.UNKNOWN,) * 2)).arguments_source == "unreadable"
    assert record_of(raw_record({"arguments": UNREAD}, counts=(1, 0))).arguments_source == "unreadable"
    assert record_of(raw_record()).arguments_source == "user"


def test_a_path_that_could_not_be_read_is_none_and_an_empty_one_is_empty() -> None:
    assert record_of(raw_record({"path": b""}, bits=layout.PATH_UNREAD)).path is None
    assert record_of(raw_record({"path": b"\0"})).path == ""


def test_after_the_point_of_no_return_path_and_signal_are_found() -> None:
    stack = b"argv0\0A=1\0/opt/bad\0".rjust(4096 - 8, b"x") + bytes(8)
    bits = layout.NEW_IMAGE | layout.PATH_UNREAD
    record = record_of(raw_record({"path": stack}, bits=bits, pending_signals=1 << 10))
    assert (record.path, record.killed_by) == ("/opt/bad", "SIGSEGV")


@pytest.mark.parametrize(
    ("error", "bits", "signal"),
    [
        (errno.EMFILE, layout.PATH_UNREAD, "SIGSEGV"),
        (errno.EMFILE, 0, None),
        (errno.EFAULT, layout.PATH_UNREAD, None),
    ],
)
def test_a_caller_whose_path_is_no_longer_readable_was_killed(
    error: int, bits: int, signal: str | None
) -> None:
    raw = raw_record({"path": b""}, return_value=-error, bits=bits, pending_signals=1 << 10)
    assert record_of(raw).killed_by == signal


def test_a_pending_signal_alone_does_not_count_as_a_kill() -> None:
    assert record_of(raw_record(pending_signals=1 << 10)).killed_by is None


def test_ancestors_are_in_order_and_the_first_is_the_parent() -> None:
    pack = layout.ANCESTOR_STRUCT.pack
    record = record_of(raw_record({"ancestors": pack(7, b"cron") + pack(1, b"systemd")}))
    assert record.ancestors == (Ancestor(7, "cron"), Ancestor(1, "systemd"))
    assert (record.ppid, record.parent_comm) == (7, "cron")


def test_the_end_of_a_search_is_not_a_failure() -> None:
    raw = raw_record(
        {"path": b"/usr/bin/ls\0"}, bits=layout.FOUND, kind=SEARCH_END_CODE, task=9, tid=3, timestamp=1
    )
    assert decode(raw, 10)[0] == SearchEnd(11, record_of(raw_record(task=9, pid=0)).task, "/usr/bin/ls", 3)
    raw = raw_record({"path": b""}, kind=SEARCH_END_CODE, task=9, tid=3, timestamp=1)
    assert decode(raw, 10)[0] == SearchEnd(11, record_of(raw_record(task=9, pid=0)).task, None, 3)


def test_a_task_differs_from_an_earlier_one_at_the_same_address() -> None:
    before = decode(raw_record({"path": b""}, kind=SEARCH_END_CODE, task=9, pid=3, tid=3), 0)[0]
    decoder = Decoder(0)
    first, again = (decoder.decode(raw_record(task=9, pid=4, tid=4, timestamp=time))[0] for time in (1, 2))
    assert isinstance(before, SearchEnd) and isinstance(first, ExecFailure) and isinstance(again, Occurrence)
    assert first.task == again.task != before.task


def test_a_task_that_could_not_be_followed_is_unknown() -> None:
    assert record_of(raw_record(task=5)).task
    assert record_of(raw_record(task=5, bits=layout.UNTRACKED)).task == 0


def test_groups_that_were_too_many_are_unknown() -> None:
    assert record_of(raw_record({"groups": struct.pack("<2I", 4, 27)})).groups == (4, 27)
    assert record_of(raw_record(bits=layout.GROUPS_CUT)).groups is None


@given(st.binary(max_size=600))
def test_bytes_that_are_not_a_record_are_refused_with_a_sentence(raw: bytes) -> None:
    try:
        decode(raw, 0)
    except DecodeError as error:
        assert str(error).endswith(".")


def test_a_record_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DecodeError, match="unknown kind 77"):
        decode(raw_record(kind=77), 0)


@given(st.data())
def test_any_bytes_in_the_sections_give_a_record(data: st.DataObject) -> None:
    sections = {name: data.draw(st.binary(max_size=60)) for name in layout.SECTIONS}
    sections["ancestors"] = sections["ancestors"][: len(sections["ancestors"]) // 20 * 20]
    sections["groups"] = sections["groups"][: len(sections["groups"]) // 4 * 4]
    bits = data.draw(st.integers(0, layout.FOUND - 1))
    ends = data.draw(st.tuples(*[st.integers(0, 3)] * 4))
    record = record_of(raw_record(sections, bits=bits, ends=ends))
    assert isinstance(record, ExecFailure)


own_facts = st.fixed_dictionaries(
    {
        "timestamp": st.integers(0, 1 << 50),
        "started": st.integers(0, 1 << 50),
        "task": st.integers(1, 1 << 60),
        "pid": st.integers(0, 1 << 22),
        "tid": st.integers(0, 1 << 22),
        "lost_before": st.integers(0, 9),
    }
)
other_facts = st.fixed_dictionaries(
    {
        "return_value": st.sampled_from([-2, -13]),
        "bits": st.sampled_from([0, layout.EXECVEAT, layout.UNTRACKED]),
        "uid": st.integers(0, 1),
    }
)


@given(st.lists(st.tuples(own_facts, other_facts, st.sampled_from([b"/x\0", b"/y\0"])), max_size=12))
def test_a_recognized_record_equals_the_one_that_decoding_returns(
    storm: list[tuple[dict[str, int], dict[str, int], bytes]],
) -> None:
    decoder = Decoder(1_000)
    seen = set()
    for own, others, path in storm:
        fields: dict[str, Any] = own | others
        raw = raw_record({"path": path}, **fields)
        report, lost_before = decoder.decode(raw)
        assert not isinstance(report, SearchEnd)
        assert isinstance(report, Occurrence) == (raw[layout.OWN_STRUCT.size :] in seen)
        assert (report.materialize(), lost_before) == decode(raw, 1_000)
        seen.add(raw[layout.OWN_STRUCT.size :])


@given(own_facts, other_facts, st.lists(st.integers(0, 1 << 62), min_size=1, max_size=9), st.booleans())
def test_a_record_run_decodes_like_its_single_records(
    own: dict[str, int], others: dict[str, int], times: list[int], lossless: bool
) -> None:
    own = own | {"lost_before": 0} if lossless else own
    fields: dict[str, Any] = own | others
    raws = [raw_record({"path": b"/x\0"}, **(fields | {"timestamp": time})) for time in sorted(times)]
    decoder = Decoder(1_000)
    decoder.decode(raws[0])
    decoded = decoder.decode_alike(RecordRun(raws[0], np.array(sorted(times), np.uint64)))
    assert any(isinstance(report, Burst) for report, _ in decoded) == (fields["lost_before"] == 0)
    events = [report for report, _ in decoded if not isinstance(report, SearchEnd)]
    lost = [lost_before for _, lost_before in decoded]
    assert [each.materialize() for each in expand_bursts(events)] == [decode(raw, 1_000)[0] for raw in raws]
    assert sum(lost) == sum(decode(raw, 1_000)[1] for raw in raws)
    assert all(burst.timestamp == burst[-1].timestamp for burst in events if isinstance(burst, Burst))


def test_a_run_of_search_ends_decodes_to_search_ends() -> None:
    raws = [raw_record({"path": b"/x\0"}, kind=SEARCH_END_CODE, timestamp=time) for time in (1, 2)]
    decoded = Decoder(0).decode_alike(RecordRun(raws[0], np.array([1, 2], np.uint64)))
    assert decoded == [decode(raw, 0) for raw in raws]


def test_the_cache_of_a_decoder_is_bounded() -> None:
    decoder = Decoder(0)
    for number in range(30_000):
        decoder.decode(raw_record({"path": b"/%d\0" % number}, pid=number))
    held = sum(len(body) for body in decoder._known)
    assert 0 < held <= 1 << 20
    assert isinstance(decoder.decode(raw_record({"path": b"/29999\0"}))[0], Occurrence)
