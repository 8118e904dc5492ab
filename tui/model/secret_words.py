"""Which words of a command line are passwords: those that commands take in short options.

``mysql -pX`` and ``docker login -p X`` do not name what they take. The command need not stand first:
sudo, env and nice come before it, and a shell's script holds it. A word that merely has a command's name,
such as a user "mysql", has its options taken for the command's, which errs on the side of masking.
"""

from __future__ import annotations

import enum
import os.path
import re
from typing import Final

MASK: Final = "••••••"


class Value(enum.Enum):
    """Where an option's password stands."""

    ATTACHED = enum.auto()  # -pX; -p alone asks for it
    NEXT = enum.auto()  # -p X, or -pX
    PAIR = enum.auto()  # -u USER:X, or USER%X; the user is worth seeing


_TAKEN_BY: Final = (
    (
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck "
        "mariadb mariadb-dump mariadb-admin mariadb-import",
        {"-p": Value.ATTACHED},
    ),
    ("sshpass mongo mongosh mongodump mongorestore", {"-p": Value.NEXT}),
    ("redis-cli valkey-cli", {"-a": Value.NEXT}),
    ("ldapsearch ldapmodify ldapadd ldapdelete ldapwhoami", {"-w": Value.NEXT}),
    ("mosquitto_pub mosquitto_sub ipmitool sqlcmd zip unzip", {"-P": Value.NEXT}),
    ("useradd usermod", {"-p": Value.NEXT}),
    ("7z 7za 7zr 7zz", {"-p": Value.ATTACHED}),
    ("smbclient rpcclient", {"-U": Value.PAIR}),
    ("curl", dict.fromkeys(("-u", "-U", "--user", "--proxy-user"), Value.PAIR)),
)
_OPTIONS: Final = {name: options for names, options in _TAKEN_BY for name in names.split()}

_WITH_LOGIN: Final = frozenset(("docker", "podman", "nerdctl", "buildah", "helm", "skopeo"))
"""Commands of which only the subcommand "login" takes a password, with -p."""

_BUNDLE: Final = re.compile(r"-[A-Za-z]{1,8}?(?=[uU](?P<value>.*))", re.DOTALL)
"""curl's short options in one word: -sSu. The option itself follows."""

_NAMES: Final = re.compile(
    "(?<![^\\s\"'/;|&(])(?:" + "|".join(map(re.escape, sorted((*_OPTIONS, *_WITH_LOGIN)))) + ")(?![\\w.-])"
)

_WORD: Final = re.compile(
    r"""(?: "(?:[^"\\]|\\.)*"? | '[^']*'? | \\"(?:[^"\\]|\\[^"])*(?:\\")? | \\. | [^\s"'\\;|&<>()] )+""",
    re.VERBOSE | re.DOTALL,
)
"""A word as a shell reads it; within double quotes an escaped quote begins a quoted part as well."""

_DEEPEST: Final = 3
"""Scripts within quotes within scripts that are looked into."""


class CommandLine:
    """Takes the words of a command line one after the other, and knows which of them are passwords."""

    def __init__(self) -> None:
        self._options: dict[str, Value] = {}
        self._has_login = False
        self._expected: Value | None = None

    def masked(self, word: str) -> str | None:
        """The next word, masked; None where the commands so far do not say that it is a password."""
        expected, self._expected = self._expected, None
        if expected is not None and not (word.startswith("-") and len(word) > 1):
            return _masked_value(word, expected)
        self._learn(word)
        if not word.startswith("-") or not self._options:
            return None
        for option, value in self._options.items():
            if word == option:
                self._expected = None if value is Value.ATTACHED else value
                return None
            if word.startswith(option + "="):
                return option + "=" + _masked_value(word[len(option) + 1 :], value)
            if len(option) == 2 and word.startswith(option):
                return option + _masked_value(word[len(option) :], value)
        return self._masked_bundle(word) if "--user" in self._options else None

    def _learn(self, word: str) -> None:
        """What options a word brings into play, where it is a command."""
        name = os.path.basename(word)
        if name in _OPTIONS:
            self._options.update(_OPTIONS[name])
        elif name in _WITH_LOGIN:
            self._has_login = True
        elif word == "login" and self._has_login:
            self._options["-p"] = Value.NEXT

    def _masked_bundle(self, word: str) -> str | None:
        bundle = _BUNDLE.match(word)
        if bundle is None:
            return None
        if not bundle["value"]:
            self._expected = Value.PAIR
            return None
        end = bundle.end() + 1
        return word[:end] + _masked_value(word[end:], Value.PAIR)


def _masked_value(word: str, value: Value) -> str:
    if value is not Value.PAIR:
        return MASK
    quote = word[:1] if word[:1] in "\"'" else ""
    inner = word.removeprefix(quote).removesuffix(quote) if quote else word
    user, separator, password = inner.partition(":" if ":" in inner else "%")
    return quote + user + separator + MASK + quote if password else word


def mask_commands(text: str, depth: int = 0) -> str:
    """A text with the passwords of the commands in it masked, in the scripts within its quotes as well.

    It takes linear time.
    """
    if not _NAMES.search(text):
        return text
    line = CommandLine()

    def mask(match: re.Match[str]) -> str:
        word = match[0]
        masked = line.masked(word)
        if masked is not None:
            return masked
        if word[0] in "\"'" and depth < _DEEPEST:
            return word[0] + mask_commands(word[1:], depth + 1)
        return word

    return _WORD.sub(mask, text)
