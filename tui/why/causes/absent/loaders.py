"""A missing loader or shell: the system that the program was built for, and the package that has it here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.tui.why.causes import advise
from execwhy.tui.why.scene.files import is_found
from execwhy.tui.why.scene.scene import Scene

_OS_RELEASE: Final = ("/etc/os-release", "/usr/lib/os-release")
_ID: Final = re.compile(r"^(ID|ID_LIKE)=\"?([\w. -]*)", re.MULTILINE)

_FAMILIES: Final = (
    "alpine",
    "debian",
    "ubuntu",
    "fedora",
    "rhel",
    "centos",
    "arch",
    "suse",
    "opensuse",
    "nixos",
)
_SAME: Final = {"ubuntu": "debian", "rhel": "fedora", "centos": "fedora", "opensuse": "suse"}


@dataclass(frozen=True, slots=True)
class _Loader:
    """A loader: how its path begins, what it shows about a program, and what installs it, by ``_family``."""

    prefix: str
    shows: str
    commands: Mapping[str, str] = field(default_factory=dict)


_LOADERS: Final = (
    _Loader(
        "/lib/ld-musl-",
        "It was built for musl, the C library of Alpine Linux.",
        {"debian": "apt install musl", "fedora": "dnf install musl-libc", "arch": "pacman -S musl"},
    ),
    _Loader(
        "/lib64/ld-linux-x86-64.so",
        "It was built for glibc on x86_64, the C library of almost every distribution except Alpine Linux.",
        {"alpine": "apk add gcompat"},
    ),
    _Loader(
        "/lib/ld-linux-aarch64.so",
        "It was built for glibc on aarch64, the C library of almost every distribution except Alpine Linux.",
        {"alpine": "apk add gcompat"},
    ),
    _Loader(
        "/lib/ld-linux.so.2",
        "It is a 32-bit x86 program, and needs the 32-bit C library.",
        {
            "debian": "dpkg --add-architecture i386 && apt update && apt install libc6:i386",
            "fedora": "dnf install glibc.i686",
            "arch": "pacman -S lib32-glibc",
            "suse": "zypper install glibc-32bit",
        },
    ),
    _Loader(
        "/lib/ld-linux-armhf.so",
        "It is a 32-bit ARM program, and needs the 32-bit C library.",
        {"debian": "dpkg --add-architecture armhf && apt update && apt install libc6:armhf"},
    ),
    _Loader("/nix/store/", "It was built by Nix, and needs its dependencies in the Nix store."),
    _Loader("/gnu/store/", "It was built by Guix, and needs its dependencies in the Guix store."),
    _Loader("/system/bin/linker", "It was built for Android."),
)

_PACKAGES: Final = frozenset({"bash", "expect", "fish", "ksh", "perl", "python3", "ruby", "tcsh", "zsh"})
_INSTALL: Final = {
    "alpine": "apk add",
    "arch": "pacman -S",
    "debian": "apt install",
    "fedora": "dnf install",
    "suse": "zypper install",
}

_OWN: Final = {62: "/lib64/ld-linux-x86-64.so.2", 183: "/lib/ld-linux-aarch64.so.1"}
"""glibc's loader by e_machine, for programs that were built with another path to it."""


def built_for(file: File, name: str) -> tuple[str, ...]:
    """Return what a missing ELF interpreter shows about the system that a program was built for."""
    if file.elf is None:
        return ()
    known = (loader.shows for loader in _LOADERS if name.startswith(loader.prefix))
    return ("The ELF interpreter is the loader that starts a program and loads its libraries.", *known)


def advice(scene: Scene, file: File, name: str) -> str:
    """Return how to get the loader, or how to do without it."""
    own = None if file.elf is None else _OWN.get(file.elf.machine)
    if name.startswith(("/nix/store/", "/gnu/store/")):
        copy = "opy it with its dependencies, for example with nix copy"
        if own is not None and is_found(scene.aside(own)):
            change = f"Name this system's loader in it: `patchelf --set-interpreter {own} {{}}`; or c{copy}."
            return advise.command(scene, file, change) or f"C{copy}, or let it name this system's loader."
        return f"C{copy}, or use a build for this system."
    family = _family(scene)
    if family == "nixos" and name == own:
        return "NixOS has no loader at that path: run it in nix-shell, or enable programs.nix-ld."
    for loader in _LOADERS:
        if name.startswith(loader.prefix) and family is not None and family in loader.commands:
            brought = f"Install it{advise.place(scene)} with `{loader.commands[family]}`."
            return f"Use a build for this system, or get that loader. {brought}"
    if scene.record.root is not None and name == own:
        return "Copy it and its libraries into that root directory, or use a build that is linked statically."
    return "Use a build for this system or one that is linked statically."


def installing(scene: Scene, path: str) -> str | None:
    """Return how to install an interpreter whose package has the same name everywhere; None for others."""
    directory, name = os.path.split(path)
    command = _INSTALL.get(_family(scene) or "")
    if command is None or directory not in ("/bin", "/usr/bin") or name not in _PACKAGES:
        return None
    return f"Install it{advise.place(scene)}: `{command} {name}`."


def _family(scene: Scene) -> str | None:
    """Return the family of the distribution in the caller's root directory."""
    for path in _OS_RELEASE:
        resolved = scene.aside(path)
        head = None if resolved is None or resolved.file is None else resolved.file.head
        if head is None:
            continue
        names = [name for _, value in _ID.findall(head.decode(errors="replace")) for name in value.split()]
        found = next((one for one in _FAMILIES if any(name.startswith(one) for name in names)), None)
        return None if found is None else _SAME.get(found, found)
    return "alpine" if is_found(scene.aside("/etc/alpine-release")) else None
