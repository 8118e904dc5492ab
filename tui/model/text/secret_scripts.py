"""Secrets in scripts: in what a shell writes to a program's standard input, in SQL, and in calls in code.

Every pattern runs over hostile text, so none may take more than linear time.
"""

from __future__ import annotations

import re
from typing import Final

from execwhy.tui.model.text.secret_words import MASK

_NETRC: Final = re.compile(r"(?P<keep1>\blogin\s{1,4}\S{1,128}\s{1,4}password\s{1,4})(?P<secret1>\S+)")

_SQL: Final = re.compile(
    r"""(?P<keep1>\b(?:(?:set\s{1,4})?password(?:\s{1,4}for\s{1,4}\S{1,128})?\s{0,4}=?)
      (?:\s{1,4}|(?<==))(?:password\s{1,4})?')(?P<secret1>[^']+)
  | (?P<keep2>\bidentified\s{1,4}(?:by|(?:with|via)\s{1,4}\S{1,64}\s{1,4}(?:by|as|using))\s{1,4}
      (?:password\s{1,4})?(?:\\{0,3}"|'))(?P<secret2>(?<=")[^"\\]+|(?<=')[^']+)
  | (?P<keep3>(?:=|\b(?:using|by|as))\s{0,4}(?:old_)?password\s{0,4}\(\s{0,4}
      (?:\\{0,3}"|'))(?P<secret3>(?<=")[^"\\]+|(?<=')[^']+)""",
    re.VERBOSE | re.IGNORECASE,
)

_CALLED: Final = re.compile(
    r"""(?P<keep1>(?:auth|authenticate|login)\s{0,4}=?\s{0,4}\(\s{0,4}
      (?:'[^'\n]{1,128}'|\\?"[^"\\\n]{1,128}\\?")\s{0,4},\s{0,4}
      (?:\\?"|'))(?P<secret1>(?<=")[^"\\\n]{1,256}|(?<=')[^'\n]{1,256})""",
    re.VERBOSE | re.IGNORECASE,
)
"""The second argument of a call such as ``db.auth('user', 'X')`` or ``get(url, auth=('user', 'X'))``."""

_CONNECTING: Final = re.compile(
    r"""(?P<keep1>(?:\bnew\s{1,4}\\?(?:pdo|mysqli) | \bdbi\s{0,4}->\s{0,4}connect(?:_cached)? | getconnection
        | \b(?:mysqli?|maxdb|odbc|ibase|sybase|mssql|db2)_p?connect | \b(?:pymysql|mysqldb|pymssql)\.connect)
      \s{0,4}\(\s{0,4}(?:(?:'[^'\n]{0,256}+'|\\?"[^"\\\n]{0,256}+\\?"|\$?[A-Za-z_]\w{0,63}+)\s{0,4},\s{0,4}){2}
      (?:\\?"|'))(?P<secret1>(?<=")[^"\\\n]{1,256}|(?<=')[^'\n]{1,256})
  | (?P<keep2>convertto-securestring\s{1,4}(?:-string\s{1,4})?(?:\\?"|'))
      (?P<secret2>(?<=")[^"\\\n]{1,256}|(?<=')[^'\n]{1,256})""",
    re.VERBOSE | re.IGNORECASE,
)
"""The third argument of a call that connects to a database; what PowerShell makes a password of."""

_SUDO: Final = r"sudo\s{1,4}(?:-\w{1,8}\s{1,4}){0,3}?"

_READER: Final = rf"""{_SUDO}-\w{{0,4}}S\b | (?:sudo\s{{1,4}}(?:-\w{{1,8}}\s{{1,4}}){{0,3}})?
    (?:(?:/usr)?(?:/local)?/s?bin/)?
    (?: (?:chpasswd | smbpasswd | kinit | cryptsetup | vncpasswd | htpasswd)(?![\w.-])
      | passwd(?![\w.-])(?!\s{{1,4}}(?:-S|--status))
      | wg\s{{1,4}}pubkey | gh\s{{1,4}}secret | (?:docker|podman)\s{{1,4}}secret | openssl\s{{1,4}}passwd)"""
"""A command that reads a password from its standard input."""

_READING: Final = r"--(?:(?:password|token|passphrase|secret)-stdin|with-token|passphrase-fd[\s=]0)\b"
"""An option that makes a command read a password from its standard input."""

_PIPED: Final = re.compile(
    rf"""(?P<keep1>\b(?:echo|printf|yes)\s{{1,4}}(?:-[neE]{{1,3}}\s{{1,4}}|["']?%s(?:\\n)?["']?\s{{1,4}}){{0,2}})
    (?P<secret1>"[^"]{{1,256}}"|'[^']{{1,256}}'|[^\s"'|;&]{{1,256}})
    (?=\s{{0,4}}\|\s{{0,4}}(?:{_READER} | [^|\n]{{0,200}}{_READING}))""",
    re.VERBOSE,
)
"""What is piped into a program that reads a password."""

