"""Find the systemd unit, the container and the Kubernetes pod of a process by the path of its cgroup.

The functions take the path as in ``/proc/PID/cgroup`` ("0::" line) of the host. They read no file, so they
also work for a process that has ended, and for a recording from another machine.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_UNIT_NAME: Final = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|scope|slice|socket|mount|swap)", re.ASCII)
"""The unit types that have a cgroup, and the characters of a unit name (systemd.unit(5))."""

_USER_MANAGER: Final = re.compile(r"user@[0-9]+\.service", re.ASCII)
"""A user's own service manager: the cgroups below it are the units of that manager."""

_CONTAINER_ID: Final = re.compile(
    r"(?:(?:.*[-:])?(?P<maker>[^-:]*)[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?", re.ASCII
)
"""How docker, containerd, cri-o and podman name a container's cgroup.

With the cgroupfs driver it is the id, alone or after the runtime's name ("crio-ID"); with the systemd driver
a scope ("docker-ID.scope", "cri-containerd-ID.scope"); with a mix of the two a name such as
"kubepods-podUID.slice:cri-containerd:ID". A pod's own slice ends in ".slice" and is no container.
"""

_MAKERS: Final = {
    "docker": "docker",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
}
"""The runtime by the word before the id: the prefix of runc's scope, which the runtime chooses."""

_PARENTS: Final = {
    "docker": "docker",
    "k8s.io": "containerd",
    "default": "containerd",
    "libpod_parent": "podman",
}
"""The runtime by the directory above a bare id: docker's default parent, and the directories of containerd's
namespaces (that of Kubernetes, and that of ctr and nerdctl)."""

_POD: Final = re.compile(
    r"(?:[^:]*-)?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice(?::.*)?)?",
    re.ASCII,
)
"""How the kubelet names a pod's cgroup: "podUID" with its cgroupfs driver, "kubepods-QOS-podUID.slice" with
the systemd driver, which has "_" for the "-" of the uid. A static pod's uid is a hash of 32 digits."""

_CONTAINER_MONITOR: Final = "conmon"
"""Podman and cri-o run a monitor beside each container, in a cgroup with the container's id in its name."""

_LXC_PAYLOAD: Final = re.compile(r"lxc\.payload\.(?P<id>.+)")
"""The cgroup of a container of LXC 4 and later; "lxc.monitor.NAME" holds its monitor."""

_LXC_PARENTS: Final = frozenset({"lxc", "lxc.payload"})
"""The directories above a container's cgroup with LXC 3 and earlier, and with Proxmox."""


class Where(NamedTuple):
    """Where a process runs: see ``unit_of``, ``container_of`` and ``pod_of``."""

    unit: str | None
    container_id: str | None
    container_runtime: str | None
    pod_uid: str | None


def where_of(cgroup: str) -> Where:
    """Return everything that a cgroup's path shows."""
    container = container_of(cgroup)
    name, runtime = (None, None) if container is None else container
    return Where(unit_of(cgroup), name, runtime, pod_of(cgroup))


def unit_of(cgroup: str) -> str | None:
    r"""Return the systemd unit of a cgroup, as ``systemctl status PID`` names it.

    In a user's session it is that user's unit. Everything below a service or a scope belongs to that unit
    (delegation), even if its name looks like a unit's, as with a service manager in a container. A
    process that is directly in a slice, or in a cgroup that systemd did not create, has the slice.

    Args:
        cgroup: Path of the cgroup, such as "/system.slice/cron.service".

    Returns:
        The unit's name as systemctl takes it, with escapes such as ``\x2d``; None outside of every unit.
    """
    unit: str | None = None
    for component in _components(cgroup):
        # A name that the kernel could take for one of its own files has "_" before it
        # (systemd, src/basic/cgroup-util.c, cg_escape).
        name = component.removeprefix("_")
        if not _UNIT_NAME.fullmatch(name):
            break
        unit = name
        if not name.endswith(".slice") and not _USER_MANAGER.fullmatch(name):
            break
    return unit


class Container(NamedTuple):
    """A container, as far as the path shows it.

    Attributes:
        id: For docker, containerd, cri-o and podman the full id (64 hexadecimal digits); for LXC the name.
        runtime: "docker", "containerd", "cri-o", "podman" or "lxc"; None if the path does not show it.
    """

    id: str
    runtime: str | None


def container_of(cgroup: str) -> Container | None:
    """Return the container of a cgroup; the innermost one if containers are nested.

    Args:
        cgroup: Path of the cgroup, such as "/kubepods/besteffort/pod6f1e.../3ab1...".

    Returns:
        The container, whether started by Kubernetes or not; None outside of one, and for a containerd
        container with an id of the user's choice, which looks like any other cgroup.
    """
    components = _components(cgroup)
    for depth in range(len(components) - 1, -1, -1):
        component = components[depth]
        parent = components[depth - 1] if depth else ""
        if match := _CONTAINER_ID.fullmatch(component):
            if _CONTAINER_MONITOR not in component:
                maker = match["maker"]
                return Container(match["id"], _MAKERS.get(maker) if maker else _PARENTS.get(parent))
        elif match := _LXC_PAYLOAD.fullmatch(component):
            return Container(match["id"], "lxc")
        elif parent in _LXC_PARENTS:
            return Container(component, "lxc")
    return None


def pod_of(cgroup: str) -> str | None:
    """Return the uid of a cgroup's Kubernetes pod, the innermost one, as the API writes it.

    It counts from the pod's own cgroup downwards, so it includes the sandbox and everything that the kubelet
    starts in the pod.
    """
    components = _components(cgroup)
    for depth in range(len(components) - 1, -1, -1):
        match = _POD.fullmatch(components[depth])
        if match and any("kubepods" in above for above in components[: depth + 1]):
            return match["uid"].replace("_", "-")
    return None


def cgroup_in(text: str) -> str | None:
    """Return the most informative path of a process, which is in one cgroup of each hierarchy.

    With cgroup v2 alone there is only one. If v1 hierarchies are mounted, too, or alone, a container may be
    in v1 only. A container's path comes first, then that of the service manager's own hierarchy.

    Args:
        text: The content of ``/proc/PID/cgroup``.

    Returns:
        The path, or None if there is none.
    """
    by_name: dict[str, str] = {}
    for line in text.splitlines():
        _, _, named = line.partition(":")
        names, _, path = named.partition(":")
        if path.startswith("/"):
            by_name.update(dict.fromkeys(names.split(","), path))
    order = [by_name[name] for name in ("", "name=systemd", "pids", "memory") if name in by_name]
    paths = [*order, *by_name.values()]
    best = [path for path in paths if container_of(path)] or [path for path in paths if path != "/"] or paths
    return next(iter(best), None)


def _components(cgroup: str) -> list[str]:
    # The kernel marks a cgroup that was removed while it had processes (cgroup v2, cgroups(7)).
    return [component for component in cgroup.removesuffix(" (deleted)").split("/") if component]
