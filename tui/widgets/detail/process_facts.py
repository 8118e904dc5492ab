"""Who tried to execute, and where: the facts of the calling process."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.record import Ancestor, ExecFailure
from execwhy.tui.widgets.detail.fact import Fact, maybe
from execwhy.tui.widgets.painting.accounts import group_name, user_name

_ALL_CAPABILITIES: Final = 1 << 38
"""More bits than this are set only where every capability is (CAP_CHECKPOINT_RESTORE is 40)."""

_NEAREST: Final = 5
"""Ancestors that are always shown: in 80 columns they and the top fill two lines."""

_TOPS: Final = frozenset({1, 2})
"""Processes that have no parent: init, and kthreadd where the kernel itself started it."""

_TYPES: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFLNK: "link",
    0: "closed",
}


def process(shown: ExecFailure) -> tuple[Fact, ...]:
    """Return the process, its ancestors, its ids, its directories and its standard input.

    An id is left out if it equals the one before it: euid after uid, fsuid after euid.
    """
    facts = [Fact(f"{shown.comm} {shown.pid}", role="name", field="pid", value=shown.pid)]
    if shown.tid not in (0, shown.pid):
        facts.append(Fact(str(shown.tid), label="thread", field="tid", value=shown.tid))
    facts += _ancestry(shown)
    facts.append(Fact(_named(shown.uid, user_name(shown.uid)), "uid", "", "plain", "uid", shown.uid, True))
    if shown.euid != shown.uid:
        facts.append(Fact(_named(shown.euid, user_name(shown.euid)), "euid", field="euid", value=shown.euid))
    if shown.fsuid != shown.euid:
        facts.append(Fact(_named(shown.fsuid, user_name(shown.fsuid)), "fsuid"))
    facts.append(Fact(_named(shown.gid, group_name(shown.gid)), "gid", field="gid", value=shown.gid))
    if shown.egid != shown.gid:
        facts.append(Fact(_named(shown.egid, group_name(shown.egid)), "egid"))
    if shown.fsgid != shown.egid:
        facts.append(Fact(_named(shown.fsgid, group_name(shown.fsgid)), "fsgid"))
    if shown.groups:
        facts.append(Fact(" ".join(group_name(gid) or str(gid) for gid in shown.groups), "groups"))
    facts.append(maybe("cwd", shown.cwd, "cwd"))
    if shown.root is not None:
        facts.append(Fact(shown.root, "root"))
    kind = _TYPES.get(shown.stdin_type, f"{shown.stdin_type:#o}")
    named = shown.stdin_path
    facts.append(
        Fact(kind, "stdin", starts_line=True)
        if named is None
        else Fact(
            named,
            "stdin",
            "" if kind in named else f"({kind})",
            field="stdin_path",
            value=named,
            starts_line=True,
        )
    )
    facts.append(maybe("tty", shown.tty, "tty"))
    if shown.container_id is not None:
        facts.append(
            Fact(
                shown.container_id if shown.container_runtime == "lxc" else shown.container_id[:12],
                shown.container_runtime or "container",
                "",
                "plain",
                "container_id",
                shown.container_id,
            )
        )
    if shown.pod_uid is not None:
        facts.append(Fact(shown.pod_uid, "pod", "", "plain", "pod_uid", shown.pod_uid))
    facts.append(maybe("unit", shown.unit, "unit"))
    return tuple(facts)


def _ancestry(shown: ExecFailure) -> list[Fact]:
    """Who started it: the nearest ones and the top, and how many lie between them."""
    above = shown.ancestors or (Ancestor(shown.ppid, shown.parent_comm),) * bool(shown.ppid)
    facts = [Fact(f"{one.comm} {one.pid}", label="←") for one in above]
    if facts:
        facts[0] = replace(facts[0], field="ppid", value=shown.ppid)
    if (between := len(facts) - _NEAREST - 1) > 1:
        facts[_NEAREST:-1] = [Fact(f"… {between:,} more", label="←", role="muted")]
    if above and above[-1].pid not in _TOPS:
        facts.append(Fact("…", label="←", role="muted"))
    return facts


def _named(number: int, name: str | None) -> str:
    return str(number) if name is None else f"{number} ({name})"


def _capabilities(bits: int) -> str:
    if not bits:
        return "none"
    return "all" if bits >= _ALL_CAPABILITIES and not (bits & (bits + 1)) else f"{bits:#x}"


def where(shown: ExecFailure) -> tuple[Fact, ...]:
    """Host where several are shown, cgroup, namespaces and capabilities."""
    host = () if shown.host is None else (maybe("host", shown.host, "host"),)
    whose = "of another user namespace" if shown.foreign_mount_ns else ""
    return (
        *host,
        maybe("cgroup", shown.cgroup, "cgroup"),
        replace(_number("mount ns", "mount_ns", shown.mount_ns), note=whose),
        _number("pid ns", "pid_ns", shown.pid_ns),
        Fact(_capabilities(shown.capabilities), "capabilities"),
    )


def _number(label: str, field: str, number: int | None) -> Fact:
    return maybe(label, None, None) if number is None else Fact(str(number), label, field=field, value=number)
