"""schema/record.schema.json, as the tests validate lines with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import jsonschema

SCHEMA: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "schema/record.schema.json").read_text(encoding="utf-8")
)


def _closed(schema: Any) -> Any:
    """Return the schema with no room for other names: it describes every field that this version writes."""
    if isinstance(schema, list):
        return [_closed(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    return {"additionalProperties": False} | closed if closed.get("type") == "object" else closed


OPEN: Final = jsonschema.Draft202012Validator(SCHEMA)
"""The schema as published: later versions may add fields."""
CLOSED: Final = jsonschema.Draft202012Validator(_closed(SCHEMA))
"""For the lines of this version: a field that is missing from the schema is an error."""


def kind_of(line: dict[str, Any]) -> str:
    """Return which of the four kinds of line it is: exactly one must match.

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
