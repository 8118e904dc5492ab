"""Passwords in command lines that are not announced by a name.

``mysql -pX``, ``htpasswd -b file user X`` and ``vault login X`` do not name their password. The command need
not come first: it may follow sudo, env or nice, or be in a shell script. If a word only looks like a command,
such as a user named "mysql", the options after it are taken for the command's; when in doubt, mask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from execwhy.tui.model.text.secret_commands import (
    COMMANDS,
    FLAGGED,
    FLAGS,
    HOLDERS,
    NAMES,
    OPTIONS,
    ORACLE,
    ORACLE_NAMED,
    PASSWORD_FILES,
    PLACES,
    SEPARATORS,
    SETTERS,
    STORES,
    SUBCOMMANDS,
    Value,
)
from execwhy.tui.model.text.secret_names import is_secret, is_secret_name

MASK: Final = "••••••"


_SERVICE: Final = re.compile(r"['\"]?(?://|\\\\)[^/\\\s]+[/\\]")
"""//HOST/SHARE, which smbclient's password follows."""

_IN_MOUNT: Final = re.compile(r"(?:^|,)(?:user|username)=[^,%\s]{1,256}%(?P<secret>[^,]+)")
"""mount.cifs's USER%PASSWORD (mount.cifs(8))."""

_LOGON: Final = re.compile(
    r"(?P<name>(?i:userid=)?)[\w$#]{1,30}/(?P<secret>[^/\s@]{1,128})(?:@.*)?", re.DOTALL
)
"""Oracle's USER/PASSWORD@SERVICE."""

_WORD: Final = re.compile(
    r"""(?: "(?:[^"\\]|\\.)*"? | '[^']*'? | \\"(?:[^"\\]|\\[^"])*(?:\\")? | \\. | [^\s"'\\;|&<>()] )+""",
    re.VERBOSE | re.DOTALL,
)
"""A word as a shell reads it; within double quotes, an escaped quote also begins a quoted part."""

_HTPASSWD: Final = re.compile(r"-[A-Za-z]{0,8}b[A-Za-z]{0,8}")
"""Short options of htpasswd that include -b: the password is the last word."""

_ASSIGNED: Final = re.compile(r"[\w.-]{1,256}=(?P<value>(?!@).+)", re.DOTALL)

_DEEPEST: Final = 3
"""How deeply nested the quoted scripts are that are examined."""


