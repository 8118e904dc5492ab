"""Which file was to be executed: its path, inode, size and age."""

from __future__ import annotations

import stat
from datetime import datetime

import humanize

from execwhy.bpf.events.record import Binary, ExecFailure
from execwhy.tui.model.text.counted import counted
from execwhy.tui.widgets.detail.fact import Fact
from execwhy.tui.widgets.painting.accounts import group_name, user_name


def file(record: ExecFailure, shown: ExecFailure) -> tuple[Fact, ...]:
    """Return the path that was asked for, and the file that was found there.

    Args:
        record: The record as it was captured.
        shown: The same with its secrets masked.
    """
    asked = "unreadable" if shown.path is None else shown.path or '""'
    facts = [
        Fact(
            asked,
            role="muted" if shown.path is None else "name",
            note="cut" if shown.truncated.path else "",
            field="path" if shown.path else None,
            value=shown.path,
        ),
        *_doubted_path(shown),
    ]
    binary = shown.binary
    if binary is None:
        return (*facts, Fact("no file known", role="muted"))
    if binary.path is not None and record.binary is not None and record.binary.path != record.path:
        facts.append(Fact(binary.path, label="is", field="binary.path", value=binary.path))
    facts += [
        Fact(
            str(binary.inode_number),
            label="inode",
            field="binary.inode_number",
            value=binary.inode_number,
            starts_line=True,
        ),
        Fact(binary.device, label="device", note=f"({binary.device_id})"),
        Fact(f"{stat.filemode(binary.inode_mode)}{_owner(binary)}"),
    ]
    if binary.size is not None:
        exact = f"({binary.size:,} bytes)" if binary.size >= 1000 else ""
        facts.append(Fact(_size(binary.size), label="size", note=exact))
    facts.append(_changed(binary, shown.timestamp))
    source = "as the kernel had it open" if binary.source == "kernel" else "looked up right after"
    return (*facts, Fact(source, role="muted"))


def _size(size: int) -> str:
    return counted(size, "byte") if size < 1000 else humanize.naturalsize(size)


def _doubted_path(shown: ExecFailure) -> tuple[Fact, ...]:
    """Return the other path that the kernel may have had, or that it may have had another."""
    if shown.path_afterwards is not None:
        afterwards = shown.path_afterwards
        return (
            Fact(
                afterwards or '""',
                label="or, as its memory said afterwards,",
                role="notice",
                field="path_afterwards",
                value=afterwards,
                starts_line=True,
            ),
        )
    if shown.path is None or shown.path_is_proven:
        return ()
    return (Fact("not certain", note="read in memory that others could change", role="notice"),)


def _owner(binary: Binary) -> str:
    if binary.uid is None or binary.gid is None:
        return ""
    return f" {user_name(binary.uid) or binary.uid}:{group_name(binary.gid) or binary.gid}"


def _changed(binary: Binary, timestamp: int) -> Fact:
    """Return the age at the time of the exec, which stays true while the screen shows it."""
    words = humanize.naturaldelta(abs(timestamp - binary.ctime) / 1e9)
    when = datetime.fromtimestamp(binary.ctime // 1_000_000_000).strftime("%Y-%m-%d %H:%M:%S")
    if binary.ctime > timestamp:
        return Fact(f"{words} after", label="changed", note=f"({when})", role="notice")
    return Fact(f"{words} before", label="changed", note=f"({when})")
