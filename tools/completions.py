"""Generate completions/ for bash, zsh and fish from the options.

Run by ``make completions``; a test fails if that was forgotten.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from execwhy.tui.cli.options import parser  # noqa: E402
from execwhy.tui.model.query.fields import FIELDS  # noqa: E402

_NOTE: Final = "# Made by tools/completions.py: run `make completions` after a change of the options.\n"
_KINDS: Final = {"FILE|-": "file", "FILE": "file", "PREFIX": "file", "EXPR": "filter", "N|NAME": "user"}
"""The kind of an option's value, by its name in the help; all others are numbers."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option, as a shell completes it.

    Attributes:
        names: "-h", "--help".
        help: What it does, in one line.
        kind: "" if it takes no value, else "file", "filter", "user", "choice" or "number".
        choices: The values of a "choice".
        metavar: The name of the value in the help.
        many: Whether it takes several values.
    """

    names: tuple[str, ...]
    help: str
    kind: str
    choices: tuple[str, ...]
    metavar: str
    many: bool


def options() -> Iterator[Option]:
    """Yield the options in the order of the help."""
    for action in parser()._actions:
        choices = tuple(map(str, action.choices or ()))
        metavar = str(action.metavar or action.dest)
        takes_none = action.nargs == 0 or isinstance(action, argparse._StoreTrueAction)
        kind = "" if takes_none else "choice" if choices else _KINDS.get(metavar, "number")
        yield Option(
            tuple(action.option_strings), action.help or "", kind, choices, metavar, action.nargs == "+"
        )


def _fields() -> str:
    return " ".join(sorted(FIELDS))


def bash() -> str:
    """Return the completions for bash 4 and later, which do not need bash-completion."""
    cases = []
    for kind, action in (
        ("file", 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word")'),
        ("user", 'mapfile -t COMPREPLY < <(compgen -u -- "$word")'),
        ("filter", '_execwhy_filter "$word"'),
        ("number", ":"),
    ):
        names = "|".join(name for option in options() if option.kind == kind for name in option.names)
        cases.append(f"    {names}) {action} ;;\n")
    for option in options():
        if option.kind == "choice":
            words = " ".join(option.choices)
            action = f"mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$word\")"
            cases.append(f"    {'|'.join(option.names)}) {action} ;;\n")
    names = " ".join(name for option in options() for name in option.names)
    many = "|".join(name for option in options() if option.many for name in option.names)
    return f"""\
{_NOTE}
_execwhy_filter() {{ # the names of fields, after what has been typed of the filter already
    local before=${{1%"${{1##*[ (!]}}"}} name
    compopt -o nospace
    mapfile -t COMPREPLY < <(compgen -W '{_fields()}' -- "${{1#"$before"}}")
    for name in "${{!COMPREPLY[@]}}"; do COMPREPLY[name]=$before${{COMPREPLY[name]}}; done
    # After a single answer bash would close the quotes around the filter.
    [[ ${{#COMPREPLY[@]}} != 1 ]] || COMPREPLY=("$COMPREPLY"= "$COMPREPLY"!= "$COMPREPLY": "$COMPREPLY~")
}}

_execwhy() {{
    local word=$2 option=$3 place
    COMPREPLY=()
    if [[ $word == = ]]; then
        word='' option=${{COMP_WORDS[COMP_CWORD - 1]}}
    elif [[ $option == = ]]; then
        option=${{COMP_WORDS[COMP_CWORD - 2]}}
    else # an option that takes several values
        for ((place = COMP_CWORD - 1; place > 0; place--)); do
            case ${{COMP_WORDS[place]}} in
            {many}) [[ $word == -* ]] || option=${{COMP_WORDS[place]}} ; break ;;
            -?*) break ;;
            esac
        done
    fi
    case $option in
{"".join(cases)}    *) mapfile -t COMPREPLY < <(compgen -W '{names}' -- "$word") ;;
    esac
}}

complete -F _execwhy execwhy
"""


def _single(text: str) -> str:
    return text.replace("'", "'\\''")


def zsh() -> str:
    """Return the completions for zsh's completion system."""
    actions = {"file": "_files", "user": "_users", "filter": "_execwhy_filter", "number": " "}
    lines = []
    for option in options():
        said = _single(option.help.replace("[", "(").replace("]", ")").replace(":", "\\:"))
        action = f"({' '.join(option.choices)})" if option.choices else actions.get(option.kind, "")
        # All words up to the next option.
        several_values = "*-*:" if option.many else ""
        value = f":{several_values}{option.metavar}:{action}" if option.kind else ""
        for name in option.names:
            several = "*" if option.many else ""
            equals = "=" if option.kind and name.startswith("--") else ""
            lines.append(f"    '{several}{name}{equals}[{said}]{value}'")
    joined = " \\\n".join(lines)
    return f"""\
#compdef execwhy
{_NOTE}
_execwhy_filter() {{ # the names of fields, after what has been typed of the filter already
    compset -P '*[ (!]'
    compadd -S '' -- {_fields()}
}}

_arguments \\
{joined}
"""


def fish() -> str:
    """Return the completions for fish 3 and later."""
    lines = []
    for option in options():
        names = " ".join(
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
        )
        value = {
            "": "-f",
            "file": "-r -F",
            "user": "-x -a '(__fish_complete_users)'",
            "filter": "-x -a '(__execwhy_filter)'",
            "choice": f"-x -a '{' '.join(option.choices)}'",
            "number": "-x",
        }[option.kind]
        lines.append(f"complete -c execwhy {names} {value} -d '{_single(option.help)}'\n")
    return f"""\
{_NOTE}
function __execwhy_filter # the names of fields, after what has been typed of the filter already
    set -l before (string match -r '^.*[ (!]' -- (commandline -ct | string trim -l -c "'\\""))
    for name in {_fields()}
        echo $before$name
    end
end

complete -c execwhy -f
{"".join(lines)}"""


FILES: Final = {"execwhy": bash, "_execwhy": zsh, "execwhy.fish": fish}
"""The files of completions/ and the functions that generate them."""


def main() -> None:
    """Write the files."""
    for name, made in FILES.items():
        with open(os.path.join(ROOT, "completions", name), "w", encoding="utf-8") as file:
            file.write(made())


if __name__ == "__main__":
    main()
