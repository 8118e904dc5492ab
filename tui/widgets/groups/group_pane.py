"""The groups and what they are grouped by, with the keys to choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from execwhy.tui.faults.contained import Contained
from execwhy.tui.model.history.store import History
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.view.group_by import BY
from execwhy.tui.model.view.groups import Group
from execwhy.tui.model.view.view import View
from execwhy.tui.widgets.groups.group_columns import group_text, rate_text, why_text
from execwhy.tui.widgets.groups.group_header import GroupHeader, Heading
from execwhy.tui.widgets.groups.group_table import GroupTable
from execwhy.tui.widgets.painting.accounts import user_name


class GroupPane(Contained, Vertical):
    """Takes the place of the table of events while it is displayed.

    Keys are digits and arrows, so that letters keep their meaning everywhere: ``c`` clears the filter
    here as well, ``w`` writes a snapshot.
    """

    DEFAULT_CSS = """
    GroupPane {
        width: 100%;
        height: 1fr;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"group_by('{name}')", f"By {name}", show=False)
            for number, name in enumerate(BY, 1)
        ),
        Binding("left", "other(-1)", "Group by the one before", show=False),
        Binding("right", "other(1)", "Group by the next", show=False),
        Binding("s", "sort", "Sort by rate or count", show=False),
        Binding("escape", "close", "Back", show=False),
    ]

    class Opened(Message):
        """Show the events of a group: those where the filter's ``field`` equals ``value``."""

        def __init__(self, field: str, value: object) -> None:
            super().__init__()
            self.field = field
            self.value = value

    class Refused(Message):
        """A group cannot be opened; ``reason`` is one printable sentence."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    class Closed(Message):
        """Show the table of events again."""

    def __init__(
        self,
        history: History,
        view: View,
        clock: Callable[[], int],
        *,
        show_secrets: bool,
        id: str | None = None,
    ) -> None:
        """Make it; nothing is counted before ``sync``.

        Args:
            history: Where the events are.
            view: Which of them count.
            clock: Returns the time that rates and ages refer to, nanoseconds since 1970 UTC: now while
                events come live, or the end of a file or a frozen view.
            show_secrets: Nothing is masked.
            id: Textual's.
        """
        super().__init__(id=id)
        self.header = GroupHeader()
        self.table = GroupTable(history, view, clock, show_secrets=show_secrets)
        self._view = view

    def compose(self) -> ComposeResult:
        """Yield headings and groups."""
        yield self.header
        yield self.table

    def sync(self, seconds: float) -> bool:
        """Take in what has changed, for about this long; return whether there is more to do.

        Call it a few times a second, and only while this is displayed.
        """
        return self.table.sync(seconds)

    @property
    def condition(self) -> tuple[str, object] | None:
        """Field and value of the group under the cursor, for a filter; None if there is none.

        A masked text cannot be a condition: the filter would show it.
        """
        group = self.table.focused_group()
        if group is None or self._is_masked(group):
            return None
        return self.table.by.field, self.table.by.asked(group.value)

    @property
    def text(self) -> str | None:
        """The group under the cursor, printable, for the clipboard."""
        group = self.table.focused_group()
        if group is None:
            return None
        mask = self.table.masker(group)
        value, why = mask(group_text(group, self.table.by)), mask(why_text(group, self.table.by))
        users = ", ".join(user_name(uid) or str(uid) for uid in group.uids)
        more = group.users - len(group.uids)
        texts = (
            f"{group.count:,}",
            f"{rate_text(group.rate)}/s",
            value,
            why,
            users + (f" +{more}" if more else ""),
        )
        return "  ".join(map(printable, texts))

    def _is_masked(self, group: Group) -> bool:
        return isinstance(group.value, str) and self.table.masker(group)(group.value) != group.value

    @on(GroupTable.Changed)
    def _show_heading(self) -> None:
        table, groups = self.table, self.table.groups
        progress = 1.0
        if not groups.complete:
            # A reader who sees 100 % while it goes on no longer believes the number.
            progress = min(0.99, groups.failures / max(1, self._view.counted) * self._view.progress)
        self.header.show(Heading(table.by.name, table.by_rate, len(groups), groups.failures, progress))

    @on(GroupHeader.Chosen)
    def _chosen(self, message: GroupHeader.Chosen) -> None:
        self.action_group_by(message.name)

    @on(GroupHeader.Sorted)
    def _sorted(self, message: GroupHeader.Sorted) -> None:
        self.table.sort(by_rate=message.by_rate)
        self._show_heading()

    @on(GroupTable.Opened)
    def _open(self, message: GroupTable.Opened) -> None:
        group = message.group
        if self._is_masked(group):
            self.post_message(self.Refused("A masked text cannot be a filter: the filter would show it."))
        else:
            self.post_message(self.Opened(self.table.by.field, self.table.by.asked(group.value)))

    def action_group_by(self, name: str) -> None:
        """Group by something else."""
        self.table.group_by(name)
        self._show_heading()

    def action_other(self, step: int) -> None:
        """Group by the next name, or the one before."""
        names = list(BY)
        self.action_group_by(names[(names.index(self.table.by.name) + step) % len(names)])

    def action_sort(self) -> None:
        """Sort by count instead of rate, or by rate again."""
        self.table.sort(by_rate=not self.table.by_rate)

    def action_close(self) -> None:
        """Back to the events."""
        self.post_message(self.Closed())
