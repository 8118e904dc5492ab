"""The filters that options ask for."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from execwhy.tui.cli.arguments import scope_text
from execwhy.tui.cli.options import UsageError

if TYPE_CHECKING:
    from execwhy.bpf.events.source import Capture
    from execwhy.tui.model.query import Query


def requested_filter(options: Namespace) -> Query:
    """Return the filter that ``--uid``, ``--path`` and ``--filter`` make together.

    Raises:
        UsageError: One of them is not a filter.
    """
    from execwhy.tui.model.query import both

    scope = _parsed(scope_text(options), "--path")
    query = both(scope, _parsed(options.filter, "--filter"))
    # The screen parses this text again, and the parts together may be longer than a filter can be.
    return _parsed(query.text, "--filter")


def capture_filter(options: Namespace) -> Capture | None:
    """Return the filter that the kernel is to apply; None for no filter.

    Raises:
        UsageError: It is not a filter, or the kernel cannot apply it.
    """
    if options.capture is None:
        return None
    from execwhy.tui.model.query import QueryError

    query = _parsed(options.capture, "--capture")
    try:
        return query.capture()
    except QueryError as error:
        raise UsageError(f"--capture: {error.message}: {options.capture}") from None


def _parsed(text: str, option: str) -> Query:
    from execwhy.tui.model.query import QueryError, parse

    try:
        return parse(text)
    except QueryError as error:
        raise UsageError(f"{option}: {error.message}, at column {error.start + 1} of: {text}") from None
