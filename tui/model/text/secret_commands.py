"""Programs that take a password without naming it, and its place in their command line.

To add a program, one word in one of these tables is mostly enough.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final


class Value(enum.Enum):
    """The place of an option's password."""

    ATTACHED = enum.auto()  # -pX; -p alone asks for it
    NEXT = enum.auto()  # -p X, or -pX
    APART = enum.auto()  # -k X, while -kX is another option
    PAIR = enum.auto()  # -u USER:X or USER%X; the user is worth seeing
    COMMA = enum.auto()  # -u USER,X
    NAMED = enum.auto()  # --from-literal NAME=X
    MOUNT = enum.auto()  # -o rw,user=USER%X


SEPARATORS: Final = {Value.PAIR: ":%,", Value.COMMA: ",", Value.NAMED: "="}
"""Characters that end the name before a password."""

_TAKEN_BY: Final = (
    (
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlsh mysqlpump mysqlbinlog "
        "mariadb mariadb-dump mariadb-admin mariadb-import mariadb-check mariadb-show",
        {"-p": Value.ATTACHED},
    ),
    (
        "sshpass mongo mongosh mongodump mongorestore mongoexport mongoimport mycli cqlsh hdbsql rdesktop "
        "rabbitmqadmin racadm veracrypt doveadm ncftp ncftpput ncftpget useradd usermod groupadd "
        "beeline hive cypher-shell elasticsearch-users elasticsearch-reset-password youtube-dl yt-dlp "
        "steghide hydra medusa crackmapexec netexec nxc evil-winrm",
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
    ("mosquitto_pub mosquitto_sub mosquitto_rr ipmitool sqlcmd tsql bcp knife zip unzip", {"-P": Value.NEXT}),
    ("7z 7za 7zr 7zz", {"-p": Value.ATTACHED}),
    ("rar unrar", {"-p": Value.ATTACHED, "-hp": Value.ATTACHED}),
    ("xfreerdp xfreerdp3 wlfreerdp freerdp", {"/p:": Value.ATTACHED}),
    ("snmpwalk snmpget snmpset snmptrap snmpbulkwalk", dict.fromkeys(("-c", "-A", "-X"), Value.NEXT)),
    ("smbclient rpcclient smbget wmic winexe net", {"-U": Value.PAIR, "--user": Value.PAIR}),
    (
        "curl",
        dict.fromkeys(("-u", "-U", "-E", "--user", "--proxy-user", "--cert"), Value.PAIR)
        | {"-b": Value.NAMED},
    ),
    ("hey", {"-a": Value.PAIR}),
    ("bteq", {".logon": Value.COMMA}),
    ("signtool osslsigncode", {"/p": Value.APART}),
    ("http https xh", {"-a": Value.PAIR, "--auth": Value.PAIR}),
    ("etcdctl", {"--user": Value.PAIR, "add": Value.PAIR}),
    ("zkCli zkCli.sh zookeeper-shell", {"digest": Value.PAIR}),
    ("dig delv kdig nsupdate knsupdate", {"-y": Value.PAIR}),
    # "open" is a command of lftp's own.
    ("lftp open", {"-u": Value.COMMA}),
    ("openssl", {"-k": Value.APART, "-K": Value.APART, "-hmac": Value.APART, "-macopt": Value.PAIR}),
    ("swaks sendemail sendEmail", {"-ap": Value.APART, "-xp": Value.APART}),
    ("kubectl oc", {"--from-literal": Value.NAMED}),
    ("mount mount.cifs mount.smb3", {"-o": Value.MOUNT, "--options": Value.MOUNT}),
    ("doctl vercel codecov drone influx", {"-t": Value.NEXT}),
    ("pppd", {"password": Value.NEXT}),
    ("strongswan", {"psk": Value.NEXT}),
)
OPTIONS: Final[Mapping[str, Mapping[str, Value]]] = {
    name: options for names, options in _TAKEN_BY for name in names.split()
}
"""The options of each program that take a password, and words that work like such options."""

FLAGS: Final[Mapping[str, str]] = {
    "curl": "#0123456BGIJLMNOSRZafgijklnpqsv",
    **dict.fromkeys(("zip", "unzip"), "0123456789CDFLTXZacdefghjklmnopqruvy"),
    **dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami"), "CLMZcknrvx"),
    **dict.fromkeys(("useradd", "usermod", "groupadd"), "DLMNUamor"),
    **dict.fromkeys(("smbclient", "rpcclient"), "EgNkPV"),
    "sshpass": "v",
}
"""For programs that accept several short options in one word: those without a value, as in ``zip -rP X``."""

_BY_SUBCOMMAND: Final = (
    (
        "docker podman nerdctl buildah helm skopeo crane az oc cf oras",
        ("login",),
        {"-p": Value.NEXT},
    ),
    ("twine", ("upload", "register"), {"-p": Value.NEXT}),
    ("dotnet nuget", ("push",), {"-k": Value.NEXT}),
    ("glab", ("login",), {"-t": Value.NEXT}),
    ("gitlab-runner", ("register",), {"-r": Value.NEXT}),
    ("aws", ("put-parameter",), {"--value": Value.NEXT}),
    ("gh", ("secret",), {"-b": Value.NEXT, "--body": Value.NEXT}),
    ("az", ("secret",), {"--value": Value.NEXT}),
)
SUBCOMMANDS: Final[dict[str, dict[str, dict[str, Value]]]] = {}
"""Subcommands that take a password, with their options, of programs that otherwise take none."""
for _names, _subcommands, _options in _BY_SUBCOMMAND:
    for _name in _names.split():
        SUBCOMMANDS.setdefault(_name, {}).update(dict.fromkeys(_subcommands, _options))

PLACES: Final[Mapping[str, tuple[tuple[tuple[str, ...], int, int], ...]]] = {
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
    "isql": (((), 2, 1),),
    "iwconfig": ((("key",), 0, 1),),
    "openssl": ((("passwd",), 0, 2),),
    "smbpasswd": ((("-a",), 1, 1),),
    "qpdf": ((("--encrypt",), 0, 2),),
    "mysqladmin": ((("password",), 0, 1),),
    "samba-tool": ((("create",), 1, 1),),
    "net": ((("user", "add", "password"), 1, 1), (("info", "delete", "rename", "list"), 0, 0)),
    # One may be the name of a registry.
    "cargo": ((("login",), 0, 2),),
    "cloudflared": ((("install",), 0, 1),),
    "drush": ((("upwd", "user-password", "user:password"), 1, 1),),
    "neo4j-admin": ((("set-initial-password",), 0, 1),),
    **dict.fromkeys(
        ("composer", "poetry"),
        (
            (("http-basic", "bitbucket-oauth"), 1, 1),
            (("github-oauth", "gitlab-oauth", "gitlab-token", "bearer", "pypi-token"), 0, 1),
        ),
    ),
}
"""For commands that take a password by its place: the word before it, as a whole or up to a dot; how many
words that are not options lie between; and the number of passwords, or 0 if none follows this word."""

ORACLE: Final = frozenset(("sqlplus", "expdp", "impdp", "rman", "sqlldr"))
"""Programs that take USER/PASSWORD@SERVICE."""

ORACLE_NAMED: Final = frozenset(("exp", "imp"))
"""Older programs that take it only after a name."""

SETTERS: Final[Mapping[str, frozenset[str]]] = {
    "nmcli": frozenset(("connect", "modify", "mod", "add", "hotspot", "edit")),
    "rclone": frozenset(("create", "update")),
    "redis-cli": frozenset(("set", "SET")),
    "consul": frozenset(("put",)),
    "etcdctl": frozenset(("put", "set")),
    "wpa_cli": frozenset(("set_network", "set")),
    "hostapd_cli": frozenset(("set",)),
    "kubectl": frozenset(("set",)),
    "wrangler": frozenset(("put",)),
    **dict.fromkeys(("wg", "awg", "zerotier-cli"), frozenset(("set",))),
    # Asterisk's command for its channel driver.
    "sip": frozenset(("set",)),
    **dict.fromkeys(
        ("aws", "git", "npm", "yarn", "pnpm", "pip", "pip3", "poetry", "composer", "conda", "pulumi"),
        frozenset(("set", "config")),
    ),
}
"""Commands that take the name of a setting in one word and its value in the next, and the words before."""

HOLDERS: Final = frozenset(("secret", "secrets", "vault", "config:set", "env:set"))
"""Commands whose assignments are all secrets, if one of ``STORES`` is present, too."""

STORES: Final = frozenset(("set", "put", "patch", "write", "config:set", "env:set"))
"""Words that set a secret."""

FLAGGED: Final = frozenset(("pulumi", "docker", "podman", "buildah", "nerdctl"))
"""Commands whose --secret takes the name of a secret."""

PASSWORD_FILES: Final = frozenset(("htpasswd", "mosquitto_passwd"))
"""Commands that take a password by its place after -b."""

COMMANDS: Final = frozenset(
    {
        *OPTIONS,
        *SUBCOMMANDS,
        *PLACES,
        *ORACLE,
        *ORACLE_NAMED,
        *SETTERS,
        *HOLDERS,
        *FLAGGED,
        *PASSWORD_FILES,
    }
)
"""All of these commands."""

NAMES: Final = re.compile(
    "(?<![^\\s\"'/;|&(])(?:" + "|".join(map(re.escape, sorted(COMMANDS))) + ")(?![\\w.-])"
)
"""The name of one of these commands within a text."""
