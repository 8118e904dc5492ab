"""Which words of a command line are passwords: those that commands take without naming them.

``mysql -pX``, ``htpasswd -b file user X`` and ``vault login X`` do not name what they take. The command need
not stand first: sudo, env and nice come before it, and a shell's script holds it. A word that merely has a
command's name, such as a user "mysql", has its options taken for the command's, which errs on the side of
masking.
"""

from __future__ import annotations

import enum
import os.path
import re
from typing import Final

from tui.model.secret_names import is_secret, is_secret_name

MASK: Final = "••••••"


class Value(enum.Enum):
    """Where an option's password stands."""

    ATTACHED = enum.auto()  # -pX; -p alone asks for it
    NEXT = enum.auto()  # -p X, or -pX
    APART = enum.auto()  # -k X, while -kX is another option
    PAIR = enum.auto()  # -u USER:X, USER%X, USER/X or USER,X; the user is worth seeing
    NAMED = enum.auto()  # --from-literal NAME=X
    MOUNT = enum.auto()  # -o rw,user=USER%X


_TAKEN_BY: Final = (
    (
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlsh mysqlpump mysqlbinlog "
        "mariadb mariadb-dump mariadb-admin mariadb-import mariadb-check mariadb-show",
        {"-p": Value.ATTACHED},
    ),
    (
        "sshpass mongo mongosh mongodump mongorestore mongoexport mongoimport mycli cqlsh hdbsql rdesktop "
        "rabbitmqadmin racadm veracrypt doveadm ncftpput ncftpget useradd usermod groupadd",
        {"-p": Value.NEXT},
    ),
    ("redis-cli valkey-cli", {"-a": Value.NEXT}),
    ("ldapsearch ldapmodify ldapadd ldapdelete ldapwhoami ldapcompare ldapmodrdn", {"-w": Value.NEXT}),
    ("ldappasswd", dict.fromkeys(("-w", "-s", "-a"), Value.NEXT)),
    ("slappasswd", {"-s": Value.NEXT}),
    ("ssh-keygen", {"-N": Value.APART, "-P": Value.APART}),
    ("pdftotext pdftoppm pdfinfo", {"-upw": Value.APART, "-opw": Value.APART}),
    ("ab", {"-A": Value.PAIR, "-P": Value.PAIR}),
    ("kadmin kadmin.local", {"-w": Value.NEXT, "-pw": Value.APART}),
    ("mosquitto_pub mosquitto_sub mosquitto_rr ipmitool sqlcmd bcp knife zip unzip", {"-P": Value.NEXT}),
    ("7z 7za 7zr 7zz", {"-p": Value.ATTACHED}),
    ("rar unrar", {"-p": Value.ATTACHED, "-hp": Value.ATTACHED}),
    ("xfreerdp xfreerdp3 wlfreerdp freerdp", {"/p:": Value.ATTACHED}),
    ("snmpwalk snmpget snmpset snmptrap snmpbulkwalk", dict.fromkeys(("-c", "-A", "-X"), Value.NEXT)),
    ("smbclient rpcclient smbget wmic winexe net", {"-U": Value.PAIR}),
    ("curl", dict.fromkeys(("-u", "-U", "-E", "--user", "--proxy-user", "--cert"), Value.PAIR)),
    ("http https xh", {"-a": Value.PAIR, "--auth": Value.PAIR}),
    ("etcdctl", {"--user": Value.PAIR}),
    ("lftp", {"-u": Value.PAIR}),
    ("openssl", {"-k": Value.APART, "-K": Value.APART, "-hmac": Value.APART}),
    ("swaks sendemail sendEmail", {"-ap": Value.APART, "-xp": Value.APART}),
    ("kubectl oc", {"--from-literal": Value.NAMED}),
    ("mount mount.cifs mount.smb3", {"-o": Value.MOUNT, "--options": Value.MOUNT}),
)
_OPTIONS: Final = {name: options for names, options in _TAKEN_BY for name in names.split()}

_WITH_LOGIN: Final = frozenset(
    ("docker", "podman", "nerdctl", "buildah", "helm", "skopeo", "crane", "az", "oc", "cf", "oras")
)
"""Commands of which only the subcommand "login" takes a password, with -p."""

