"""Cgroup paths of service managers and container runtimes are parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.caller.cgroups import Where, cgroup_in, container_of, pod_of, unit_of, where_of

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
    # Only a slice: a process without a service or scope of its own.
    ("/system.slice", "system.slice"),
    ("/user.slice/user-1000.slice", "user-1000.slice"),
    ("/kubepods.slice/kubepods-besteffort.slice/" + ID, "kubepods-besteffort.slice"),
    # Escapes: those of the unit's name stay, "_" before a name that the kernel uses goes.
    ("/system.slice/dev-disk-by\\x2dlabel-data.swap", "dev-disk-by\\x2dlabel-data.swap"),
    ("/machine.slice/machine-qemu\\x2d1\\x2ddebian.scope", "machine-qemu\\x2d1\\x2ddebian.scope"),
    ("/system.slice/_cpu.service", "cpu.service"),
    ("/system.slice/_cgroup.procs.service", "cgroup.procs.service"),
    # A cgroup that a unit's own processes made below it belongs to that unit.
    ("/system.slice/cron.service/payload/deep", "cron.service"),
    (f"/system.slice/docker-{ID}.scope/system.slice/nginx.service", f"docker-{ID}.scope"),
    (f"/system.slice/docker.service/docker/{ID}", "docker.service"),
    ("/system.slice/cron.service (deleted)", "cron.service"),
    # Without systemd above.
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
    # docker: the cgroupfs driver's parent is /docker; runc's systemd driver makes "docker-ID.scope".
    (f"/docker/{ID}", ID, "docker"),
    (f"/system.slice/docker-{ID}.scope", ID, "docker"),
    (f"/system.slice/docker.service/docker/{ID}", ID, "docker"),
    (f"/docker/{OUTER_ID}/docker/{ID}", ID, "docker"),
    (f"/docker/{ID}/system.slice/nginx.service", ID, "docker"),
    (f"/docker/{ID} (deleted)", ID, "docker"),
    (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", ID, "docker"),
    # docker with --cgroup-parent: another runtime could have made it.
    (f"/batch/{ID}", ID, None),
    # containerd: a namespace of ctr and of Kubernetes; nerdctl with the systemd driver
    (f"/k8s.io/{ID}", ID, "containerd"),
    (f"/default/{ID}", ID, "containerd"),
    (f"/system.slice/nerdctl-{ID}.scope", ID, "containerd"),
    # podman (libpod/container_internal_linux.go), with crun's own cgroup below; as root and rootless, with
    # systemd and with cgroupfs, alone and in a pod. Its monitor is outside of the container.
    (f"/machine.slice/libpod-{ID}.scope", ID, "podman"),
    (f"/machine.slice/libpod-{ID}.scope/container", ID, "podman"),
    (f"/machine.slice/machine-libpod_pod_{OUTER_ID}.slice/libpod-{ID}.scope/container", ID, "podman"),
    (f"/machine.slice/machine-libpod_pod_{OUTER_ID}.slice", None, None),
    (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container", ID, "podman"),
    (
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{OUTER_ID}.slice"
        f"/libpod-{ID}.scope",
        ID,
        "podman",
    ),
    (f"/libpod_parent/libpod-{ID}", ID, "podman"),
    (f"/libpod_parent/{OUTER_ID}/libpod-{ID}/container", ID, "podman"),
    (f"/machine.slice/libpod-conmon-{ID}.scope", None, None),
    (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-{ID}.scope", None, None),
    # Kubernetes, systemd driver and cgroupfs driver; with the latter, docker and containerd look the same.
    (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_IN_A_UNIT_NAME}.slice"
        f"/cri-containerd-{ID}.scope",
        ID,
        "containerd",
    ),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/crio-{ID}.scope", ID, "cri-o"),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/crio-{ID}.scope/container", ID, "cri-o"),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/crio-conmon-{ID}.scope", None, None),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/docker-{ID}.scope", ID, "docker"),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice", None, None),
    (f"/kubepods/besteffort/pod{POD}/{ID}", ID, None),
    (f"/kubepods/pod{POD}/crio-{ID}", ID, "cri-o"),
    (f"/kubepods/besteffort/pod{POD}", None, None),
    (
        f"/system.slice/containerd.service/kubepods-pod{POD_IN_A_UNIT_NAME}.slice:cri-containerd:{ID}",
        ID,
        "containerd",
    ),
    # LXC: the container's name is its id
    ("/lxc/web", "web", "lxc"),
    ("/lxc/web/ns/system.slice/nginx.service", "web", "lxc"),
    ("/lxc.payload/web", "web", "lxc"),
    ("/lxc.payload.web", "web", "lxc"),
    ("/lxc.payload.web/system.slice/nginx.service", "web", "lxc"),
    (f"/lxc.payload.web/docker/{ID}", ID, "docker"),
    ("/lxc.monitor.web", None, None),
    ("/lxc.monitor/web", None, None),
    ("/lxc", None, None),
    # No container
    ("/", None, None),
    ("", None, None),
    ("/system.slice/cron.service", None, None),
    ("/user.slice/user-1000.slice/session-3.scope", None, None),
    (f"/docker/{ID[:-1]}", None, None),
    (f"/docker/{ID}0", None, None),
    (f"/docker/{ID.upper()}", None, None),
    ("/docker/buildx", None, None),
]

NESTED = [
    # Paths of real machines from public reports, with everything that they show.
    # A node of kind, its kubelet below one root cgroup: github.com/containerd/nri/pull/227, seen from within.
    (
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
        "/kubelet-kubepods-besteffort-pod1e597579_417e_482f_bf65_5fe170c3aebd.slice"
        "/cri-containerd-d7dfb4a21fe1703a8537e60d5af248af729315d187b24a538102d14874c8117d.scope",
        Where(
            "cri-containerd-d7dfb4a21fe1703a8537e60d5af248af729315d187b24a538102d14874c8117d.scope",
            "d7dfb4a21fe1703a8537e60d5af248af729315d187b24a538102d14874c8117d",
            "containerd",
            "1e597579-417e-482f-bf65-5fe170c3aebd",
        ),
    ),
    # cri-o in a node of minikube that is a docker container: github.com/kubernetes/minikube/issues/11280.
    (
        "/docker/d6701ec289c56e4391acb11d07474b3139466857a305490575508a8b7a9fcf22/kubepods.slice"
        "/kubepods-besteffort.slice/kubepods-besteffort-pod2ca4a155_3599_498d_bb9d_4446693fa3ea.slice"
        "/crio-358607a37e7ada357032e7f5729c9ae6a3efdb7962acbcbe47ff6a3c5506cb1c.scope",
        Where(
            None,
            "358607a37e7ada357032e7f5729c9ae6a3efdb7962acbcbe47ff6a3c5506cb1c",
            "cri-o",
            "2ca4a155-3599-498d-bb9d-4446693fa3ea",
        ),
    ),
    # docker under the kubelet, systemd driver: github.com/kontena/pharos-cluster/issues/440.
    (
        "/kubepods.slice/kubepods-besteffort.slice"
        "/kubepods-besteffort-pod9692aa0e_748e_11e8_8dfa_76d458035df6.slice"
        "/docker-abddff03dfd7710c79a750ce3e730365cbb2c8247a974170c1062683bc3e9152.scope",
        Where(
            "docker-abddff03dfd7710c79a750ce3e730365cbb2c8247a974170c1062683bc3e9152.scope",
            "abddff03dfd7710c79a750ce3e730365cbb2c8247a974170c1062683bc3e9152",
            "docker",
            "9692aa0e-748e-11e8-8dfa-76d458035df6",
        ),
    ),
    # docker in docker: the innermost one.
    (f"/docker/{OUTER_ID}/docker/{ID}", Where(None, ID, "docker", None)),
    (
        f"/system.slice/docker-{OUTER_ID}.scope/docker/{ID}",
        Where(f"docker-{OUTER_ID}.scope", ID, "docker", None),
    ),
]

PODS = [
    # kubelet, pkg/kubelet/cm/pod_container_manager_linux.go (podCgroupNamePrefix) and
    # cgroup_manager_linux.go (escapeSystemdCgroupName): of each class of service, with both drivers.
    (f"/kubepods/besteffort/pod{POD}/{ID}", POD),
    (f"/kubepods/burstable/pod{POD}", POD),
    (f"/kubepods/pod{POD}/{ID}", POD),
    (f"/kubepods.slice/kubepods-pod{POD_IN_A_UNIT_NAME}.slice/cri-containerd-{ID}.scope", POD),
    (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_IN_A_UNIT_NAME}.slice", POD),
    (f"/system.slice/containerd.service/kubepods-pod{POD_IN_A_UNIT_NAME}.slice:cri-containerd:{ID}", POD),
    # A static pod's uid is a hash (pkg/kubelet/config/common.go, applyDefaults).
    (f"/kubepods/burstable/pod{ID[:32]}/{ID}", ID[:32]),
    # Cgroups that a container's own service manager made below it.
    (f"/kubepods/besteffort/pod{POD}/{ID}/system.slice/nginx.service", POD),
    # No pod of Kubernetes
    (f"/machine.slice/machine-libpod_pod_{OUTER_ID}.slice/libpod-{ID}.scope", None),
    (f"/system.slice/pod{POD}", None),
    ("/kubepods/besteffort", None),
    ("/kubepods/besteffort/podcast", None),
    (f"/docker/{ID}", None),
    ("/", None),
]

HIERARCHIES = [
    # cgroup v2 alone
    ("0::/system.slice/cron.service\n", "/system.slice/cron.service"),
    ("0::/\n", "/"),
    # Hybrid, systemd.unified_cgroup_hierarchy=0 with systemd 233 and later: the service manager's v1
    # hierarchy has what v2 has; docker's cgroupfs driver puts containers into v1 alone.
    (
        "12:pids:/system.slice/cron.service\n1:name=systemd:/system.slice/cron.service\n"
        "0::/system.slice/cron.service\n",
        "/system.slice/cron.service",
    ),
    (f"12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n", f"/docker/{ID}"),
    (
        f"11:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/containerd.service\n",
        f"/docker/{ID}",
    ),
    # v1 alone, as RHEL 8: github.com/kontena/pharos-cluster/issues/440 shows one such host.
    ("9:pids:/system.slice\n2:freezer:/system.slice\n1:name=systemd:/system.slice\n", "/system.slice"),
    ("9:pids:/user.slice/user-0.slice/session-2.scope\n1:name=systemd:/user.slice\n", "/user.slice"),
    # No service manager: the controller that limits processes, else any.
    ("3:cpu,cpuacct:/\n2:pids:/lxc/web\n1:memory:/lxc/web\n", "/lxc/web"),
    ("9:name=systemd:/\n8:pids:/\n4:memory:/payload\n0::/\n", "/payload"),
    ("9:name=systemd:/\n8:pids:/\n0::/\n", "/"),
    # A path with colons
    (
        f"0::/kubepods-pod{POD_IN_A_UNIT_NAME}.slice:cri-containerd:{ID}\n",
        f"/kubepods-pod{POD_IN_A_UNIT_NAME}.slice:cri-containerd:{ID}",
    ),
    ("", None),
    ("nothing of the kind\n", None),
]


@pytest.mark.parametrize(("cgroup", "unit"), UNITS, ids=[cgroup for cgroup, _ in UNITS])
def test_the_unit_is_the_one_that_systemd_made_the_cgroup_for(cgroup: str, unit: str | None) -> None:
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(("cgroup", "name", "runtime"), CONTAINERS, ids=[each[0] for each in CONTAINERS])
def test_the_container_is_the_one_whose_runtime_made_the_cgroup(
    cgroup: str, name: str | None, runtime: str | None
) -> None:
    assert container_of(cgroup) == (None if name is None else (name, runtime))


@pytest.mark.parametrize(("cgroup", "where"), NESTED, ids=[cgroup for cgroup, _ in NESTED])
def test_the_innermost_of_nested_containers_is_found(cgroup: str, where: Where) -> None:
    assert where_of(cgroup) == where


@pytest.mark.parametrize(("cgroup", "pod"), PODS, ids=[cgroup for cgroup, _ in PODS])
def test_the_uid_of_a_pod_is_written_as_by_the_kubernetes_api(cgroup: str, pod: str | None) -> None:
    assert pod_of(cgroup) == pod


@pytest.mark.parametrize(("text", "cgroup"), HIERARCHIES)
def test_the_most_informative_of_several_hierarchies_counts(text: str, cgroup: str | None) -> None:
    assert cgroup_in(text) == cgroup


def test_a_service_in_a_container_has_a_unit_and_a_container() -> None:
    cgroup = f"/system.slice/docker-{ID}.scope/init.scope"
    assert where_of(cgroup) == (f"docker-{ID}.scope", ID, "docker", None)


@given(st.lists(st.text(max_size=20), max_size=8))
def test_every_cgroup_fact_is_a_part_of_the_path(components: list[str]) -> None:
    cgroup = "/" + "/".join(components)
    where = where_of(cgroup)
    assert (where.unit or "") in cgroup
    assert (where.container_id or "") in cgroup
    assert (where.pod_uid or "").replace("-", "_") in cgroup.replace("-", "_")
