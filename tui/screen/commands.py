"""The palette's commands: what the keys do, by their names, in the order in which one needs them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from execwhy.tui.widgets.groups.group_pane import GroupPane

_OF_EVENTS: Final = frozenset(
    {
        "detail", "follow", "search", "go-to-time", "next-match", "previous-match", "mark", "next-mark",
        "found-searches", "repeats",
    }
)  # fmt: skip
"""Bindings, by their ids, of the table of events: the groups have nothing that they would do."""

_KEY: Final = 6
"""Cells of a key's name."""

THEME: Final = "Choose a theme: dark, light, contrast, terminal, mono"


class Commands(Provider):
    """Offers each binding of the app that is told of, and the themes."""

    async def discover(self) -> Hits:
        """All of them."""
        for name, key, action in self._commands():
            shown = Content.assemble((f"{key:>{_KEY}}  ", "bold"), name)
            yield DiscoveryHit(shown, partial(self.app.run_action, action), text=name)

    async def search(self, query: str) -> Hits:
        """Those that what was typed may stand for."""
        matcher = self.matcher(query)
        for name, key, action in self._commands():
            if (score := matcher.match(name)) > 0:
                shown = Content.assemble((f"{key:>{_KEY}}  ", "bold"), matcher.highlight(name))
                yield Hit(score, shown, partial(self.app.run_action, action), text=name)

    def _commands(self) -> Iterator[tuple[str, str, str]]:
        """What each does, its key and its action."""
        in_groups = any(pane.display for pane in self.app.query(GroupPane))
        told: set[str | None] = set()
        for binding in Binding.make_bindings(self.app.BINDINGS):
            if binding.show and binding.id not in told and not (in_groups and binding.id in _OF_EVENTS):
                # One that has several keys is told with the first.
                told.add(binding.id)
                yield binding.description, self.app.get_key_display(binding), f"app.{binding.action}"
        yield THEME, "", "app.change_theme"
