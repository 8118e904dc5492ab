"""The program's two themes: one hue for each class of error, red for loss and danger alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from textual.theme import Theme

DARK: Final = Theme(
    name="execwhy-dark",
    dark=True,
    primary="#6cb0f5",
    secondary="#6cb0f5",
    accent="#6cb0f5",
    warning="#e8b04a",
    error="#ff6b64",
    success="#6cc784",
    foreground="#a7adb9",
    background="#121418",
    surface="#171a1f",
    panel="#1e2228",
    variables={
        "foreground-muted": "#767e8c",
        "rule": "#343a45",
        "text-name": "#c3c9d4",
        "text-strong": "#ffffff",
        "class-missing": "#6cb0f5",
        "class-forbidden": "#e8a24a",
        "class-malformed": "#c59bf2",
        "class-limits": "#56c5b8",
        "cursor-background": "#2c3542",
        "cursor-blurred-background": "#20252d",
        "cell-background": "#4a5f7c",
        "cell-foreground": "#ffffff",
    },
)

LIGHT: Final = Theme(
    name="execwhy-light",
    dark=False,
    primary="#1f5fae",
    secondary="#1f5fae",
    accent="#1f5fae",
    warning="#8a5a00",
    error="#c0211f",
    success="#1d7a3c",
    foreground="#454b57",
    background="#fbfbfa",
    surface="#f4f4f2",
    panel="#eaeae7",
    variables={
        "foreground-muted": "#6d727c",
        "rule": "#cfcfca",
        "text-name": "#343943",
        "text-strong": "#000000",
        "class-missing": "#1f5fae",
        "class-forbidden": "#9a5200",
        "class-malformed": "#7a3fb0",
        "class-limits": "#0d7268",
        "cursor-background": "#d9e4f2",
        "cursor-blurred-background": "#ececea",
        "cell-background": "#b3cbea",
        "cell-foreground": "#000000",
    },
)

TERMINAL: Final = "ansi-dark"
"""Textual's theme that uses the terminal's own 16 colours and its background."""

VARIABLES: Final[Mapping[str, str]] = {
    "rule": "ansi_bright_black",
    "text-name": "ansi_default",
    "text-strong": "ansi_default",
    "class-missing": "ansi_cyan",
    "class-forbidden": "ansi_yellow",
    "class-malformed": "ansi_magenta",
    "class-limits": "ansi_blue",
    "cursor-background": "ansi_default",
    "cursor-blurred-background": "ansi_default",
    "cell-background": "ansi_default",
    "cell-foreground": "ansi_default",
}
"""What theme.tcss needs beyond Textual's own, for themes that are not of this program."""


def first_theme(environment: Mapping[str, str]) -> str:
    """The theme to open with.

    NO_COLOR and terminals of 16 colours get the terminal's own; COLORFGBG, where a terminal sets it,
    tells a light background ("0;15": the second number is the background's colour).
    """
    if "NO_COLOR" in environment or not _has_many_colours(environment):
        return TERMINAL
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name


def _has_many_colours(environment: Mapping[str, str]) -> bool:
    """The same rule by which Rich chooses: COLORTERM, or a TERM that names 256 colours."""
    if environment.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return True
    term = environment.get("TERM", "").strip().lower()
    return term.endswith(("-256color", "-direct", "kitty"))
