"""The screen's sentences about its own state; all are printable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from execwhy.bpf.events.source import Stage, Status
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query.fields import FIELDS
from execwhy.tui.model.query.hint import hint
from execwhy.tui.model.text.counted import counted
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.view.view import View
from execwhy.tui.widgets.bars.key_bar import Hint
from execwhy.tui.widgets.body import Body

GREETING: Final = "↑ goes to a row, Enter says why it failed; / filters, ? helps, q quits"
"""For those who see the screen for the first time."""

GREETING_BESIDE_DETAIL: Final = (
    "↑ goes to a row, the detail says why it failed; / filters, t groups, ? helps, q quits"
)
"""The same if the detail is open, and Enter would close it."""

EVICTED: Final = "It has been evicted from memory: nothing of it is left to copy."
"""For a row of a frozen view."""

_BEFORE_LIVE: Final = {
    Stage.STARTING: "Starting…",
    Stage.COMPILING: "Compiling the BPF program…",
    Stage.ATTACHING: "Attaching to the kernel…",
    Stage.LIVE: "No exec has failed yet: try /no/such/program in another shell",
    Stage.READING: "Reading…",
    Stage.WAITING: "No failed exec has come yet",
    Stage.ENDED: "There is no failed exec in it",
    Stage.FAILED: "No events can come any more",
}


def shown(status: Status, view: View, history: History, capture: str) -> tuple[str, str]:
    """Say how much is shown, what the kernel filters and how much of a file is here: in full, and briefly."""
    parts = []
    if status.stage is Stage.WAITING and history.blocks:
        parts.append(f"last event {_moment(history.blocks[-1].newest)}")
    is_file = status.stage in (Stage.READING, Stage.WAITING, Stage.ENDED)
    files = "these files" if status.is_merged else "this file"
    if is_file and history.evicted:
        parts.append(f"{history.failures:,} of {files} in memory")
    elif is_file and history.failures != status.counters.seen:
        parts.append(f"{history.failures:,} in {files}")
    if capture:
        parts.append(
            "in the kernel" if capture == view.query.text else f"in the kernel: {printable(capture)}"
        )
    if not view.complete:
        parts.append(f"filtering {view.progress:.0%}")
    folded_away = ""
    gone, _ = view.evicted()
    if gone or view.failures > view.shown or not view.query.is_empty:
        repeats, tries = view.counted - view.shown, view.folded - view.hidden + view.hidden_found
        folded = [counted(repeats, "repeat")] if repeats else []
        folded += [counted(tries, "try", "tries")] if tries else []
        folded_away = f", {' and '.join(folded)} folded" if folded else ""
        if view.hidden:
            folded_away += f", {counted(view.hidden, 'try', 'tries')} of found searches hidden"
        parts.append(f"{view.shown - gone:,} of {history.failures:,} shown")
        if gone:
            parts.append(f"{gone:,} evicted")
    brief = "   ".join(parts)
    return brief + folded_away, brief


def missing(status: Status, view: View, history: History, behind: int) -> str:
    """Say what a snapshot made now lacks, though the filter might select it."""
    said = []
    if history.evicted:
        verb = "is" if history.evicted == 1 else "are"
        said.append(f"{history.evicted:,} evicted from memory {verb} not in it.")
    if behind:
        said.append(f"{behind:,} that the screen is behind {'is' if behind == 1 else 'are'} not in it.")
    if status.stage is Stage.READING:
        said.append("More is still being read.")
    if not view.complete:
        said.append(f"The filter has looked at {view.progress:.0%} only.")
    return " ".join(said)


def _moment(timestamp: int) -> str:
    """Return a time in nanoseconds since 1970 UTC as local time, with the date if it is not today."""
    local = datetime.fromtimestamp(timestamp // 1_000_000_000)
    return f"{local:%H:%M:%S}" if local.date() == datetime.now().date() else f"{local:%Y-%m-%d %H:%M:%S}"


def empty(status: Status, view: View, history: History, *, editing: bool) -> str:
    """Say why the table shows no failed exec, and which key shows some; "" if it shows one."""
    if view.shown:
        return ""
    if status.stage is Stage.FAILED and status.detail:
        return printable(status.detail)
    if history.failures and not view.complete:
        return f"Filtering {view.progress:.0%}…"
    if view.failures:
        tries = counted(view.hidden, "try", "tries")
        return f"Only {tries} of PATH searches that found their program: h shows them"
    if history.failures and not view.query.is_empty:
        key = "Esc reverts" if editing else "c clears"
        nothing = f"Nothing matches {printable(view.query.text)}; {history.failures:,} hidden, {key}"
        said = printable(hint(view.query, history, len(history.blocks)))
        return f"{nothing}. {said}" if said else nothing
    if status.stage is Stage.LIVE and status.detail:
        return f"No failed exec has come yet from {printable(status.detail)}"
    if status.stage in (Stage.READING, Stage.WAITING, Stage.ENDED) and status.detail:
        return f"{_BEFORE_LIVE[status.stage]}: {printable(status.problem or status.detail)}"
    return _BEFORE_LIVE[status.stage]


def nothing_shown(view: View, history: History) -> str:
    """Say what to do after a key that needs a row, if the table has none."""
    if view.failures:
        return "Nothing is shown: h shows the searches that found their program."
    if history.failures and not view.query.is_empty:
        return "Nothing is shown: c clears the filter."
    return "Nothing is shown: no exec has failed yet."


def alone(message: str) -> str:
    """Return what is wrong with a filter as a sentence; raw text."""
    first, _, _ = message.partition(" ")
    sentence = message if first in FIELDS else message[:1].upper() + message[1:]
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def searches(shown: bool) -> str:
    """Say whether searches that found their program are shown from now on."""
    if shown:
        return "Searches that found their program are shown; h hides them."
    return "Searches that found their program are hidden; h shows them."


def repeats(folded: bool) -> str:
    """Say whether repeats of a failure share its row from now on."""
    if folded:
        return "The same failure of the same program again within a minute has no row of its own; r unfolds."
    return "Every failure has a row of its own; r folds repeats again."


def mouse(has_mouse: bool) -> str:
    """Say whose mouse it is from now on."""
    return "The mouse is back." if has_mouse else "The mouse is the terminal's; F2 takes it back."


def copied(*, in_tmux: bool) -> str:
    """Say that a text was sent to the clipboard, and what may stop it on its way."""
    if in_tmux:
        return "Copied; tmux passes it on only after tmux set -g set-clipboard on (OSC 52)."
    return "Copied, where the terminal allows it (OSC 52)."


def captured(text: str, left_out: Sequence[str]) -> str:
    """Say what the kernel records from now on, and which conditions it cannot apply."""
    if not text:
        return "The kernel records everything again."
    if left_out:
        return (
            f"The kernel cannot apply {' '.join(left_out)}, so it records all of {text}; what else fails is "
            "counted as suppressed. K ends it."
        )
    return f"The kernel records only {text}; all else costs little and is counted as suppressed. K ends it."


def group_keys(frozen: bool) -> tuple[Hint, ...]:
    """Return the keys that work while the groups are shown."""
    return (
        ("Enter", "its events", ""),
        ("← →", "group by", ""),
        ("s", "sort", ""),
        ("Space", "go on" if frozen else "freeze", "freeze"),
        ("Esc", "events", "groups"),
        ("?", "help", "help"),
        ("q", "quit", "quit"),
    )


def keys(editing: bool, body: Body, frozen: bool) -> tuple[Hint, ...]:
    """Return the keys that work now, the most useful first."""
    if editing:
        return (("Enter", "keep", ""), ("Esc", "revert", ""), ("↑ ↓", "earlier filters", ""))
    if body.detail_is_all:
        return (
            ("Esc", "back", "close_layer"),
            ("↑ ↓ ← →", "facts", ""),
            ("+ -", "filter", ""),
            ("y", "copy", "copy"),
            ("?", "help", "help"),
            ("q", "quit", "quit"),
        )
    table = body.table
    follow = "following" if table.following else "follow"
    if not table.following and table.rows_below:
        follow = f"follow, {table.rows_below:,} below"
    return (
        ("/", "filter", "filter"),
        ("f", follow, "follow"),
        ("Space", "go on" if frozen else "freeze", "freeze"),
        ("Enter", "hide detail" if body.detail_is_open else "detail", "detail"),
        ("t", "groups", "groups"),
        ("w", "snapshot", "write"),
        ("?", "help", "help"),
        ("q", "quit", "quit"),
    )
