"""Every theme is readable: text contrasts with its background, and requests for a theme are followed."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import Theme

from execwhy.tui.cli.options import THEME_NAMES
from execwhy.tui.screen.themes import CONTRAST, DARK, LIGHT, MONO, TERMINAL, THEMES, first_theme

TEXTS = (
    "foreground", "foreground-muted", "text-name", "text-strong", "class-missing", "class-forbidden",
    "class-malformed", "class-limits", "error", "success", "warning",
)  # fmt: skip
BEHIND = ("background", "surface", "panel", "cursor-background", "cursor-blurred-background")
MANY = {"TERM": "xterm-256color"}


def colours(theme: Theme) -> dict[str, str]:
    own = {name: str(getattr(theme, name)) for name in ("foreground", "background", "surface", "panel")}
    return {
        **own,
        **{name: str(getattr(theme, name)) for name in ("error", "success", "warning")},
        **theme.variables,
    }


def _linear(part: int) -> float:
    return part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.1 has it."""
    parts = [part / 255 for part in Color.parse(colour).rgb]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("theme", [DARK, LIGHT, CONTRAST], ids=lambda theme: theme.name)
def test_text_has_enough_contrast_on_every_background(theme: Theme, text: str) -> None:
    known = colours(theme)
    ratios = {behind: round(contrast(known[text], known[behind]), 2) for behind in BEHIND}
    assert min(ratios.values()) >= (7.0 if theme is CONTRAST else 4.5), ratios


@pytest.mark.parametrize("theme", [DARK, LIGHT, CONTRAST], ids=lambda theme: theme.name)
def test_a_focused_cell_has_enough_contrast(theme: Theme) -> None:
    known = colours(theme)
    assert contrast(known["cell-foreground"], known["cell-background"]) >= 4.5


def test_the_colourless_theme_has_no_colour() -> None:
    own = {name: value for name, value in colours(MONO).items() if value.startswith(("ansi", "#"))}
    assert set(own.values()) == {"ansi_default"}


def test_the_terminal_theme_uses_only_the_terminals_colours() -> None:
    assert not any(value.startswith("#") for value in colours(TERMINAL).values())


def test_the_command_line_knows_every_theme() -> None:
    assert set(THEME_NAMES) == set(THEMES)


@pytest.mark.parametrize(
    ("environment", "asked", "name"),
    [
        (MANY, None, "dark"),
        (MANY | {"COLORFGBG": "0;15"}, None, "light"),
        (MANY | {"COLORFGBG": "15;0"}, None, "dark"),
        ({"TERM": "linux"}, None, "terminal"),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, None, "dark"),
        (MANY | {"NO_COLOR": "1"}, None, "mono"),
        (MANY | {"NO_COLOR": ""}, None, "dark"),
        (MANY | {"EXECWHY_THEME": "light"}, None, "light"),
        (MANY | {"EXECWHY_THEME": "no-such"}, None, "dark"),
        (MANY | {"EXECWHY_THEME": "light", "NO_COLOR": "1"}, None, "mono"),
        (MANY | {"EXECWHY_THEME": "light", "NO_COLOR": "1"}, "contrast", "contrast"),
    ],
)
def test_the_most_explicit_choice_of_theme_wins(
    environment: dict[str, str], asked: str | None, name: str
) -> None:
    assert first_theme(environment, asked) == name
