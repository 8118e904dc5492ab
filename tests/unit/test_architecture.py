"""The packages: their purpose, their size limits, and what others may import from them."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
DESCRIBED: Final = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
TOOL: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
SETUPTOOLS: Final = TOOL["setuptools"]
LAYERS: Final = [
    package for layer in TOOL["importlinter"]["contracts"][0]["layers"] for package in layer.split(" | ")
]

MOST_MODULES: Final = 15
"""The most modules in one package."""

SCREEN: Final = (
    "execwhy.tui.cli",
    "execwhy.tui.screen",
    "execwhy.tui.widgets",
    "execwhy.tui.terminal",
    "execwhy.tui.faults",
    "execwhy.tui.textual_private",
)
"""Packages that may import Textual and Rich."""


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the path of each module; a package's is that of its ``__init__``."""
    for folder in ("bpf", "tui"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(("execwhy", *parts)).removesuffix(".__init__"), path


MODULES: Final = dict(modules())
PACKAGES: Final = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module that a module imports, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def exported(package: str) -> set[str]:
    """Return the names in a package's ``__all__``."""
    for node in ast.parse(MODULES[package].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_document_describes_each_package(package: str) -> None:
    assert f"`{package.removeprefix('execwhy.').replace('.', '/')}/`" in DESCRIBED


def test_every_package_is_installed() -> None:
    assert sorted(SETUPTOOLS["packages"]) == PACKAGES
    assert SETUPTOOLS["package-dir"] == {"execwhy.bpf": "bpf", "execwhy.tui": "tui"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_is_too_large(package: str) -> None:
    inside = [path.name for path in MODULES[package].parent.glob("*.py") if path.name != "__init__.py"]
    assert len(inside) <= MOST_MODULES, inside


def test_a_package_exports_what_others_import_and_nothing_else() -> None:
    taken: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        own = name if name in PACKAGES else name.rpartition(".")[0]
        for target in imports(path):
            package, _, module = target.rpartition(".")
            if target in MODULES and target not in PACKAGES and not f"{own}.".startswith(f"{package}."):
                taken.setdefault(package, set()).add(module)
    facade = "execwhy.tui.model.query"  # its __init__ exports classes and functions
    for package in PACKAGES:
        if package != facade:
            assert exported(package) == taken.get(package, set()), package


def test_every_module_is_in_a_layer() -> None:
    assert len(TOOL["importlinter"]["contracts"]) == 1
    outside = [name for name in MODULES if not any(f"{name}.".startswith(f"{layer}.") for layer in LAYERS)]
    # A folder that only holds packages has no code of its own.
    assert outside == ["execwhy.bpf", "execwhy.tui", "execwhy.tui.model", "execwhy.tui.why"]
    for name in outside:
        assert set(imports(MODULES[name])) <= {"__future__"}, name


def test_nothing_imports_the_folders_as_packages_of_their_own() -> None:
    for folder in ("bpf", "tui", "tests", "screenshots", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not [name for name in imports(path) if name.partition(".")[0] in ("bpf", "tui")], path


def test_only_the_probe_imports_bcc() -> None:
    assert {name for name, path in MODULES.items() if "bcc" in imports(path)} == {"execwhy.bpf.load.probe"}


def test_only_the_screen_imports_textual_and_rich() -> None:
    for name, path in MODULES.items():
        if not name.startswith(SCREEN):
            assert not [found for found in imports(path) if found.partition(".")[0] in ("textual", "rich")], (
                name
            )
