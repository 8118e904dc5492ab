"""A one-line editor for keys that come faster than they are handled: pasted, or sent by a script."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.widgets import Input

_EDITING: Final = ("cursor_", "delete_", "home", "end")
"""How the actions begin that change the text or the place in it."""


class OrderedInput(Input):
    """Handles each editing key where it was typed.

    Textual hands a key that has a binding from widget to widget first, and the letters behind it, which the
    input takes at once, would overtake it: Ctrl-U would delete what was typed after it.
    """

    async def _on_key(self, event: events.Key) -> None:
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if binding.action.startswith(_EDITING):
                event.stop()
                event.prevent_default()
                await self.run_action(binding.action)
                return
