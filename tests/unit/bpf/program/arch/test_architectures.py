"""Everything that depends on the processor lies in bpf/program/arch, and each descriptor is complete."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pytest

from execwhy.bpf.load import support
from execwhy.bpf.program import btf
from execwhy.bpf.program.arch import machines
from execwhy.bpf.program.arch.descriptor import Architecture
from execwhy.bpf.program.arch.machines import ARCHITECTURES, MachineError, architecture

ROOT: Final = Path(__file__).parents[5]
ARCH: Final = Path(machines.__file__).parent
BPF: Final = ARCH.parents[1]

OF_A_PROCESSOR: Final = re.compile(
    r"""
      \bpt_regs\.|AT_pt_regs  # registers
    | \borig_ax\b|\borig_x0\b
    | x86_64|amd64|aarch64|\barm64|\bia32|arch/(x86|arm)
    | __(x64|x32|ia32|arm64)_|\bNR_(x32|ia32)  # system calls
    | \bTS_COMPAT\b|\bTIF_32BIT\b
    | platform\.machine|\.machine\ *[!=]=
    """,
    re.VERBOSE | re.IGNORECASE,
)
EXAMPLE: Final = '"6.1.0-56-amd64"'
"""A kernel's release in a docstring."""

C_FUNCTIONS: Final = (
    "exec_call",
    "fill_call",
    "function_argument_1",
    "function_argument_2",
    "function_argument_3",
    "function_result",
    "read_string",
    "read_strings_memory",
)

each_architecture = pytest.mark.parametrize("each", ARCHITECTURES.values(), ids=lambda each: each.machine)


def c_part(each: Architecture) -> str:
    return (ARCH / f"{each.machine}.c").read_text(encoding="utf-8")


def sources() -> list[Path]:
    return sorted(path for path in BPF.rglob("*.[cp]*") if path.suffix in (".c", ".py"))


def test_nothing_outside_depends_on_the_processor() -> None:
    found = [
        f"{path.relative_to(BPF)}:{number}: {line.strip()}"
        for path in sources()
        if ARCH not in path.parents
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if OF_A_PROCESSOR.search(line.replace(EXAMPLE, ""))
    ]
    assert not found


def test_the_search_finds_the_processors_own_files() -> None:
    # Otherwise the test above could not fail.
    inside = {
        path.name
        for path in ARCH.iterdir()
        if path.is_file() and OF_A_PROCESSOR.search(path.read_text("utf-8"))
    }
    assert {name for each in ARCHITECTURES for name in (f"{each}.c", f"{each}.py")} <= inside
    assert OF_A_PROCESSOR.search("return kernel_u64((u64)ctx + AT_pt_regs_di);")
    assert OF_A_PROCESSOR.search('if os.uname().machine != "riscv64":')


def test_outside_the_kernel_side_only_diagnoses_name_processors() -> None:
    # A diagnosis knows the loaders and ELF machines of all processors, independent of its own.
    naming = {
        path.relative_to(ROOT / "tui").parent.as_posix()
        for path in (ROOT / "tui").rglob("*.py")
        if re.search(r"x86_64|aarch64|\.machine\b", path.read_text(encoding="utf-8"))
    }
    assert naming <= {"why/causes/absent", "why/causes/format"}


@each_architecture
def test_the_c_part_defines_what_the_others_call(each: Architecture) -> None:
    text = c_part(each)
    wanted = (*C_FUNCTIONS, "kernel_address") if each.direct_map else C_FUNCTIONS
    missing = [name for name in wanted if not re.search(rf"^static .*\b{name}\(", text, re.MULTILINE)]
    assert not missing


@each_architecture
def test_the_c_part_uses_every_declared_number_and_only_declared_registers(each: Architecture) -> None:
    text = c_part(each)
    others = "".join(path.read_text(encoding="utf-8") for path in ARCH.parent.glob("*.c"))
    assert {name for name in each.numbers if not re.search(rf"\b{name}\b", text + others)} == set()
    used = set(re.findall(r"\bAT_pt_regs_(\w+)", text))
    assert used == {name.partition(".")[2].replace(".", "_") for name in each.registers.members}
    read_in_one_piece = set(re.findall(r"\bAT_pt_regs_(\w+) - START_registers", text))
    assert read_in_one_piece <= set(each.registers.of_calls)


@each_architecture
def test_ring_positions_are_shared_without_barriers(each: Architecture) -> None:
    # bpf/read/ring.py and perf_buffers.py read and write them with plain loads and stores.
    assert each.keeps_order


@each_architecture
def test_a_kernel_may_lack_all_entry_points_except_the_first(each: Architecture) -> None:
    assert [entry.optional for entry in each.entry_points] == [False] + [True] * (len(each.entry_points) - 1)
    assert each.exec_function == each.entry_points[0].functions[0]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the registers are those of x86_64")
def test_registers_are_saved_where_ptrace_shows_them() -> None:
    found = btf.offsets()
    assert (found["AT_pt_regs_di"], found["AT_pt_regs_orig_ax"]) == (112, 120)  # PTRACE_GETREGS's struct


def test_the_machine_is_chosen_by_its_name() -> None:
    assert architecture() is ARCHITECTURES[os.uname().machine]


@pytest.mark.parametrize(("system", "machine"), [("Linux", "riscv64"), ("Darwin", "x86_64")])
def test_a_machine_without_a_descriptor_is_refused_in_one_sentence(
    system: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((system, *known[1:4], machine)))
    sentence = (
        f"this machine is {system} {machine}: execwhy captures on Linux {' and '.join(ARCHITECTURES)} only "
        "(`execwhy --open FILE` works everywhere)."
    )
    with pytest.raises(MachineError) as raised:
        architecture()
    assert str(raised.value) == sentence
    with pytest.raises(support.KernelError) as refused:
        support.check_machine()
    assert str(refused.value) == sentence
    assert machines.entry_points() == ()


@pytest.mark.parametrize(("direct_map", "levels"), [(0xFFFF_8880_0000_0000, 4), (0xFF11_0000_0000_0000, 5)])
def test_x86_64_has_five_levels_where_the_direct_map_begins_lower(direct_map: int, levels: int) -> None:
    # Documentation/arch/x86/x86_64/mm.rst
    facts = ARCHITECTURES["x86_64"].direct_map
    assert facts is not None
    assert facts.levels(direct_map) == levels
