"""The part of a filter that the kernel can apply: uids, and paths or prefixes to record or to exclude."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.source import Capture
from execwhy.tui.model.query.fields import Kind
from execwhy.tui.model.query.lexer import QueryError
from execwhy.tui.model.query.terms import And, InRanges, Node, Not, Or, Term

_LARGEST_UID: Final = 2**32 - 1

Ranges = tuple[tuple[int, int], ...]
_EVERY_UID: Final[Ranges] = ((0, _LARGEST_UID),)


@dataclass(frozen=True, slots=True)
class _Paths:
    """Exact paths and prefixes."""

    exact: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def __or__(self, other: _Paths) -> _Paths:
        return _Paths(_distinct(self.exact + other.exact), _distinct(self.prefixes + other.prefixes))

    def __bool__(self) -> bool:
        return bool(self.exact or self.prefixes)


@dataclass(frozen=True, slots=True)
class _Condition:
    """Conditions that must all hold; if ``paths`` is None, any path that is not excluded."""

    uids: Ranges = _EVERY_UID
    paths: _Paths | None = None
    excluded: _Paths = _Paths()

    @property
    def is_of_path(self) -> bool:
        """Whether it has a condition on the path."""
        return self.paths is not None or bool(self.excluded)


def capture(node: Node) -> Capture:
    """Return what the kernel is to record for this filter.

    Raises:
        QueryError: The kernel cannot apply a condition.
    """
    condition = _condition(node)
    if not condition.uids:
        raise QueryError("no uid meets these conditions, so the kernel would record nothing", *_span(node))
    paths, excluded = condition.paths or _Paths(), condition.excluded
    uids = () if condition.uids == _EVERY_UID else condition.uids
    return Capture(uids, paths.exact, paths.prefixes, excluded.exact, excluded.prefixes)


def divided(text: str, node: Node) -> tuple[str, tuple[str, ...]]:
    """Return the part of a filter that the kernel can apply, as a filter, and the conditions that it cannot.

    The part selects everything that the whole filter selects: it only leaves out further conditions.

    Raises:
        QueryError: The kernel can apply none of it.
    """
    applied: list[str] = []
    left_out: list[str] = []
    so_far: tuple[Node, ...] = ()
    for part, (start, end) in _conjuncts(node, (0, len(text))):
        written = text[start:end].strip()
        try:
            _condition(And((*so_far, part)))
        except QueryError:
            left_out.append(written)
        else:
            so_far = (*so_far, part)
            applied.append(written)
    if not applied or not left_out:
        capture(node)
        return text.strip(), ()
    capture(And(so_far))
    return " ".join(applied), tuple(left_out)


def _conjuncts(node: Node, place: tuple[int, int]) -> Iterator[tuple[Node, tuple[int, int]]]:
    """Yield the conditions that must all hold, with their places."""
    if isinstance(node, And) and node.parts:
        for part, own in zip(node.parts, node.places, strict=True):
            yield from _conjuncts(part, own)
    else:
        yield node, place


def _condition(node: Node) -> _Condition:
    if isinstance(node, Term):
        return _of_term(node)
    if isinstance(node, Not):
        return _not(node)
    if isinstance(node, And):
        return _and(node)
    assert isinstance(node, Or)
    return _or(node)


def _of_term(term: Term) -> _Condition:
    name = term.field.name
    if term.field.kind is Kind.USER or name == "uid":
        if isinstance(term.test, InRanges):
            uids = _united(
                [(low or 0, _LARGEST_UID if high is None else high) for low, high in term.test.bounds]
            )
            return _Condition(_complement(uids) if term.negate else uids)
    elif name == "path":
        paths = _Paths(term.exact, term.prefixes)
        if paths:
            return _Condition(excluded=paths) if term.negate else _Condition(paths=paths)
        raise QueryError(
            "the kernel compares a path only as path==/bin/a, path:/opt/** or !path:/opt/**",
            term.start,
            term.end,
        )
    raise QueryError(
        f"the kernel can apply conditions on uid and path only, not on {name}", term.start, term.end
    )


def _not(node: Not) -> _Condition:
    inner = _condition(node.part)
    if not inner.is_of_path:
        return _Condition(_complement(inner.uids))
    if inner.uids != _EVERY_UID or (inner.paths and inner.excluded):
        raise QueryError("the kernel can exclude uids and paths, but not a combination of both", *_span(node))
    return (
        _Condition(paths=inner.excluded) if inner.excluded else _Condition(excluded=inner.paths or _Paths())
    )


def _and(node: And) -> _Condition:
    uids, paths, excluded = _EVERY_UID, None, _Paths()
    for part in node.parts:
        condition = _condition(part)
        uids, excluded = _common(uids, condition.uids), excluded | condition.excluded
        if condition.paths is not None:
            if paths is not None:
                raise QueryError(
                    "the kernel can apply only one condition on path; join them with or", *_span(part)
                )
            paths = condition.paths
    return _Condition(uids, paths, excluded)


def _or(node: Or) -> _Condition:
    parts = [_condition(part) for part in node.parts]
    if len(parts) == 1:
        return parts[0]
    if not any(part.is_of_path for part in parts):
        return _Condition(_united([uids for part in parts for uids in part.uids]))
    paths = [part.paths for part in parts if part.paths is not None]
    if len(paths) < len(parts) or any(part.uids != _EVERY_UID or part.excluded for part in parts):
        raise QueryError(
            "the kernel can apply or only between uids, or between paths to record",
            *_span(node),
        )
    return _Condition(paths=functools.reduce(operator.or_, paths))


def _distinct(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _span(node: Node) -> tuple[int, int]:
    terms = list(node.terms())
    return min(term.start for term in terms), max(term.end for term in terms)


def _united(ranges: list[tuple[int, int]]) -> Ranges:
    """Return the same uids in as few ranges as possible, in order."""
    united: list[tuple[int, int]] = []
    for low, high in sorted((max(low, 0), min(high, _LARGEST_UID)) for low, high in ranges):
        if low > high:
            continue
        if united and low <= united[-1][1] + 1:
            united[-1] = united[-1][0], max(united[-1][1], high)
        else:
            united.append((low, high))
    return tuple(united)


def _complement(ranges: Ranges) -> Ranges:
    edges = [-1, *(edge for low, high in ranges for edge in (low, high)), _LARGEST_UID + 1]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((low + 1, high - 1) for low, high in pairs if low + 1 <= high - 1)


def _common(one: Ranges, other: Ranges) -> Ranges:
    return _united([(max(a, c), min(b, d)) for a, b in one for c, d in other])
