"""What a cgroup's path says: the systemd unit, the container and the Kubernetes pod a process runs in.

Pure functions of the path as in ``/proc/PID/cgroup`` ("0::" line) of the host. They read nothing, so
they also work for a process that has ended, and for a recording from another machine.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_UNIT_NAME: Final = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|scope|slice|socket|mount|swap)", re.ASCII)
"""The unit types that have a cgroup, and the characters of a unit name (systemd.unit(5))."""

_USER_MANAGER: Final = re.compile(r"user@[0-9]+\.service", re.ASCII)
"""The service manager of one user: the cgroups below it are that manager's units."""

_CONTAINER_ID: Final = re.compile(
    r"(?:(?:.*[-:])?(?P<maker>[^-:]*)[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?", re.ASCII
)
"""How docker, containerd, cri-o and podman name a container's cgroup.

With their cgroupfs driver the id alone or after the runtime's name ("crio-ID"), with the systemd driver
a scope ("docker-ID.scope", "cri-containerd-ID.scope"), and with the two mixed up a name such as
"kubepods-podUID.slice:cri-containerd:ID". A pod's own slice ends in ".slice" and is no container.
"""

_MAKERS: Final = {
    "docker": "docker",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
}
"""The runtime by the word before the id: runc's scope prefix, which the runtime chooses."""

_PARENTS: Final = {
    "docker": "docker",
    "k8s.io": "containerd",
    "default": "containerd",
    "libpod_parent": "podman",
}
"""The runtime by the directory above an id that stands alone: docker's default parent, and containerd's
namespaces (of Kubernetes, and of ctr and nerdctl), which are a directory each."""

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
"""Above the cgroup of a container of LXC 3 and earlier, and of Proxmox."""


class Where(NamedTuple):
    """What a cgroup's path tells: see ``unit_of``, ``container_of`` and ``pod_of``."""

    unit: str | None
    container_id: str | None
    container_runtime: str | None
    pod_uid: str | None


def where_of(cgroup: str) -> Where:
    """All that a cgroup's path tells."""
    container = container_of(cgroup)
    name, runtime = (None, None) if container is None else container
    return Where(unit_of(cgroup), name, runtime, pod_of(cgroup))


def unit_of(cgroup: str) -> str | None:
    r"""The systemd unit of a cgroup, as ``systemctl status PID`` names it.

    In a user's session it is that user's unit. What lies below a service or a scope belongs to that unit
    (delegation), even if its name looks like a unit's, as with a service manager in a container. A
    process that is directly in a slice, or in a cgroup that systemd did not make, has the slice.

    Args:
        cgroup: Path of the cgroup, such as "/system.slice/cron.service".

    Returns:
        The unit's name as systemctl takes it (escapes such as ``\x2d`` belong to it), or None outside
        of every unit.
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
    """A container, as far as the path tells.

    Attributes:
        id: The full id (64 hexadecimal digits) of a container of docker, containerd, cri-o or podman; the
            name of one of LXC.
        runtime: "docker", "containerd", "cri-o", "podman" or "lxc"; None where the path is that of any.
    """

    id: str
    runtime: str | None


def container_of(cgroup: str) -> Container | None:
    """The container of a cgroup: the innermost one, where containers are nested.

    Args:
        cgroup: Path of the cgroup, such as "/kubepods/besteffort/pod6f1e.../3ab1...".

    Returns:
        The container, alone or under Kubernetes; None outside of one. A containerd container whose id
        someone chose freely cannot be told from any other cgroup.
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
    """The uid of the Kubernetes pod of a cgroup, as the API writes it: the innermost one.

    The pod has it from the kubelet's own cgroup on, so that its sandbox and what the kubelet starts in
    it have it, too.
    """
    components = _components(cgroup)
    for depth in range(len(components) - 1, -1, -1):
        match = _POD.fullmatch(components[depth])
        if match and any("kubepods" in above for above in components[: depth + 1]):
            return match["uid"].replace("_", "-")
    return None


def cgroup_in(text: str) -> str | None:
    """The path that tells most, of a process that is in one cgroup of each hierarchy.

    On a host with cgroup v2 alone there is but one. Where v1 hierarchies are mounted beside it, or alone, a
    container may be in v1 only. A container's path tells most, then the service manager's own hierarchy.

    Args:
        text: The content of ``/proc/PID/cgroup``.

    Returns:
        The path, or None where there is none.
    """
    by_name: dict[str, str] = {}
    for line in text.splitlines():
        _, _, named = line.partition(":")
        names, _, path = named.partition(":")
        if path.startswith("/"):
            by_name.update(dict.fromkeys(names.split(","), path))
    order = [by_name[name] for name in ("", "name=systemd", "pids", "memory") if name in by_name]
    paths = [*order, *by_name.values()]
    told = [path for path in paths if container_of(path)] or [path for path in paths if path != "/"] or paths
    return next(iter(told), None)


def _components(cgroup: str) -> list[str]:
    # The kernel marks a cgroup that was removed under its processes (cgroup v2, cgroups(7)).
    return [component for component in cgroup.removesuffix(" (deleted)").split("/") if component]
