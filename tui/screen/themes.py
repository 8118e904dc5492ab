"""The program's themes: one hue for each class of error, red for loss and danger alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from textual.theme import BUILTIN_THEMES, Theme

DARK: Final = Theme(
    name="dark",
    dark=True,
    primary="#6cb0f5",
    secondary="#6cb0f5",
    accent="#6cb0f5",
    warning="#e8b04a",
    error="#ff7a73",
    success="#6cc784",
    foreground="#b3b9c5",
    background="#121418",
    surface="#171a1f",
    panel="#1e2228",
    variables={
        "foreground-muted": "#8d95a3",
        "rule": "#343a45",
        "text-name": "#cdd3dd",
        "text-strong": "#ffffff",
        "class-missing": "#6cb0f5",
        "class-forbidden": "#e8a24a",
        "class-malformed": "#c59bf2",
        "class-limits": "#56c5b8",
        "cursor-background": "#252e3a",
        "cursor-blurred-background": "#20252d",
        "cell-background": "#4a5f7c",
        "cell-foreground": "#ffffff",
    },
)

LIGHT: Final = Theme(
    name="light",
    dark=False,
    primary="#1f5fae",
    secondary="#1f5fae",
    accent="#1f5fae",
    warning="#8a5a00",
    error="#c0211f",
    success="#176734",
    foreground="#454b57",
    background="#fbfbfa",
    surface="#f4f4f2",
    panel="#eaeae7",
    variables={
        "foreground-muted": "#5d626c",
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

CONTRAST: Final = Theme(
    name="contrast",
    dark=True,
    primary="#8cd0ff",
    secondary="#8cd0ff",
    accent="#8cd0ff",
    warning="#ffd24d",
    error="#ffada8",
    success="#8df0a5",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1c1c1c",
    variables={
        "foreground-muted": "#d4d4d4",
        "rule": "#9a9a9a",
        "text-name": "#ffffff",
        "text-strong": "#ffffff",
        "class-missing": "#8cd0ff",
        "class-forbidden": "#ffc266",
        "class-malformed": "#e2b8ff",
        "class-limits": "#72ead9",
        "cursor-background": "#002f60",
        "cursor-blurred-background": "#2a2a2a",
        "cell-background": "#ffffff",
        "cell-foreground": "#000000",
    },
)


def _of_the_terminal(name: str, hues: Mapping[str, str], cursor: Mapping[str, str]) -> Theme:
    """A theme on the terminal's own background, in its own colours.

    Textual's own widgets ask for more than this program does: what they get by default is kept, without
    its hues where ``hues`` has none.
    """
    base = BUILTIN_THEMES["ansi-dark"].variables
    if "ansi_cyan" not in hues.values():
        base = {role: "ansi_default" if hue.startswith("ansi") else hue for role, hue in base.items()}
    variables = dict.fromkeys(
        (
            "text-name", "text-strong", "cursor-background", "cursor-blurred-background",
            "cell-background", "cell-foreground",
        ),
        "ansi_default",
    )  # fmt: skip
    return Theme(
        name=name,
        ansi=True,
        dark=True,
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        primary=hues["class-missing"],
        secondary=hues["class-missing"],
        accent=hues["class-missing"],
        warning=hues["class-forbidden"],
        error=hues["error"],
        success=hues["success"],
        variables={
            **base,
            **variables,
            **{role: hue for role, hue in hues.items() if role.startswith(("class", "rule"))},
            **cursor,
        },
    )


TERMINAL: Final = _of_the_terminal(
    "terminal",
    {
        "class-missing": "ansi_cyan",
        "class-forbidden": "ansi_yellow",
        "class-malformed": "ansi_magenta",
        "class-limits": "ansi_bright_blue",
        "error": "ansi_red",
        "success": "ansi_green",
        "rule": "ansi_bright_black",
    },
    {
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_cyan",
        "input-cursor-background": "ansi_default",
        "input-cursor-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
    },
)
"""The terminal's own 16 colours, whatever they are, on its own background."""

MONO: Final = _of_the_terminal(
    "mono",
    dict.fromkeys(
        (
            "class-missing", "class-forbidden", "class-malformed", "class-limits", "error", "success", "rule",
        ),
        "ansi_default",
    ),
    {
        "block-cursor-background": "ansi_default",
        "block-cursor-foreground": "ansi_default",
        "block-cursor-text-style": "reverse",
        "input-cursor-text-style": "reverse",
        "border": "ansi_default",
    },
)  # fmt: skip
"""No colour at all: bold, dim and reversed text."""

THEMES: Final = {theme.name: theme for theme in (DARK, LIGHT, CONTRAST, TERMINAL, MONO)}

VARIABLES: Final = DARK.variables
"""Names that theme.tcss knows beyond Textual's own."""

VARIABLE: Final = "EXECWHY_THEME"
"""The environment variable that names the theme to begin with."""


def first_theme(environment: Mapping[str, str], asked: str | None = None) -> str:
    """The theme to begin with.

    What the command line asks for comes first, then NO_COLOR, then ``EXECWHY_THEME`` where it names a
    theme. Without them terminals of 16 colours get their own; COLORFGBG, if the terminal sets it, shows a
    light background ("0;15": the last number is the background's colour).
    """
    if asked is not None:
        return asked
    if environment.get("NO_COLOR"):
        return MONO.name
    if environment.get(VARIABLE, "") in THEMES:
        return environment[VARIABLE]
    if not _has_many_colours(environment):
        return TERMINAL.name
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name


def _has_many_colours(environment: Mapping[str, str]) -> bool:
    """The same rule by which Rich chooses: COLORTERM, or a TERM that names 256 colours."""
    if environment.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return True
    term = environment.get("TERM", "").strip().lower()
    return term.endswith(("-256color", "-direct", "kitty"))
