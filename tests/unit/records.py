"""Hypothesis strategies for records, and a typical record."""

from __future__ import annotations

from hypothesis import strategies as st

from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Ancestor, Binary, Diagnosis, ExecFailure, Search, Truncated

_U16, _U32, _U64, _I63 = (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1, (1 << 63) - 1

texts = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)
"""Any string of a process, decoded as by the reader."""

u32 = st.integers(0, _U32)
u64 = st.integers(0, _U64)
times = st.integers(0, _I63)
indexes = st.lists(u32, max_size=3).map(tuple)
words = st.lists(st.none() | texts, max_size=6).map(tuple)

binaries = st.builds(
    Binary,
    path=st.none() | texts,
    device_id=u32,
    device=texts,
    inode_number=u64,
    ctime=u64,
    inode_mode=st.integers(0, _U16),
    source=st.sampled_from(["kernel", "resolved"]),
    uid=st.none() | u32,
    gid=st.none() | u32,
    size=st.none() | times,
)
truncations = st.builds(
    Truncated,
    arguments=st.booleans(),
    environment=st.booleans(),
    path=st.booleans(),
    argc=st.none() | u32,
    envc=st.none() | u32,
    argument_indexes=indexes,
    environment_indexes=indexes,
    long_argument=st.none() | u32,
    long_variable=st.none() | u32,
)
diagnoses = st.builds(
    Diagnosis,
    code=texts,
    summary=texts,
    evidence=st.lists(texts, max_size=3).map(tuple),
    advice=st.none() | texts,
    certain=st.booleans(),
    brief=texts,
)
searches = st.builds(
    Search,
    id=st.integers(0, 2**63 - 1),
    name=texts,
    tries=u32,
    outcome=st.sampled_from(["found", "not-found", "open"]),
    found_path=st.none() | texts,
)
records = st.builds(
    ExecFailure,
    timestamp=times,
    path=st.none() | texts,
    return_value=st.integers(-4095, -1),
    binary=st.none() | binaries,
    interpreter_path=st.none() | texts,
    stdin_type=st.integers(0, _U16),
    stdin_path=st.none() | texts,
    kernel_invoked=st.booleans(),
    arguments=words,
    environment=words,
    truncated=truncations,
    arguments_source=st.sampled_from(["kernel", "user", "unreadable"]),
    path_source=st.sampled_from(["kernel", "unchanged", "user"]),
    path_afterwards=st.none() | texts,
    syscall=st.none() | st.sampled_from(["execve", "execveat"]),
    compat=st.booleans(),
    dirfd=st.none() | st.integers(-(1 << 31), (1 << 31) - 1),
    flags=st.none() | u32,
    check_only=st.booleans(),
    pid=u32,
    tid=u32,
    ppid=u32,
    uid=u32,
    euid=u32,
    gid=u32,
    egid=u32,
    fsuid=u32,
    fsgid=u32,
    groups=st.none() | indexes,
    capabilities=u64,
    comm=texts,
    parent_comm=texts,
    ancestors=st.lists(st.builds(Ancestor, pid=u32, comm=texts), max_size=3).map(tuple),
    cwd=st.none() | texts,
    root=st.none() | texts,
    tty=st.none() | texts,
    cgroup=st.none() | texts,
    unit=st.none() | texts,
    container_id=st.none() | texts,
    container_runtime=st.none() | texts,
    pod_uid=st.none() | texts,
    mount_ns=st.none() | u64,
    foreign_mount_ns=st.booleans(),
    pid_ns=st.none() | u64,
    started=st.none() | times,
    duration_ms=st.none() | st.integers(1, _U32),
    killed_by=st.none() | texts,
    diagnosis=st.none() | diagnoses,
    search=st.none() | searches,
    host=st.none() | texts,
)
losses = st.builds(Loss, timestamp=times, count=st.integers(0, _I63), reason=texts)


def failure(
    path: str | None = "/opt/app/run.sh",
    arguments: tuple[str | None, ...] = ("run.sh", "--verbose"),
    environment: tuple[str | None, ...] = ("PATH=/usr/bin:/bin", "HOME=/root"),
    timestamp: int = 1_795_557_012_031_000_000,
    diagnosis: Diagnosis | None = None,
) -> ExecFailure:
    """Return a typical record."""
    return ExecFailure(
        timestamp=timestamp,
        path=path,
        return_value=-2,
        arguments=arguments,
        environment=environment,
        truncated=Truncated(argc=len(arguments), envc=len(environment)),
        pid=27420,
        tid=27420,
        ppid=811,
        uid=33,
        comm="bash",
        diagnosis=diagnosis,
    )
