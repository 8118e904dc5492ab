"""What is read out of a cgroup's path, on paths as the service managers and container runtimes make them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.cgroups import container_of, unit_of

ID = "4f1c8a90b7d2e3f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d"
OUTER_ID = "a" * 64
POD = "6f1e0c1a-51b3-4bd7-9f6b-0e0c6a1d2b3c"
POD_IN_A_UNIT_NAME = POD.replace("-", "_")

UNITS = [
    # The system's service manager.
    ("/system.slice/cron.service", "cron.service"),
    ("/init.scope", "init.scope"),
    ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
    ("/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"),
    ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
    ("/system.slice/dev-hugepages.mount", "dev-hugepages.mount"),
    ("/system.slice/docker.socket", "docker.socket"),
    ("/system.slice/run-r0123456789abcdef.scope", "run-r0123456789abcdef.scope"),
    ("/machine.slice/systemd-nspawn@web.service/payload", "systemd-nspawn@web.service"),
    # A user's.
    ("/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope"),
    ("/user.slice/user-1000.slice/user@1000.service", "user@1000.service"),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/dbus.service", "dbus.service"),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope",
        "vte-spawn-1.scope",
    ),
    # Only a slice: what has no service and no scope of its own.
    ("/system.slice", "system.slice"),
    ("/user.slice/user-1000.slice", "user-1000.slice"),
    ("/kubepods.slice/kubepods-besteffort.slice/" + ID, "kubepods-besteffort.slice"),
    # Escapes: those of the unit's name stay, "_" before a name that the kernel uses goes.
    ("/system.slice/dev-disk-by\\x2dlabel-data.swap", "dev-disk-by\\x2dlabel-data.swap"),
    ("/machine.slice/machine-qemu\\x2d1\\x2ddebian.scope", "machine-qemu\\x2d1\\x2ddebian.scope"),
    ("/system.slice/_cpu.service", "cpu.service"),
    ("/system.slice/_cgroup.procs.service", "cgroup.procs.service"),
    # What a unit's own processes made below it is that unit's.
    ("/system.slice/cron.service/payload/deep", "cron.service"),
    (f"/system.slice/docker-{ID}.scope/system.slice/nginx.service", f"docker-{ID}.scope"),
    (f"/system.slice/docker.service/docker/{ID}", "docker.service"),
    ("/system.slice/cron.service (deleted)", "cron.service"),
    # No systemd above.
    ("/", None),
    ("", None),
    (f"/docker/{ID}", None),
    ("/lxc.payload.web/system.slice/nginx.service", None),
    ("/.service", None),
    ("/system.service.d", None),
    ("/with space.service", None),
    ("/new\nline.service", None),
]

CONTAINERS = [
    # docker
    (f"/docker/{ID}", ID),
    (f"/system.slice/docker-{ID}.scope", ID),
    (f"/system.slice/docker.service/docker/{ID}", ID),
    (f"/docker/{OUTER_ID}/docker/{ID}", ID),
    (f"/docker/{ID}/system.slice/nginx.service", ID),
    (f"/docker/{ID} (deleted)", ID),
    (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", ID),
    # containerd
    (f"/k8s.io/{ID}", ID),
    (f"/default/{ID}", ID),
    (f"/system.slice/nerdctl-{ID}.scope", ID),
    # podman, with crun's own cgroup below; its monitor is outside of the container
    (f"/machine.slice/libpod-{ID}.scope", ID),
    (f"/machine.slice/libpod-{ID}.scope/container", ID),
    (f"/machine.slice/machine-libpod_pod_{OUTER_ID}.slice/libpod-{ID}.scope/container", ID),
    (f"/machine.slice/machine-libpod_pod_{OUTER_ID}.slice", None),
    (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container", ID),
    (f"/libpod_parent/libpod-{ID}", ID),
    (f"/machine.slice/libpod-conmon-{ID}.scope", None),
    # Kubernetes, systemd driver and cgroupfs driver
    (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_IN_A_UNIT_NAME}.slice"
        f"/cri-containerd-{ID}.scope",
        ID,
    ),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/crio-{ID}.scope", ID),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/crio-{ID}.scope/container", ID),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/crio-conmon-{ID}.scope", None),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/docker-{ID}.scope", ID),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice", None),
    (f"/kubepods/besteffort/pod{POD}/{ID}", ID),
    (f"/kubepods/pod{POD}/crio-{ID}", ID),
    (f"/kubepods/besteffort/pod{POD}", None),
    (
        f"/system.slice/containerd.service/kubepods-pod{POD_IN_A_UNIT_NAME}.slice:cri-containerd:{ID}",
        ID,
    ),
    # LXC: the container's name is its id
    ("/lxc/web", "web"),
    ("/lxc/web/ns/system.slice/nginx.service", "web"),
    ("/lxc.payload/web", "web"),
    ("/lxc.payload.web", "web"),
    ("/lxc.payload.web/system.slice/nginx.service", "web"),
    (f"/lxc.payload.web/docker/{ID}", ID),
    ("/lxc.monitor.web", None),
    ("/lxc.monitor/web", None),
    ("/lxc", None),
    # No container
    ("/", None),
    ("", None),
    ("/system.slice/cron.service", None),
    ("/user.slice/user-1000.slice/session-3.scope", None),
    (f"/docker/{ID[:-1]}", None),
    (f"/docker/{ID}0", None),
    (f"/docker/{ID.upper()}", None),
    ("/docker/buildx", None),
]


@pytest.mark.parametrize(("cgroup", "unit"), UNITS, ids=[cgroup for cgroup, _ in UNITS])
def test_the_unit_is_the_one_that_systemd_made_the_cgroup_for(cgroup: str, unit: str | None) -> None:
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(("cgroup", "container"), CONTAINERS, ids=[cgroup for cgroup, _ in CONTAINERS])
def test_the_container_is_the_one_whose_runtime_made_the_cgroup(cgroup: str, container: str | None) -> None:
    assert container_of(cgroup) == container


def test_a_service_in_a_container_is_told_by_both() -> None:
    cgroup = f"/system.slice/docker-{ID}.scope/init.scope"
    assert (unit_of(cgroup), container_of(cgroup)) == (f"docker-{ID}.scope", ID)


@given(st.lists(st.text(max_size=20), max_size=8))
def test_what_is_read_out_of_any_path_is_a_part_of_it(components: list[str]) -> None:
    cgroup = "/" + "/".join(components)
    assert (unit_of(cgroup) or "") in cgroup
    assert (container_of(cgroup) or "") in cgroup
