"""The legacy plan calls nothing that Linux 5.4 lacks, regardless of the kernel it is compiled on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from execwhy.bpf.load import support
from execwhy.bpf.load.loader import interpreter
from execwhy.bpf.program.plans import LEGACY
from tests.live.exec_child import PATIENCE
from tests.live.stand_in import standing_in, stands_in
from tests.live.zoo import Zoo

PROJECT = Path(__file__).parents[2]

NEWEST_HELPER_OF_5_4 = 110
"""bpf_send_signal is 109, bpf_tcp_gen_syncookie 110 (include/uapi/linux/bpf.h of 5.4)."""

SCRIPT = """
import json, struct, sys
sys.path.insert(0, sys.argv[1])
from execwhy.bpf.load import probe, support
from execwhy.bpf.maps import syscalls
from execwhy.bpf.program import btf, headers, plans
from execwhy.bpf.program import text as program
support.lift_memory_limit()
bcc = probe._import_bcc()
settings = program.Settings("legacy", 8192, 8192, 4096)
text = program.source(settings, plans.LEGACY, btf.offsets(), {})
with headers.header_tree() as tree:
    compiled = probe._compile(bcc, text, tree)
functions = {hook.program for hook in plans.LEGACY.hooks} | {"on_failure"}
called = {
    name: sorted({
        operand
        for operation, registers, _, operand in struct.iter_unpack("<BBhi", probe._code(bcc, compiled, name))
        if operation == 0x85 and registers >> 4 == 0
    })
    for name in functions
}
for name in {hook.program for hook in plans.LEGACY.hooks if hook.kind != "raw_tracepoint"} | {"on_failure"}:
    syscalls.load_program(syscalls.PROG_TYPE_KPROBE, probe._code(bcc, compiled, name))
print(json.dumps(called))
"""


def test_the_kernel_takes_every_kprobe_and_no_helper_is_newer_than_linux_5_4() -> None:
    run = subprocess.run(
        [interpreter(), "-I", "-c", SCRIPT, str(PROJECT / ".venv/checkout")],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    called: dict[str, list[int]] = json.loads(run.stdout)
    assert set(called) == {hook.program for hook in LEGACY.hooks} | {"on_failure"}
    assert all(helpers for helpers in called.values()), "each of them calls at least one"
    newer = {name: [h for h in helpers if h > NEWEST_HELPER_OF_5_4] for name, helpers in called.items()}
    assert not any(newer.values()), newer


def test_another_function_can_take_the_place_of_exec_binprm_or_the_plan_says_why_it_cannot_work(
    zoo: Zoo,
) -> None:
    # tests/kernels proves the same on kernels that have these kprobes.
    if not (obstacles := support.obstacles(LEGACY)):
        wrong = {name: problem for name, problem in stands_in(zoo).items() if problem}
        assert not wrong, wrong
        return
    with pytest.raises(RuntimeError) as raised, standing_in():
        pass
    assert f"plan legacy does not work here, since {obstacles[0].rstrip('.')}: " in str(raised.value)