_BY_PLACE: Final[dict[str, tuple[tuple[tuple[str, ...], int, int], ...]]] = {
    "rabbitmqctl": (
        (("add_user",), 1, 1),
        (("change_password",), 1, 1),
        (("authenticate_user",), 1, 1),
    ),
    "vault": ((("login",), 0, 1), (("unwrap",), 0, 1), (("unseal",), 0, 1)),
    "wpa_passphrase": (((), 1, 1),),
    "rclone": ((("obscure",), 0, 1),),
    "redis-cli": ((("AUTH",), 0, 2), (("auth",), 0, 2)),
    "mc": ((("set",), 2, 2), (("add",), 2, 2)),
    "bw": ((("login",), 1, 1), (("unlock",), 0, 1)),
    "mkpasswd": (((), 0, 2),),
    "ngrok": ((("authtoken",), 0, 1), (("add-authtoken",), 0, 1)),
    "pdftk": ((("input_pw", "owner_pw", "user_pw"), 0, 1),),
    "iwconfig": ((("key",), 0, 1),),
    "openssl": ((("passwd",), 0, 2),),
    "smbpasswd": ((("-a",), 1, 1),),
    "qpdf": ((("--encrypt",), 0, 2),),
    "mysqladmin": ((("password",), 0, 1),),
    "samba-tool": ((("create",), 1, 1),),
    "net": ((("user", "add", "password"), 1, 1), (("info", "delete", "rename", "list"), 0, 0)),
}
"""Of commands that take a password by its place: the word it stands behind, how many words are between them
that are no options, and how many it is; 0 where none comes although another word said so."""

_SERVICE: Final = re.compile(r"['\"]?(?://|\\\\)[^/\\\s]+[/\\]")
"""What smbclient takes a password right behind: //HOST/SHARE."""

_IN_MOUNT: Final = re.compile(r"(?:^|,)(?:user|username)=[^,%\s]{1,256}%(?P<secret>[^,]+)")
"""mount.cifs's USER%PASSWORD (mount.cifs(8))."""

_ORACLE: Final = frozenset(("sqlplus", "expdp", "impdp", "rman", "sqlldr"))
_LOGON: Final = re.compile(r"[\w$#]{1,30}/(?P<secret>[^/\s@]{1,128})(?:@.*)?", re.DOTALL)
"""Oracle's USER/PASSWORD@SERVICE."""

_SETTERS: Final = {
    "nmcli": frozenset(("connect", "modify", "mod", "add", "hotspot", "edit")),
    "rclone": frozenset(("create", "update")),
    "redis-cli": frozenset(("set", "SET")),
    "consul": frozenset(("put",)),
    "etcdctl": frozenset(("put", "set")),
    "wpa_cli": frozenset(("set_network", "set")),
    "hostapd_cli": frozenset(("set",)),
    "kubectl": frozenset(("set",)),
    **dict.fromkeys(
        ("aws", "git", "npm", "yarn", "pnpm", "pip", "pip3", "poetry", "composer", "conda", "pulumi"),
        frozenset(("set", "config")),
    ),
}
"""Commands that name a setting in one word and take its value in the next, and the words before it."""

_HOLDERS: Final = frozenset(("secret", "secrets", "vault", "config:set", "env:set"))
"""Words of commands of which every assignment is a secret, where one that sets it comes as well."""

_STORES: Final = frozenset(("set", "put", "patch", "write", "config:set", "env:set"))

_BUNDLE: Final = re.compile(r"-[A-Za-z]{1,8}?(?=[uU](?P<value>.*))", re.DOTALL)
"""curl's short options in one word: -sSu. The option itself follows."""

_PASSWORD_FILES: Final = frozenset(("htpasswd", "mosquitto_passwd"))
"""Commands that take a password by its place, behind -b."""

_COMMANDS: Final = sorted(
    {*_OPTIONS, *_WITH_LOGIN, *_BY_PLACE, *_ORACLE, *_SETTERS, *_HOLDERS, *_PASSWORD_FILES, "gh"}
)

_NAMES: Final = re.compile("(?<![^\\s\"'/;|&(])(?:" + "|".join(map(re.escape, _COMMANDS)) + ")(?![\\w.-])")

_WORD: Final = re.compile(
    r"""(?: "(?:[^"\\]|\\.)*"? | '[^']*'? | \\"(?:[^"\\]|\\[^"])*(?:\\")? | \\. | [^\s"'\\;|&<>()] )+""",
    re.VERBOSE | re.DOTALL,
)
"""A word as a shell reads it; within double quotes an escaped quote begins a quoted part as well."""

_FLAGGED: Final = frozenset(("pulumi", "docker", "podman", "buildah", "nerdctl"))
"""Commands whose --secret is followed by the name of one."""

_HTPASSWD: Final = re.compile(r"-[A-Za-z]{0,8}b[A-Za-z]{0,8}")
"""Its short options with -b: the password is the last word."""

_ASSIGNED: Final = re.compile(r"[\w.-]{1,256}=(?P<value>(?!@).+)", re.DOTALL)

_DEEPEST: Final = 3
"""Scripts within quotes within scripts that are looked into."""


