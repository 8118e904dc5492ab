"""The advice for a missing loader, by the distribution in the caller's root directory."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.causes.absent import loaders
from execwhy.tui.why.scene.scene import Scene
from tests.unit.tui.why.failing import failed_exec


def program(path: Path, loader: str) -> Path:
    """Return an x86_64 program that names a loader and has nothing to run."""
    name = loader.encode() + b"\0"
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0x400078, 0x400078, len(name), len(name), 1)
    path.write_bytes(ident + header + segment + name)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("loader", "family", "advice"),
    [
        ("/lib/ld-musl-none.so.1", "debian", "Install it with `apt install musl`."),
        ("/lib/ld-musl-none.so.1", None, "Use a build for this system or one that is linked statically"),
        ("/lib64/ld-linux-x86-64.so.9", "alpine", "Install it with `apk add gcompat`."),
        ("/lib/ld-linux.so.2.none", "fedora", "Install it with `dnf install glibc.i686`."),
        ("/nix/store/none/ld.so", "debian", "Name this system's loader in it: `patchelf --set-interpreter"),
        ("/nowhere/ld.so", "debian", "Use a build for this system or one"),
    ],
)
def test_the_advice_fits_the_loader_and_the_distribution(
    loader: str, family: str | None, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "_family", lambda scene: family)
    diagnosis = diagnose(failed_exec(program(tmp_path / "job", loader)))
    assert diagnosis.code == "missing-elf-interpreter"
    assert diagnosis.advice is not None and advice in diagnosis.advice


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("NAME=x\nID=debian\n", "debian"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "debian"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "fedora"),
        ("ID=alpine\n", "alpine"),
        ('ID="opensuse-leap"\n', "suse"),
        ("ID=slackware\n", None),
    ],
)
def test_the_distribution_is_read_from_os_release(
    text: str, family: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = failed_exec(tmp_path / "nothing")
    (tmp_path / "os-release").write_text(text)
    monkeypatch.setattr(loaders, "_OS_RELEASE", (f"{tmp_path}/os-release",))
    with Scene(record) as scene:
        assert loaders._family(scene) == family


def test_the_advice_for_a_missing_shell_installs_it_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "_family", lambda scene: "alpine")
    with Scene(failed_exec(tmp_path / "nothing")) as scene:
        assert loaders.installing(scene, "/bin/bash") == "Install it: `apk add bash`."
        assert loaders.installing(scene, "/opt/bin/bash") is None
        assert loaders.installing(scene, "/bin/our-own-shell") is None
