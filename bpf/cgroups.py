"""What a cgroup's path says: the systemd unit and the container that a process runs in.

Pure functions of the path as in ``/proc/PID/cgroup`` ("0::" line) of the host. They read nothing, so
they also work for a process that has ended, and for a recording from another machine.
"""

from __future__ import annotations

import re
from typing import Final

_UNIT_NAME: Final = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|scope|slice|socket|mount|swap)", re.ASCII)
"""The unit types that have a cgroup, and the characters of a unit name (systemd.unit(5))."""

_USER_MANAGER: Final = re.compile(r"user@[0-9]+\.service", re.ASCII)
"""The service manager of one user: the cgroups below it are that manager's units."""

_CONTAINER_ID: Final = re.compile(r"(?:.*[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?", re.ASCII)
"""How docker, containerd, cri-o and podman name a container's cgroup.

With their cgroupfs driver the id alone or after the runtime's name ("crio-ID"), with the systemd driver
a scope ("docker-ID.scope", "cri-containerd-ID.scope"), and with the two mixed up a name such as
"kubepods-podUID.slice:cri-containerd:ID". A pod's own slice ends in ".slice" and is no container.
"""

_CONTAINER_MONITOR: Final = "conmon"
"""Podman and cri-o run a monitor beside each container, in a cgroup with the container's id in its name."""

_LXC_PAYLOAD: Final = re.compile(r"lxc\.payload\.(?P<id>.+)")
"""The cgroup of a container of LXC 4 and later; "lxc.monitor.NAME" holds its monitor."""

_LXC_PARENTS: Final = frozenset({"lxc", "lxc.payload"})
"""Above the cgroup of a container of LXC 3 and earlier, and of Proxmox."""


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


def container_of(cgroup: str) -> str | None:
    """The container of a cgroup: the innermost one, where containers are nested.

    Args:
        cgroup: Path of the cgroup, such as "/kubepods/besteffort/pod6f1e.../3ab1...".

    Returns:
        The full id (64 hexadecimal digits) of a container of docker, containerd, cri-o or podman,
        alone or under Kubernetes; the name of one of LXC; None outside of these. A containerd container
        whose id someone chose freely cannot be told from any other cgroup.
    """
    components = _components(cgroup)
    for depth in range(len(components) - 1, -1, -1):
        component = components[depth]
        if match := _CONTAINER_ID.fullmatch(component):
            if _CONTAINER_MONITOR not in component:
                return match["id"]
        elif match := _LXC_PAYLOAD.fullmatch(component):
            return match["id"]
        elif depth and components[depth - 1] in _LXC_PARENTS:
            return component
    return None


def _components(cgroup: str) -> list[str]:
    # The kernel marks a cgroup that was removed under its processes (cgroup v2, cgroups(7)).
    return [component for component in cgroup.removesuffix(" (deleted)").split("/") if component]
