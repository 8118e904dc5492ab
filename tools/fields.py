"""Generate the fields of the schema, and FIELDS of the manual, from the table of fields.

Run by ``make fields``; a test fails if that was forgotten. A new field gets its type in the schema from its
annotation. Existing fields of the schema keep everything except their description.
"""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, Final

ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from execwhy.bpf.events.fields import RecordField, Storage, fields_of  # noqa: E402
from execwhy.bpf.events.record import (  # noqa: E402
    Ancestor,
    Binary,
    Diagnosis,
    ExecFailure,
    Search,
    Truncated,
)

PARTS: Final[dict[str, type[Any]]] = {
    "record": ExecFailure,
    "binary": Binary,
    "truncated": Truncated,
    "ancestor": Ancestor,
    "diagnosis": Diagnosis,
    "search": Search,
}
"""The classes of the table by their names in the schema."""

SCHEMA: Final = os.path.join(ROOT, "schema/record.schema.json")
MANUAL: Final = os.path.join(ROOT, "man/execwhy.8")

_WIDTH: Final = 112
"""Characters of a value that is written on one line of the schema, including its indentation."""
_ITEMS: Final = re.compile(
    r"(?<=^\.PD 0\n)\.TP 32\n\.B timestamp\n.*?(?=^\.SH CAUSES)", re.DOTALL | re.MULTILINE
)


def _in_files(kind: type[Any]) -> Iterator[RecordField]:
    return (field for field in fields_of(kind).values() if field.fact.in_file)


def schema(text: str) -> str:
    """Return the schema with the fields and the descriptions of the table.

    Args:
        text: The current schema.
    """
    whole = json.loads(text)
    for name, kind in PARTS.items():
        definition = whole["$defs"][name]
        so_far, fields = definition["properties"], list(_in_files(kind))
        definition["required"] = [field.name for field in fields if not field.fact.only_if_known]
        definition["properties"] = {
            field.name: {"description": field.fact.help}
            | {
                key: value
                for key, value in so_far.get(field.name, _type(field)).items()
                if key != "description"
            }
            for field in fields
        }
    return _json(whole, 0) + "\n"


def _type(field: RecordField) -> dict[str, Any]:
    """Return the type of a new field from its annotation."""
    names = {kind: name for name, kind in PARTS.items()}
    one: dict[str, Any]
    if field.part is not None:
        one = {"$ref": f"#/$defs/{names[field.part]}"}
    elif field.fact.storage is Storage.TEXTS:
        one = {"$ref": "#/$defs/string"}
    elif field.moment:
        one = {"$ref": "#/$defs/time"}
    elif field.words:
        one = {"enum": list(field.words)}
    elif field.limits is not None:
        one = {"type": "integer", "minimum": field.limits.lowest, "maximum": field.limits.highest}
    else:
        one = {"type": "boolean" if field.type is bool else "string"}
    if field.many:
        one = {"type": "array", "items": one}
    if not field.optional or field.fact.only_if_known:
        return one
    return one | {"type": [one["type"], "null"]} if "type" in one else {"anyOf": [one, {"type": "null"}]}


def _json(value: Any, depth: int) -> str:  # noqa: ANN401
    """Return JSON with as much on each line as fits."""
    flat = json.dumps(value)
    inner, outer = "  " * (depth + 1), "  " * depth
    if len(outer) + len(flat) <= _WIDTH or not isinstance(value, dict | list):
        return flat
    if isinstance(value, list):
        lines = [inner + _json(element, depth + 1) for element in value]
        return "[\n" + ",\n".join(lines) + f"\n{outer}]"
    lines = [f"{inner}{json.dumps(name)}: {_json(element, depth + 1)}" for name, element in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{outer}}}"


def manual(text: str) -> str:
    """Return the manual with FIELDS generated from the table.

    Args:
        text: The current manual.
    """
    items = "".join(_items())
    last = items.rindex(".TP 32\n")
    items = f"{items[:last]}.PD\n{items[last:]}"
    return _ITEMS.sub(lambda _: items, text)


def _items() -> Iterator[str]:
    for field in _in_files(ExecFailure):
        yield _item(field.name, field)
        if field.part is not None and not field.many:
            for part in _in_files(field.part):
                yield _item(f"{field.name}.{part.name}", part)


def _item(name: str, field: RecordField) -> str:
    escaped = field.fact.help.replace("\\", "\\e").replace("-", "\\-")
    lines = textwrap.fill(escaped, 80, break_long_words=False, break_on_hyphens=False)
    return f".TP 32\n.B {name}\n{lines}\n"


FILES: Final = {SCHEMA: schema, MANUAL: manual}
"""The files that follow from the table, and the functions that update them."""


def main() -> None:
    """Write the files."""
    for path, made in FILES.items():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(made(text))


if __name__ == "__main__":
    main()
