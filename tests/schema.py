"""schema/record.schema.json as the tests hold lines against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import jsonschema

SCHEMA: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "schema/record.schema.json").read_text(encoding="utf-8")
)


def _closed(schema: Any) -> Any:
    """The same without room for names that it does not tell: what this version writes is told whole."""
    if isinstance(schema, list):
        return [_closed(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    return {"additionalProperties": False} | closed if closed.get("type") == "object" else closed


OPEN: Final = jsonschema.Draft202012Validator(SCHEMA)
"""As it is published: later fields are allowed."""
CLOSED: Final = jsonschema.Draft202012Validator(_closed(SCHEMA))
"""For what this version writes: a field that the schema does not have is a fault."""


def kind_of(line: dict[str, Any]) -> str:
    """Which of the four kinds of line it is: exactly one must hold it.

    Raises:
        jsonschema.ValidationError: None holds it, or several do.
    """
    CLOSED.validate(line)
    kinds = [
        name
        for name in ("header", "record", "loss", "ending")
        if CLOSED.evolve(schema={"$ref": f"#/$defs/{name}", "$defs": CLOSED.schema["$defs"]}).is_valid(line)
    ]
    assert len(kinds) == 1
    return kinds[0]
