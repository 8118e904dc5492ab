"""The part of a filter that the kernel can apply: uid, and path exactly or by its beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bpf.source import Capture
from tui.model.query_fields import Kind
from tui.model.query_lexer import QueryError
from tui.model.query_terms import And, InRanges, Node, Not, Or, Term

_LARGEST_UID: Final = 2**32 - 1

Ranges = tuple[tuple[int, int], ...]
_EVERY_UID: Final[Ranges] = ((0, _LARGEST_UID),)


@dataclass(frozen=True, slots=True)
class _Paths:
    """Paths that pass: exact ones, and those with one of the prefixes."""

    exact: tuple[str, ...]
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Condition:
    """Both must hold; ``paths`` None is any path."""

    uids: Ranges = _EVERY_UID
    paths: _Paths | None = None


def capture(node: Node) -> Capture:
    """What the kernel is to record for this filter.

    Raises:
        QueryError: A condition that the kernel cannot apply, and where it stands.
    """
    condition = _condition(node)
    if not condition.uids:
        raise QueryError("no uid meets these conditions, so the kernel would record nothing", *_span(node))
    paths = condition.paths or _Paths((), ())
    uids = () if condition.uids == _EVERY_UID else condition.uids
    return Capture(uids, paths.exact, paths.prefixes)


def divided(text: str, node: Node) -> tuple[str, tuple[str, ...]]:
    """The part of a filter that the kernel can apply, as a filter, and the conditions that it cannot.

    What the whole filter selects, that part selects too: it leaves out conditions that must hold besides.

    Raises:
        QueryError: Why the kernel can apply none of it.
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
    """The conditions that must all hold, with their places."""
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
        if (term.exact or term.prefixes) and not term.negate:
            return _Condition(paths=_Paths(term.exact, term.prefixes))
        raise QueryError(
            "the kernel can compare a path only as path==/usr/bin/a or path:/opt/**", term.start, term.end
        )
    raise QueryError(
        f"the kernel can apply conditions on uid and path only, not on {name}", term.start, term.end
    )


def _not(node: Not) -> _Condition:
    inner = _condition(node.part)
    if inner.paths is not None:
        raise QueryError("the kernel can exclude a uid, but no path", *_span(node))
    return _Condition(_complement(inner.uids))


def _and(node: And) -> _Condition:
    uids, paths = _EVERY_UID, None
    for part in node.parts:
        condition = _condition(part)
        uids = _common(uids, condition.uids)
        if condition.paths is not None:
            if paths is not None:
                raise QueryError("the kernel can apply one condition on path; join them by or", *_span(part))
            paths = condition.paths
    return _Condition(uids, paths)


def _or(node: Or) -> _Condition:
    parts = [_condition(part) for part in node.parts]
    if all(part.paths is None for part in parts):
        return _Condition(_united([uids for part in parts for uids in part.uids]))
    paths = [part.paths for part in parts if part.paths is not None]
    if len(paths) < len(parts) or any(part.uids != _EVERY_UID for part in parts):
        raise QueryError(
            "the kernel cannot apply an or between uid and path: ask it for one of them", *_span(node)
        )
    exact = tuple(path for part in paths for path in part.exact)
    return _Condition(paths=_Paths(exact, tuple(path for part in paths for path in part.prefixes)))


def _span(node: Node) -> tuple[int, int]:
    terms = list(node.terms())
    return min(term.start for term in terms), max(term.end for term in terms)


def _united(ranges: list[tuple[int, int]]) -> Ranges:
    """The same uids in as few ranges as can be, in order."""
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
