"""The man page describes exactly the options, keys, fields and causes that the program has."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from execwhy.bpf.events.record import Ancestor, Binary, Diagnosis, ExecFailure, Search, error_name
from execwhy.tui.cli.arguments import parse as parse_arguments
from execwhy.tui.model.files.record_json import record_to_json
from execwhy.tui.model.query import parse as parse_filter
from execwhy.tui.why.causes import codes, unknown
from tools import causes

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "man/execwhy.8").read_text(encoding="utf-8")
FULL: Final = ExecFailure(
    timestamp=0,
    path="/bin/x",
    return_value=-2,
    binary=Binary("/bin/x", 0, "0:0", 1, 0, 0o100755, "resolved"),
    ancestors=(Ancestor(1, "init"),),
    diagnosis=Diagnosis("missing-file", "It does not exist."),
    search=Search(1, "x", 1, "not-found"),
    host="web-1",
)

_ESCAPES: Final = {
    "-": "-", "e": "\\", "(ti": "~", "(ha": "^", "(aq": "'", "(dq": '"', "(bu": "•",
    "fB": "", "fI": "", "fR": "",
}  # fmt: skip
_REQUESTS: Final = {
    "TH", "SH", "SS", "TP", "IP", "PP", "PD", "B", "I", "BI", "BR", "RB", "RI", "IR", "EX", "EE", "br",
}  # fmt: skip
_SECTIONS: Final = (
    "NAME", "SYNOPSIS", "DESCRIPTION", "REQUIREMENTS", "OPTIONS", "KEYS", "FILTERS", "FIELDS", "CAUSES",
    "EXAMPLES", "OVERHEAD", "CAVEATS", "SECURITY", "FILES", "EXIT STATUS", "SEE ALSO", "SOURCE",
    "STABILITY", "LICENSE",
)  # fmt: skip
_CODE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_KEY_NAMES: Final = {
    "question_mark": "?", "slash": "/", "plus": "+", "at": "@", "minus": "-",
    "escape": "Esc", "pageup": "PgUp", "pagedown": "PgDn",
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def plain(text: str) -> str:
    """Return the text that roff renders."""
    return re.sub(r"\\(\([a-z]{2}|f[BIR]|[-e])", lambda found: _ESCAPES[found[1]], text)


def section(name: str) -> list[str]:
    """Return the lines of a section."""
    found = re.search(rf"^\.SH {name}\n(.*?)(?=^\.SH |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"there is no section {name}"
    return found[1].splitlines()


def tags(name: str) -> list[str]:
    """Return the tags of the items of a section, as roff has them."""
    return [tag for item, tag in pairwise(section(name)) if item.startswith(".TP")]


def bold_tags(name: str) -> list[str]:
    """Return the items of a section whose tags are names."""
    return [plain(tag.removeprefix(".B ")) for tag in tags(name) if tag.startswith(".B ")]


def test_the_man_page_lists_exactly_the_codes_of_diagnoses() -> None:
    assert set(bold_tags("CAUSES")) == set(codes_of_source()) == set(codes())


def test_the_causes_are_generated_from_the_declarations() -> None:
    assert causes.manual(PAGE) == PAGE, "run `make causes`"


def test_a_cause_that_was_edited_by_hand_is_generated_again() -> None:
    changed = PAGE.replace("The file is empty.", "Nothing is in it.", 1)
    assert changed != PAGE
    assert causes.manual(changed) == PAGE


def test_no_error_lists_a_code_twice() -> None:
    seen: set[tuple[str, str]] = set()
    heading = ""
    for line, tag in pairwise(section("CAUSES")):
        heading = line if line.startswith(".SS") else heading
        if line.startswith(".TP"):
            assert (heading, tag) not in seen
            seen.add((heading, tag))


def test_the_errors_have_the_right_numbers_and_are_in_their_order() -> None:
    named = re.findall(r"\b(E[A-Z0-9]+) \((\d+)\)", "\n".join(section("CAUSES")))
    numbers = [int(number) for _, number in named]
    assert numbers == sorted(set(numbers))
    assert [name for name, _ in named] == [error_name(-number) for number in numbers]


def test_the_man_page_lists_exactly_the_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    known = set(re.findall(r"(?<!\S)--[a-z][a-z-]+", capsys.readouterr().out))
    described = set(re.findall(r"(?<!\S)--[a-z][a-z-]+", plain("\n".join(tags("OPTIONS")))))
    assert described == known


def test_the_man_page_lists_exactly_the_fields_of_a_record() -> None:
    names = set()
    for name, value in record_to_json(FULL, show_secrets=True).items():
        names.add(name)
        if isinstance(value, dict):
            names |= {f"{name}.{inner}" for inner in value}
    assert set(bold_tags("FIELDS")) == names


def test_the_man_page_lists_every_key_binding() -> None:
    described = {key for tag in bold_tags("KEYS") for key in re.split(r", | to ", tag)}
    assert set(bound_keys()) <= described


def test_every_filter_in_the_man_page_is_valid() -> None:
    lines = section("FILTERS")
    start = lines.index(".SS Examples of filters")
    shown = [plain(line.removeprefix(".B ")) for line in lines[start:] if line.startswith(".B ")]
    assert shown
    for text in shown:
        assert not parse_filter(text).is_empty


def test_the_man_page_has_the_current_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f'"execwhy {version}"' in PAGE


def test_the_man_page_has_the_usual_sections_in_their_order() -> None:
    assert tuple(re.findall(r"^\.SH (.+)$", PAGE, re.MULTILINE)) == _SECTIONS


def test_the_man_page_formats_without_warnings() -> None:
    problems = list(faults_of_structure())
    command = ["groff", "-ww", "-z", "-man", "-Tutf8", str(ROOT / "man/execwhy.8")]
    problems += subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    lint = ["mandoc", "-Tlint", str(ROOT / "man/execwhy.8")]
    problems += subprocess.run(lint, capture_output=True, text=True, check=False).stdout.splitlines()
    assert problems == []


def test_the_schema_and_the_man_page_have_the_same_fields() -> None:
    definitions = json.loads((ROOT / "schema/record.schema.json").read_text(encoding="utf-8"))["$defs"]
    names = set(definitions["record"]["properties"])
    for part in ("binary", "truncated", "diagnosis", "search"):
        names |= {f"{part}.{name}" for name in definitions[part]["properties"]}
    assert set(bold_tags("FIELDS")) == names


def faults_of_structure() -> Iterator[str]:
    """Return faults that the formatters accept and readers stumble over."""
    in_example = False
    lines = PAGE.splitlines()
    for number, (line, following) in enumerate(pairwise([*lines, ""]), 1):
        request = re.match(r"\.(\w+)", line)
        if line.startswith('.\\"'):
            continue
        if line.startswith("'") or (line.startswith(".") and (not request or request[1] not in _REQUESTS)):
            yield f"{number}: no request of the man macros: {line}"
        if not line or line != line.rstrip():
            yield f"{number}: blank at the end, or an empty line"
        if line.startswith(".TP") and not re.match(r"\.(B|BI|BR|I) |[^.]", following):
            yield f"{number}: an item without a head"
        if line.count('"') % 2 and line.startswith("."):
            yield f"{number}: a quote is not closed"
        for escape in re.findall(r"\\(\(..|f.|.)", line):
            if escape not in _ESCAPES:
                yield f"{number}: no escape: \\{escape}"
        if line in (".EX", ".EE"):
            if in_example == (line == ".EX"):
                yield f"{number}: {line} without its counterpart"
            in_example = line == ".EX"
    if in_example:
        yield "an example is not closed"


def trees(*patterns: str) -> Iterator[tuple[Path, ast.Module]]:
    """Return the modules of these patterns, parsed."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def bound_keys() -> Iterator[str]:
    """Return the keys of all bindings, as the man page writes them."""
    for _, tree in trees("tui/screen/keys.py", "tui/widgets/**/*.py"):
        for call in calls(tree):
            if not (isinstance(call.func, ast.Name) and call.func.id == "Binding"):
                continue
            if isinstance(call.args[0], ast.Constant):
                for key in str(call.args[0].value).split(","):
                    yield _KEY_NAMES.get(key) or "+".join(
                        part if len(key) == 1 else part.capitalize() for part in key.split("+")
                    )