_HERE: Final = re.compile(
    r"""(?<!<)<<<\s{0,4}
      (?:\\{0,3}"(?P<double>[^"\\]{1,256})|'(?P<single>[^']{1,256})|(?P<plain>[^\s"'\\|;&<>()]{1,256}))
  | (?<!<)<<(?P<dash>-?)\s{0,4}\\?["']?(?P<end>[A-Za-z_]\w{0,31})["']?[^\n]{0,256}\n""",
    re.VERBOSE,
)
"""A here-string, or the beginning of a here-document."""

_HERE_READER: Final = re.compile(rf"""(?<![^\s"'{{])(?:{_READER})|{_READING}""", re.VERBOSE)

_COMMAND_ENDS: Final = re.compile(r"[;|&\n(`]")

_LONGEST_COMMAND: Final = 256
"""Characters before a here-document to search for its command."""

_EXPANDED: Final = re.compile(r"\$(?:\w+|\{\w+\})")

_SUBSTITUTED: Final = re.compile(
    r"""(?P<keep1>(?i:pass|pwd|secret|token|key|cred|auth)[\w-]{0,32}[=\s]\s{0,4}<\(\s{0,4}(?:echo|printf)\s{1,4}
      (?:-[neE]{1,3}\s{1,4}|["']?%s(?:\\n)?["']?\s{1,4}){0,2})
    (?P<secret1>[^)\n]{1,256}+)(?=\))""",
    re.VERBOSE,
)
"""A shell's <(echo X) as the value of an option that takes a file with a password."""

_SENT: Final = re.compile(
    r"""(?P<keep1>(?<![\w-])send\s{1,4}(?:--?\s{1,4})?\\?["'])
    (?!(?:yes|no|y|n|q|quit|exit|logout|enable|ls|date|uptime|reboot|id|whoami|pwd|help)\\|[$\[])
    (?P<secret1>[^\s"'\\]{2,256})(?=\\{1,2}[rn])""",
    re.VERBOSE,
)
"""What an expect(1) script types: a single word that is not a common answer may be a password."""


def mask_input(text: str, found: list[str]) -> str:
    """Mask what a script writes to the standard input of programs that read a password.

    Args:
        text: Any string.
        found: Takes the secrets.
    """
    if "|" in text and ("echo" in text or "printf" in text or "yes " in text):
        text = substitute(_PIPED, text, found)
    if "<<" in text:
        text = _mask_here(text, found)
    if "<(" in text:
        text = substitute(_SUBSTITUTED, text, found)
    return substitute(_SENT, text, found) if "send" in text else text


def mask_calls(text: str, lower: str, found: list[str]) -> str:
    """Mask the passwords in SQL, in calls of code and in the lines of a .netrc.

    Args:
        text: Any string.
        lower: The text, or the original text, in lower case.
        found: Takes the secrets.
    """
    if ("'" in text or '"' in text) and ("password" in lower or "identified" in lower):
        text = substitute(_SQL, text, found)
    if "(" in text and ("auth" in lower or "login" in lower):
        text = substitute(_CALLED, text, found)
    if "connect" in lower or "pdo" in lower or "mysqli" in lower or "securestring" in lower:
        text = substitute(_CONNECTING, text, found)
    return substitute(_NETRC, text, found) if "login" in lower else text


def _mask_here(text: str, found: list[str]) -> str:
    pieces: list[str] = []
    done = at = 0
    while here := _HERE.search(text, at):
        at = here.end()
        before = text[max(done, here.start() - _LONGEST_COMMAND) : here.start()]
        if not _HERE_READER.search(_COMMAND_ENDS.split(before)[-1]):
            continue
        if here["end"] is None:
            start, end = here.span(here.lastgroup or 0)
        else:
            tabs = "\t{0,16}" if here["dash"] else ""
            closing = re.compile(rf"^{tabs}{here['end']}$", re.MULTILINE).search(text, at)
            start, end = at, len(text) if closing is None else max(at, closing.start() - 1)
        secret = text[start:end]
        if not secret.strip() or secret.strip() == MASK or _EXPANDED.fullmatch(secret.strip()):
            continue
        found += secret.split("\n")
        pieces += text[done:start], MASK
        done = at = end
    return "".join(pieces) + text[done:] if pieces else text


def substitute(pattern: re.Pattern[str], text: str, found: list[str]) -> str:
    """Mask the groups "secret1", … of a pattern, and keep the groups "keep1", … before them."""

    def mask(match: re.Match[str]) -> str:
        name = match.lastgroup
        if name is None:
            found.append(match[0])
            return MASK
        secret = match[name]
        bare = secret.strip("\"'")
        if bare == MASK or (bare.startswith("$") and not bare[1:2].isdigit() and bare[1:].isupper()):
            return match[0]
        found.extend(bare.replace("\\n", "\n").split("\n"))
        return match[name.replace("secret", "keep")] + MASK

    return pattern.sub(mask, text)
