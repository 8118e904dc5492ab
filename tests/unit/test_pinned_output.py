"""The output for a record is compared with a stored one, since files, scripts and habits rely on it.

A new field changes these files: run this module with ``EXECWHY_PIN=1`` and read the difference.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Final

import pytest

from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Ancestor, Attempt, Binary, Diagnosis, ExecFailure, Search, Truncated
from execwhy.tui.model.files.record_csv import lines
from execwhy.tui.model.files.record_json import record_from_json, record_to_json
from execwhy.tui.model.history.columns import GROUPS, NUMBERS, OWN_GROUPS, TEXTS
from execwhy.tui.model.query.fields import FIELDS
from execwhy.tui.model.text.secrets import masked

PINNED: Final = Path(__file__).parent / "pinned"
SECRET: Final = "hunter2-Xy9!"

FULL: Final = ExecFailure(
    timestamp=1_795_557_012_031_000_001,
    path=f"/opt/app/{SECRET}/run.sh",
    return_value=-2,
    path_source="unchanged",
    path_afterwards=f"/opt/{SECRET}/other",
    binary=Binary(
        f"/srv/{SECRET}/run.sh", 0xFE00001, "254:1", 1 << 63, 1_795_557_012_000_000_001, 0o104755, "kernel",
        1000, 1001, 4096,
    ),
    interpreter_path=f"/usr/{SECRET}/bash",
    stdin_type=0o020000,
    stdin_path=f"/dev/{SECRET}",
    kernel_invoked=True,
    arguments=("run.sh", "--password", SECRET, None, "token=abc123def", ""),
    environment=("PATH=/usr/bin:/bin", f"DB_PASSWORD={SECRET}", None, "LANG=C"),
    truncated=Truncated(
        arguments=True, environment=True, path=True, argc=400, envc=401, argument_indexes=(1, 2),
        environment_indexes=(3,), long_argument=7, long_variable=8,
    ),
    arguments_source="kernel",
    syscall="execveat",
    compat=True,
    dirfd=-100,
    flags=0x1000,
    check_only=True,
    pid=27420,
    tid=27421,
    ppid=811,
    uid=33,
    euid=34,
    gid=35,
    egid=36,
    fsuid=37,
    fsgid=38,
    groups=(4, 24),
    capabilities=1 << 40,
    comm=f"a {SECRET}",
    parent_comm=f"b {SECRET}",
    ancestors=(Ancestor(811, f"c {SECRET}"), Ancestor(1, "init")),
    cwd=f"/home/{SECRET}",
    root=f"/var/{SECRET}",
    tty=f"pts/{SECRET}",
    cgroup=f"/system.slice/{SECRET}",
    unit=f"{SECRET}.service",
    container_id=f"{SECRET}",
    container_runtime=f"docker {SECRET}",
    pod_uid=f"pod-{SECRET}",
    mount_ns=4_026_531_841,
    foreign_mount_ns=True,
    pid_ns=4_026_531_836,
    foreign_user_ns=True,
    shared_directories=True,
    task=0xFFFF_8880_0000_1234,
    started=123_456_789,
    duration_ms=12,
    killed_by=f"SIGSEGV {SECRET}",
    diagnosis=Diagnosis(
        "missing-file", f"It is not {SECRET}.", (f"stat({SECRET})",), f"Create {SECRET}.", certain=False,
        brief=f"no {SECRET}",
    ),
    search=Search(
        7, f"run {SECRET}", 3, "found", f"/bin/{SECRET}", (Attempt(f"/sbin/{SECRET}", -2),), folded=True
    ),
    host=f"web-1 {SECRET}",
)  # fmt: skip
"""A record in which every field has a distinct value, and every text a secret."""


def json_line(*, show_secrets: bool) -> str:
    """Return the record as a line of a recording."""
    return json.dumps(record_to_json(FULL, show_secrets=show_secrets), ensure_ascii=True) + "\n"


def table(*, show_secrets: bool) -> str:
    """Return the record and a loss as a CSV snapshot."""
    return "".join(lines([FULL, Loss(1, 2, "full", "web-1")], show_secrets=show_secrets))


def filter_names() -> str:
    """Return each name of the filter language, with how it is compared and which value it has."""
    return "".join(
        f"{name}\t{field.name}\t{field.kind.name}\t{field.column}\t{field.many}\t"
        f"{None if field.tries is None else field.tries.of(FULL)!r}\t{field.of(FULL)!r}\n"
        for name, field in sorted(FIELDS.items())
    )


def columns() -> str:
    """Return the columns of the history, with the fields that each holds."""
    numbers = "".join(f"{name}\tnumber\t{get(FULL)}\n" for name, get in sorted(NUMBERS.items()))
    return numbers + "".join(
        f"{name}\t{'own' if name in OWN_GROUPS else 'texts' if name in TEXTS else 'shared'}\t"
        f"{' '.join(sorted(group.fields))}\n"
        for name, group in sorted(GROUPS.items())
    )


def hidden() -> str:
    """Return each field of the record with its secrets masked."""
    shown = masked(FULL)
    return "".join(
        f"{name}: {getattr(shown, name)!r}\n"
        for name in sorted(field.name for field in dataclasses.fields(ExecFailure))
    )


OUTPUTS: Final = {
    "record.jsonl": lambda: json_line(show_secrets=True),
    "record-masked.jsonl": lambda: json_line(show_secrets=False),
    "records.csv": lambda: table(show_secrets=True),
    "records-masked.csv": lambda: table(show_secrets=False),
    "masked.txt": hidden,
    "filter-names.tsv": filter_names,
    "columns.tsv": columns,
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_output_equals_the_stored_one_byte_for_byte(name: str) -> None:
    output = OUTPUTS[name]()
    if os.environ.get("EXECWHY_PIN"):
        (PINNED / name).write_text(output, encoding="utf-8")
    assert output == (PINNED / name).read_text(encoding="utf-8")


def test_a_record_with_all_fields_is_read_back_from_its_line() -> None:
    line = json_line(show_secrets=True)
    read = record_from_json(json.loads(line))
    assert json.dumps(record_to_json(read, show_secrets=True), ensure_ascii=True) + "\n" == line