def codes_of_source() -> Iterator[str]:
    """Return the codes that the modules of execwhy.tui.why.causes give to a diagnosis."""
    for path, tree in trees("tui/why/causes/**/*.py", "tui/why/scene/*.py"):
        functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
        for function in functions:
            if (path.name, function.name) == ("scene.py", "diagnosis"):
                continue  # it passes on what it is given
            for call in calls(function):
                code = code_argument(call)
                if code is None or (isinstance(code, ast.Attribute) and code.attr == "code"):
                    continue
                found = codes_of(code, function, tree)
                assert found, (
                    f"{path.name}:{call.lineno}: this test does not understand which codes are given here"
                )
                yield from found


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in a tree."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def code_argument(call: ast.Call) -> ast.expr | None:
    """Return the code if the call makes a diagnosis."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    named = next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)
    if named is not None or name not in ("Diagnosis", "diagnosis"):
        return named
    return call.args[0]


def codes_of(expression: ast.expr, function: Function, module: ast.Module) -> set[str]:
    """Yield the codes that an expression can have: its constants, and those of its names."""
    if isinstance(expression, ast.Constant):
        return {str(expression.value)}
    if ast.unparse(expression) == "record.error.lower()":
        return {error_name(-number).lower() for number in unknown.OTHER_MEANINGS}
    found: set[str] = set()
    seen: set[str] = set()
    pending: list[ast.AST] = [expression]
    while pending:
        for node in ast.walk(pending.pop()):
            if isinstance(node, ast.Constant) and _CODE.fullmatch(str(node.value)):
                found.add(str(node.value))
            elif isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                pending += assigned(node.id, function) or assigned(node.id, module)
    return found


def assigned(name: str, scope: Function | ast.Module) -> list[ast.AST]:
    """Yield what is assigned to a name in a function, or at the top of a module."""
    nodes = ast.walk(scope) if not isinstance(scope, ast.Module) else scope.body
    values: list[ast.AST] = []
    for node in nodes:
        if isinstance(node, ast.Assign):
            targets = {
                one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)
            }
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            targets = {node.target.id}
        else:
            continue
        if name in targets and node.value is not None:
            values.append(node.value)
    return values
