"""EPERM, and what is left of EACCES: file capabilities, seccomp, security modules."""

from __future__ import annotations

import errno
import os
import struct
from typing import Final, NamedTuple

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.registry import cause, finds
from execwhy.tui.why.scene import caller, words
from execwhy.tui.why.scene.mounts import ignores_privileges
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.processes import holders
from execwhy.tui.why.scene.readings import CAPABILITIES, INHERITED
from execwhy.tui.why.scene.scene import Scene

_REFUSING: Final = ("selinux", "apparmor", "smack", "tomoyo", "landlock", "ima", "ipe", "loadpin", "bpf")
"""Security modules that can refuse an exec (capability, yama, lockdown and integrity alone cannot)."""

_VFS_CAP_EFFECTIVE: Final = 1
_REVISION_1: Final = 0x01000000
_REVISION_3: Final = 0x03000000

_ADVICE: Final = "If it needs that here, start it with {} in the bounding set (a container: --cap-add)."

_CAPABILITIES: Final = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""By number (include/uapi/linux/capability.h)."""


@finds(errno.EPERM)
def not_permitted(scene: Scene) -> list[Diagnosis]:
    """Return the causes of an EPERM."""
    for file in scene.files():
        if file.shebang is not None:
            continue
        capabilities = _file_capabilities(scene, file)
        if capabilities is not None:
            return [capabilities]
        break
    else:
        file = None
    causes = [_seccomp(scene), None if file is None else _perhaps_capabilities(scene, file)]
    return [cause for cause in causes if cause is not None] or remainder(scene)


@cause(
    "unexplained-denial",
    errno.EPERM,
    errno.EACCES,
    manual="Permissions and mounts allow the exec. The evidence lists security modules and other parts that"
    " can refuse it.",
    reads=(CAPABILITIES, INHERITED),
)
def remainder(scene: Scene) -> list[Diagnosis]:
    """Return what is left if permissions, mounts and interpreters allow it, and nothing has changed.

    An EPERM does not come from permissions, so it does not matter if these changed right before or after.
    """
    files = list(scene.files())
    if not files or any(scene.has_changed(file.stat) for file in files):
        return []
    may_have_been_others = scene.record.return_value != -errno.EPERM
    if may_have_been_others and (scene.changes or any(scene.changed(one.path, one.stat) for one in files)):
        return []
    active = _active_modules()
    evidence = [f"When looked at {scene.later}, permissions, mounts and interpreters allowed it."]
    if active:
        evidence.append(f"Active security modules that can refuse an exec: {words.listed(active)}.")
    else:
        evidence.append("SELinux, AppArmor and IMA are not active here.")
    label = (scene.process.read("attr/current") or "").rstrip("\0\n")
    if label:
        evidence.append(f"The task's security label is {words.quoted(label)}.")
    mode = _seccomp_mode(scene)
    if mode is not None:
        evidence.append(f"The caller {'runs under' if mode else 'has no'} seccomp filters.")
    watching = holders.fanotify_holders(scene)
    if watching:
        evidence.append(f"Processes with a fanotify group, which can refuse: {words.listed(watching)}.")
    if scene.credentials.capabilities and scene.credentials.has_all_ids is None:
        evidence.append(
            "Its capabilities count only for files of its own user namespace, which is not known."
        )
    left = words.listed([module.split(" ")[0] for module in active]) or "a security policy"
    return [
        scene.diagnosis(
            "unexplained-denial",
            f"Neither permissions nor mount options forbid it; it may have been refused with"
            f" {scene.record.error} by {left} or by something else that leaves no trace in the file system.",
            f"denied, not by permissions; {left}?",
            *evidence,
            advice="Look for a denial in the kernel's log (dmesg) and the audit log (ausearch -m AVC)."
            if active
            else None,
            lacking="What refused it leaves no trace.",
        )
    ]


@cause(
    "file-capabilities-not-granted",
    errno.EPERM,
    manual="The file has capabilities that are not in the caller's bounding set.",
    reads=(CAPABILITIES, INHERITED),
)
def _file_capabilities(scene: Scene, file: File) -> Diagnosis | None:
    """Report an effective set that cannot be gained in full (bprm_caps_from_vfs_caps, commoncap.c)."""
    asked, sets = _effective(file), _capability_sets(scene)
    if asked is None or sets is None or (asked.root and scene.credentials.has_all_ids):
        return None
    bounding, own_inheritable, whose = sets
    lacking = asked.permitted & ~((bounding & asked.permitted) | (own_inheritable & asked.inheritable))
    if not lacking:
        return None
    names = words.listed(_named(lacking))
    return scene.diagnosis(
        "file-capabilities-not-granted",
        f"{words.quoted(file.path)} has file capabilities that the caller may not gain: {names} is not in its"
        " bounding set.",
        f"no file capability {names}: not in the bounding set",
        f"The bounding set of {whose} is {bounding:#x}; the file asks for {asked.permitted:#x}.",
        advice=_ADVICE.format(names),
        lacking=caller.may_have_dropped(scene, lacking & asked.inheritable)
        or caller.forged(scene)
        or _of_another_root(scene, asked)
        if whose == "the caller"
        else f"The caller was gone when looked at {scene.later}, and its parent's sets need not be its own.",
    )


def _perhaps_capabilities(scene: Scene, file: File) -> Diagnosis | None:
    """Report that it may be the same if the caller is gone: its bounding set may have been smaller."""
    asked = _effective(file)
    if asked is None or asked.root or not asked.permitted or scene.process.read("status") is not None:
        return None
    names = words.listed(_named(asked.permitted))
    return scene.diagnosis(
        "file-capabilities-not-granted",
        f"{words.quoted(file.path)} has file capabilities ({names}) with the effective bit: it can be"
        " executed only by a caller that may gain all of them.",
        f"file capability {names}: not in the bounding set?",
        advice=_ADVICE.format(names),
        lacking=f"The bounding set of the caller could not be read, as it was gone when looked at"
        f" {scene.later}.",
    )


class _FileCapabilities(NamedTuple):
    permitted: int
    inheritable: int
    root: int
    """The uid that must be root of the caller's user namespace, or of one above it; 0 stands for all."""


