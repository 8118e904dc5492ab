"""Control of root's environment, working directory or home directory adds no code to the program."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import uuid
from pathlib import Path

import pytest

from tests.live.command import PLAIN, PROJECT, on_terminal
from tests.live.exec_child import PATIENCE
from tests.live.listener import fail_to_exec

INSTALLED = Path(sys.prefix, "bin", "execwhy")


class Trap:
    """A place full of code that leaves a mark when it is run, and an environment that leads there."""

    def __init__(self, place: Path) -> None:
        self.mark = place / "mark"
        self.place = place / "hostile"
        self.home = place / "home"
        code = f"import os\nopen({str(self.mark)!r}, 'a').write(__file__ + chr(10))\n"
        self.place.mkdir()
        for name in (
            "sitecustomize", "usercustomize", "bcc", "textual", "rich", "numpy", "humanize", "execwhy", "tui",
            "bpf", "cachetools",
            "json", "hostile_driver", "hostile_startup",
        ):  # fmt: skip
            (self.place / f"{name}.py").write_text(code)
        user_site = Path(sysconfig.get_path("purelib", "posix_user", {"userbase": str(self.home / ".local")}))
        user_site.mkdir(parents=True)
        (user_site / "hostile.pth").write_text(f"import sys; open({str(self.mark)!r}, 'a').write('pth')\n")
        programs = self.place / "bin"
        programs.mkdir()
        for name in ("dirname", "cat", "id", "python3", "cc", "clang", "llc", "uname"):
            (programs / name).write_text(f"#!/bin/sh\necho {name} >>{self.mark}\nexit 1\n")
            (programs / name).chmod(0o755)
        self.environment = {
            **PLAIN,
            "PATH": f"{programs}:{PLAIN['PATH']}",
            "HOME": str(self.home),
            "PYTHONPATH": str(self.place),
            "PYTHONSTARTUP": str(self.place / "hostile_startup.py"),
            "PYTHONINSPECT": "",
            "PYTHONUSERBASE": str(self.home / ".local"),
            "TEXTUAL_DRIVER": "hostile_driver:Driver",
            "TEXTUAL_LOG": str(self.mark),
            "BCC_KERNEL_SOURCE": str(self.place),
            "TMPDIR": str(self.place),
        }

    def sprung(self) -> str:
        """Return what has been run; "" for nothing."""
        return self.mark.read_text() if self.mark.exists() else ""


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


def test_the_trap_works_on_a_python_that_trusts_its_environment(trap: Trap) -> None:
    subprocess.run([sys.executable, "-c", "import bcc"], env=trap.environment, check=True)
    assert "sitecustomize.py" in trap.sprung() and "bcc.py" in trap.sprung()


def test_a_recording_runs_no_code_of_other_users(trap: Trap) -> None:
    run = subprocess.run(
        [INSTALLED, "--record", "-", "--duration", "1"], cwd=trap.place, env=trap.environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (run.returncode, trap.sprung()) == (0, ""), run.stderr
    assert "seen =" in run.stderr


def test_the_screen_runs_no_code_of_other_users(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trap.place)
    path = f"/execwhy-{uuid.uuid4().hex[:8]}"
    with on_terminal("--filter", f"path=={path}", environment=trap.environment) as terminal:
        fail_to_exec(path)
        terminal.wait_for_text(path)
        terminal.type("q")
        assert terminal.status() == 0
    assert trap.sprung() == ""


def test_the_launcher_of_a_checkout_finds_the_systems_programs(trap: Trap, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "tools").mkdir(parents=True)
    (checkout / ".venv/bin").mkdir(parents=True)
    shutil.copy(PROJECT / "execwhy", checkout)
    for name in ("tools/setup", ".venv/bin/execwhy"):
        (checkout / name).write_text('#!/bin/sh\ncat /dev/null && echo "$0" $*\n')
        (checkout / name).chmod(0o755)
    run = subprocess.run(
        ["checkout/execwhy", "--check"], cwd=tmp_path, env={**trap.environment, "CDPATH": str(trap.place)},
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert run.stdout.splitlines() == [f"{checkout}/tools/setup run", f"{checkout}/.venv/bin/execwhy --check"]
    assert trap.sprung() == ""


def test_the_launcher_of_a_checkout_follows_no_link_to_another_place(trap: Trap, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(PROJECT / "tools", checkout / "tools")
    shutil.copytree(PROJECT / "requirements", checkout / "requirements")
    shutil.copy(PROJECT / "pyproject.toml", checkout)
    shutil.copy(PROJECT / "execwhy", checkout)
    (trap.place / "bin/execwhy").write_text(f"#!/bin/sh\necho execwhy >>{trap.mark}\n")
    (trap.place / "bin/execwhy").chmod(0o755)
    (trap.place / ".ready-run").write_text(f"{checkout}\n")
    (checkout / ".venv").symlink_to(trap.place)
    run = subprocess.run(
        [checkout / "execwhy"], env=PLAIN, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith("tools/setup: .venv is a symbolic link: ")
    assert (trap.place / "bin/execwhy").exists()
    assert trap.sprung() == ""
