"""Only one module uses private names of Textual, and it names the missing public way for each."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from execwhy.tui import textual_private

TUI = Path(__file__).parents[3] / "tui"
OWN = ("self", "cls")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def of_textual(path: Path) -> bool:
    """Return whether a module imports Textual, or a module of this program that does."""
    return any(word in path.read_text(encoding="utf-8") for word in ("textual", "Contained", "Painted"))


MODULES = [
    path for path in sorted(TUI.rglob("*.py")) if path.name != "textual_private.py" and of_textual(path)
]


def name_of(path: Path) -> str:
    parts = path.relative_to(TUI.parent).with_suffix("").parts
    return ".".join(("execwhy", *parts)).removesuffix(".__init__")


def reached_for(tree: ast.AST) -> Iterator[str]:
    """Yield the private names that a module imports from Textual, and those of objects other than its own."""
    own = {*OWN, "os", *(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("textual", "rich"):
            names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
            yield from (f"import of {name}" for name in names if is_private(name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id in own):
                yield f"{ast.unparse(owner)}.{node.attr}"


@cache
def private_names(base: type) -> frozenset[str]:
    """Return the private names of one of Textual's classes, and of its instances."""
    source = inspect.getsource(base)
    assigned = re.findall(r"\bself\.(_[a-z]\w*)\s*(?::[^=\n]+)?=[^=]", source)
    return frozenset(filter(is_private, [*vars(base), *assigned]))


def used_in(node: ast.ClassDef) -> set[str]:
    """Return the private names that a class defines or uses on itself."""
    names = {child.name for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)}
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id in OWN:
            names.add(child.attr)
        elif isinstance(child, ast.Assign | ast.AnnAssign) and child in node.body:
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return set(filter(is_private, names))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_other_module_reaches_into_textual(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not list(reached_for(tree))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_private_name_of_a_widget_clashes_with_textual(path: Path) -> None:
    module = importlib.import_module(name_of(path))
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = [
                base for base in vars(module)[node.name].__mro__ if base.__module__.startswith("textual.")
            ]
            taken = {name for base in bases for name in private_names(base)} & used_in(node)
            assert not taken, f"{node.name}: {taken}"


def test_each_entry_names_its_version_and_the_public_way_that_is_missing() -> None:
    tree = ast.parse(inspect.getsource(textual_private))
    entries = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(entries) > 10
    for entry in entries:
        assert re.search(r"\b8\.2\.8: \S", ast.get_docstring(entry) or ""), entry.name