def _effective(file: File) -> _FileCapabilities | None:
    """Return the file's capabilities where the effective bit asks for all of them at once."""
    raw = file.capability
    if raw is None or len(raw) < 12 or ignores_privileges(file):
        return None
    (magic, permitted, inheritable) = struct.unpack_from("<III", raw)
    if magic & 0xFF000000 != _REVISION_1 and len(raw) >= 20:
        high = struct.unpack_from("<II", raw, 12)
        permitted, inheritable = permitted | high[0] << 32, inheritable | high[1] << 32
    root = 0
    if magic & 0xFF000000 == _REVISION_3 and len(raw) >= 24:
        (root,) = struct.unpack_from("<I", raw, 20)
    return _FileCapabilities(permitted, inheritable, root) if magic & _VFS_CAP_EFFECTIVE else None


def _of_another_root(scene: Scene, asked: _FileCapabilities) -> str | None:
    """Doubt capabilities that count only in one user namespace (rootid_owns_currentns, commoncap.c)."""
    if not asked.root:
        return None
    return f"They count only in a user namespace whose root is uid {asked.root}, or below one."


def _capability_sets(scene: Scene) -> tuple[int, int, str] | None:
    """Return bounding and inheritable set of the caller, or of its parent, which usually has the same."""
    for text, whose in (
        (scene.process.read("status"), "the caller"),
        (read_proc(f"/proc/{scene.record.ppid}/status"), "its parent"),
    ):
        values = _status(text)
        if "CapBnd" in values and "CapInh" in values:
            return int(values["CapBnd"], 16), int(values["CapInh"], 16), whose
    return None


def _named(bits: int) -> list[str]:
    numbers = (number for number in range(64) if bits >> number & 1)
    return [
        f"CAP_{_CAPABILITIES[number]}" if number < len(_CAPABILITIES) else f"capability {number}"
        for number in numbers
    ]


@cause(
    "seccomp-filter",
    errno.EPERM,
    manual="Everything else allows the exec, so the caller's seccomp filter probably refused it.",
    reads=(INHERITED,),
)
def _seccomp(scene: Scene) -> Diagnosis | None:
    """Report a filter that refuses the call, so that the kernel never looked for a file."""
    binary = scene.record.binary
    if not _seccomp_mode(scene) or (binary is not None and binary.source == "kernel"):
        return None
    others = [*_active_modules(), *holders.fanotify_holders(scene)]
    return scene.diagnosis(
        "seccomp-filter",
        "The caller runs under a seccomp filter, and nothing else that was looked at refuses this exec.",
        "refused by its seccomp filter" if not others else "its seccomp filter, or another guard",
        *((f"These could have refused it, too: {words.listed(others)}.",) if others else ()),
        advice=f"If it is meant to start programs, allow {scene.record.syscall or 'execve'} in the seccomp"
        " profile of this service or container.",
        lacking="What a seccomp filter forbids cannot be read.",
    )


def _seccomp_mode(scene: Scene) -> int | None:
    """Return the task's seccomp mode, or its parent's, which it inherits; None if both are gone."""
    text = scene.process.read("status") or read_proc(f"/proc/{scene.record.ppid}/status")
    value = _status(text).get("Seccomp")
    return None if value is None else int(value)


def _status(text: str | None) -> dict[str, str]:
    lines = (line.partition(":") for line in (text or "").splitlines())
    return {name: value.strip() for name, found, value in lines if found}


def _active_modules() -> list[str]:
    """Return the security modules that can refuse an exec, with their state if it is known."""
    listed = (read_proc("/sys/kernel/security/lsm") or "").strip().split(",")
    names = [name for name in _REFUSING if name in listed]
    enforcing = read_proc("/sys/fs/selinux/enforce")
    if enforcing is not None and "selinux" not in names:
        names.append("selinux")
    if (
        read_proc("/sys/module/apparmor/parameters/enabled") or ""
    ).strip() == "Y" and "apparmor" not in names:
        names.append("apparmor")
    if os.path.exists("/sys/kernel/security/ima/ascii_runtime_measurements") and "ima" not in names:
        names.append("ima")
    state = {"1": "selinux (enforcing)", "0": "selinux (permissive)"}.get(
        (enforcing or "").strip(), "selinux"
    )
    return [state if name == "selinux" else name for name in names]