class CommandLine:
    """Takes the words of a command line one by one, and masks those that are passwords.

    Args:
        found: Takes the passwords.
    """

    def __init__(self, found: list[str]) -> None:
        self._found = found
        self._has_command = False
        self._options: dict[str, Value] = {}
        self._flags = ""
        self._subcommands: dict[str, Mapping[str, Value]] = {}
        self._of_subcommand: list[str] = []
        self._places: list[tuple[tuple[str, ...], int, int]] = []
        self._seen: set[str] = set()
        self._setters: frozenset[str] = frozenset()
        self._expected: Value | None = None
        self._words_to_secret: int | None = None
        self._secrets_to_come = 0
        self._setting: str | None = None
        self._is_setting = self._is_storing = self._is_behind_service = False
        self._is_logon = self._is_named_logon = False

    def masked(self, word: str) -> str | None:
        """Return the next word masked; None if it is not a password of the commands so far."""
        expected, self._expected = self._expected, None
        setting, self._setting = self._setting, None
        is_option = word.startswith("-") and len(word) > 1
        is_behind_service, self._is_behind_service = self._is_behind_service, False
        if is_behind_service and not is_option:
            return self._hidden(word)
        if expected is not None and not is_option:
            return self._masked_value(word, expected)
        if setting is not None and not is_option and is_secret(setting, word, in_script=True):
            return self._hidden(word)
        if not is_option and self._words_to_secret is not None and "=" not in word:
            self._words_to_secret -= 1
            if self._words_to_secret < 0:
                self._secrets_to_come -= 1
                self._words_to_secret = 0 if self._secrets_to_come else None
                return self._hidden(word)
        elif not is_option:
            stored = self._masked_assignment(word)
            if stored is not None:
                return stored
        if word == "--secret" and not self._seen.isdisjoint(FLAGGED):
            return word
        self._learn(word)
        if not self._options:
            return None
        if word[0] in "-/":
            return self._masked_option(word)
        self._expected = self._options.get(word)
        return None

    def begin_substitution(self) -> None:
        """Do not expect a value as the next word: it is a command, whose output is the value."""
        self._expected = self._setting = None

    def end_command(self) -> None:
        """Stop expecting passwords by place or of a subcommand: a pipe or a semicolon ends the command."""
        for option in self._of_subcommand:
            del self._options[option]
        self._of_subcommand.clear()
        self._words_to_secret = None
        self._is_behind_service = False

    def _masked_option(self, word: str) -> str | None:
        for option, value in self._options.items():
            if word == option:
                self._expected = None if value is Value.ATTACHED else value
                return None
            if word.startswith(option + "="):
                masked = self._masked_value(word[len(option) + 1 :], value)
                return None if masked is None else f"{option}={masked}"
            if value is not Value.APART and word.startswith(option) and not word.startswith("--"):
                masked = self._masked_value(word[len(option) :], value)
                return None if masked is None else option + masked
        return self._masked_bundle(word) if self._flags and not word.startswith("--") else None

    def _masked_bundle(self, word: str) -> str | None:
        """Mask a password after several short options in one word, as in ``-sSu USER:X``."""
        last = word[1:].lstrip(self._flags)
        value = self._options.get("-" + last[:1])
        if value is None or len(last) == len(word) - 1:
            return None
        if len(last) == 1:
            self._expected = None if value is Value.ATTACHED else value
            return None
        masked = None if value is Value.APART else self._masked_value(last[1:], value)
        return None if masked is None else word[: 1 - len(last)] + masked

    def _learn(self, word: str) -> None:
        """Note what to expect after a word that is a command or a subcommand."""
        name = word.rpartition("/")[2]
        if name in COMMANDS:
            self._has_command = True
            self._learn_command(name)
        elif not self._has_command:
            return
        if word in self._subcommands:
            self._of_subcommand += self._subcommands[word].keys() - self._options.keys()
            self._options.update(self._subcommands[word])
        self._is_setting |= word in self._setters
        if not self._seen.isdisjoint(PASSWORD_FILES) and _HTPASSWD.fullmatch(word):
            # The file and the user precede it; with -n there is no file.
            self._words_to_secret, self._secrets_to_come = (1 if "n" in word else 2), 1
        self._is_behind_service = "smbclient" in self._seen and bool(_SERVICE.match(word))
        self._is_storing |= name in STORES and not self._seen.isdisjoint(HOLDERS)
        if self._is_setting and is_secret_name(word) and not word.startswith("-") and "=" not in word:
            self._setting = word
        stem = word.partition(".")[0]
        for behind, between, count in self._places:
            if word in behind or stem in behind:
                self._words_to_secret, self._secrets_to_come = (between if count else None), count
        for behind, between, count in PLACES.get(name, ()):
            # Only once: a text may contain the command's name ten thousand times.
            if (behind, between, count) not in self._places:
                self._places.append((behind, between, count))
            if not behind:
                self._words_to_secret, self._secrets_to_come = between, count

    def _learn_command(self, name: str) -> None:
        self._seen.add(name)
        self._options.update(OPTIONS.get(name, {}))
        if name in FLAGS and FLAGS[name] not in self._flags:
            self._flags += FLAGS[name]
        for subcommand, options in SUBCOMMANDS.get(name, {}).items():
            self._subcommands[subcommand] = {**self._subcommands.get(subcommand, {}), **options}
        self._is_logon |= name in ORACLE
        self._is_named_logon |= name in ORACLE_NAMED
        if name in SETTERS:
            self._setters |= SETTERS[name]

    def _masked_assignment(self, word: str) -> str | None:
        if self._is_storing and (assigned := _ASSIGNED.fullmatch(word)):
            return word[: assigned.start("value")] + self._hidden(assigned["value"])
        if (self._is_logon or self._is_named_logon) and (logon := _LOGON.fullmatch(word)):
            if not self._is_logon and not logon["name"]:
                return None
            self._is_logon = self._is_named_logon = False
            start, end = logon.span("secret")
            return word[:start] + self._hidden(word[start:end]) + word[end:]
        return None

    def _hidden(self, secret: str) -> str:
        self._found.append(secret.strip("\"'"))
        return MASK

    def _masked_value(self, word: str, value: Value) -> str | None:
        if value in (Value.ATTACHED, Value.NEXT, Value.APART):
            return self._hidden(word)
        if value is Value.MOUNT:
            if (mounted := _IN_MOUNT.search(word)) is None:
                return None
            start, end = mounted.span("secret")
            return word[:start] + self._hidden(word[start:end]) + word[end:]
        quote = word[:1] if word[:1] in "\"'" else ""
        inner = word.removeprefix(quote).removesuffix(quote) if quote else word
        separators = SEPARATORS[value]
        separator = min(filter(inner.__contains__, separators), key=inner.index, default=separators[0])
        user, separator, password = inner.partition(separator)
        return quote + user + separator + self._hidden(password) + quote if password else None


def mask_commands(text: str, found: list[str], depth: int = 0) -> str:
    """Mask the passwords of the commands in a text, and in quoted scripts within it, in linear time.

    Args:
        text: Any string.
        found: Takes the passwords.
        depth: How many quotes surround it.
    """
    if not NAMES.search(text):
        return text
    line = CommandLine(found)
    end = 0

    def mask(match: re.Match[str]) -> str:
        nonlocal end
        word = match[0]
        between = text[end : match.start()]
        if any(mark in between for mark in ";|&\n"):
            line.end_command()
        if "(" in between:
            line.begin_substitution()
        end = match.end()
        masked = line.masked(word)
        if masked is not None:
            return masked
        if word[0] in "\"'" and depth < _DEEPEST:
            return word[0] + mask_commands(word[1:], found, depth + 1)
        return word

    return _WORD.sub(mask, text)