class CommandLine:
    """Takes the words of a command line one after the other, and knows which of them are passwords.

    Args:
        found: Takes the passwords.
    """

    def __init__(self, found: list[str]) -> None:
        self._found = found
        self._options: dict[str, Value] = {}
        self._places: list[tuple[tuple[str, ...], int, int]] = []
        self._seen: set[str] = set()
        self._setters: frozenset[str] = frozenset()
        self._expected: Value | None = None
        self._words_to_secret: int | None = None
        self._secrets_to_come = 0
        self._setting: str | None = None
        self._is_setting = self._is_storing = self._is_logon = self._is_behind_service = False

    def masked(self, word: str) -> str | None:
        """Return the next word masked; None where the commands so far do not say that it is a password."""
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
        if word == "--secret" and not self._seen.isdisjoint(_FLAGGED):
            return word
        self._learn(word)
        if not self._options or word[0] not in "-/":
            return None
        return self._masked_option(word)

    def end_command(self) -> None:
        """Expect no password by its place any more: a pipe or a semicolon comes."""
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
        return self._masked_bundle(word) if "--proxy-user" in self._options else None

    def _learn(self, word: str) -> None:
        """Note what a word brings into play, where it is a command or says what a command is to do."""
        name = os.path.basename(word)
        self._seen.add(name)
        if name in _OPTIONS:
            self._options.update(_OPTIONS[name])
        if name in _WITH_LOGIN:
            self._seen.add("with login")
        elif word == "login" and "with login" in self._seen:
            self._options["-p"] = Value.NEXT
        self._is_logon |= name in _ORACLE
        if name in _SETTERS:
            self._setters |= _SETTERS[name]
        self._is_setting |= word in self._setters
        if name == "secret" and "gh" in self._seen:
            self._options |= {"-b": Value.NEXT, "--body": Value.NEXT}
        if name == "secret" and "az" in self._seen:
            self._options["--value"] = Value.NEXT
        if not self._seen.isdisjoint(_PASSWORD_FILES) and _HTPASSWD.fullmatch(word):
            # The file and the user come before it; with -n there is no file.
            self._words_to_secret, self._secrets_to_come = (1 if "n" in word else 2), 1
        self._is_behind_service = "smbclient" in self._seen and bool(_SERVICE.match(word))
        self._is_storing |= name in _STORES and not self._seen.isdisjoint(_HOLDERS)
        if self._is_setting and is_secret_name(word) and not word.startswith("-") and "=" not in word:
            self._setting = word
        for behind, between, count in self._places:
            if word in behind:
                self._words_to_secret, self._secrets_to_come = (between if count else None), count
        for behind, between, count in _BY_PLACE.get(name, ()):
            # Once: a text may have the command's name ten thousand times.
            if (behind, between, count) not in self._places:
                self._places.append((behind, between, count))
            if not behind:
                self._words_to_secret, self._secrets_to_come = between, count

    def _masked_assignment(self, word: str) -> str | None:
        if self._is_storing and (assigned := _ASSIGNED.fullmatch(word)):
            return word[: assigned.start("value")] + self._hidden(assigned["value"])
        if self._is_logon and (logon := _LOGON.fullmatch(word)):
            self._is_logon = False
            start, end = logon.span("secret")
            return word[:start] + self._hidden(word[start:end]) + word[end:]
        return None

    def _masked_bundle(self, word: str) -> str | None:
        bundle = _BUNDLE.match(word)
        if bundle is None:
            return None
        if not bundle["value"]:
            self._expected = Value.PAIR
            return None
        end = bundle.end() + 1
        masked = self._masked_value(word[end:], Value.PAIR)
        return None if masked is None else word[:end] + masked

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
        separators = "=" if value is Value.NAMED else ":%,"
        separator = min(filter(inner.__contains__, separators), key=inner.index, default=separators[0])
        user, separator, password = inner.partition(separator)
        return quote + user + separator + self._hidden(password) + quote if password else word


def mask_commands(text: str, found: list[str], depth: int = 0) -> str:
    """Mask the passwords of the commands in a text, in the scripts within its quotes as well.

    It takes linear time.

    Args:
        text: Any string.
        found: Takes the passwords.
        depth: Quotes within quotes that it stands in.
    """
    if not _NAMES.search(text):
        return text
    line = CommandLine(found)
    end = 0

    def mask(match: re.Match[str]) -> str:
        nonlocal end
        word = match[0]
        if any(mark in text[end : match.start()] for mark in ";|&"):
            line.end_command()
        end = match.end()
        masked = line.masked(word)
        if masked is not None:
            return masked
        if word[0] in "\"'" and depth < _DEEPEST:
            return word[0] + mask_commands(word[1:], found, depth + 1)
        return word

    return _WORD.sub(mask, text)
