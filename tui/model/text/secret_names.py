"""Names that announce a secret, and values that are not secrets whatever their name.

When in doubt, a value is masked: a harmless value can be shown with ``--show-secrets``, but a password that
was shown cannot be taken back.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_LETTER: Final = re.compile(r"[^A-Z0-9]+")

_SECRET: Final = re.compile(
    r"""SECRET | PASSWORD | PASSWD | PASSPHRASE | PASSCODE | CREDENTIAL | BEARER | COOKIE
    | TOKEN(?!IZ)
    | (?:API|ACCESS|PRIVATE|ACCOUNT|AUTH|MASTER|SHARED|SIGNING|ENCRYPTION|LICENSE|WRITE|INGEST)_?KEY
    | PRE_?SHARED_?KEY
    | _KEY(?:_?V?\d{1,4}|_BASE|_DATA|_MATERIAL|_B(?:ASE_?)?64|_HEX|_PEM)?$
    | (?<!COM)(?<!ASK)(?<!BY)(?<!SUR)(?<!TRES)PASS_?\d{0,2}$
    | (?:^|_)[A-Z0-9]{0,16}PWD$ | (?:^|_|ROOT|ADMIN|USER|DB|BIND|LDAP|SMTP|VNC)PW$ | ^PW_?\d$
    | PSK$ | JWT$ | (?:^|_)(?:CREDS?|OTP|TOTP|PAT)$ | _AUTH$ | _SIGNATURE(?:_256)?$
    | MNEMONIC | SEED_?PHRASE | _SIG$ | _DSN$ | PASSPHRASE
    | ^REQUIREPASS$ | ^MASTERAUTH$ | (?:^|_)WEBHOOK(?:_UR[IL])?$
    """,
    re.VERBOSE,
)

_WEAK: Final = re.compile(
    r"""^(?:AUTH|SIG|SIGNATURE|PIN|DSN|SID)$ | AUTHORIZATION$ | _PIN(?:_?CODE)?$ | ^PIN_?CODE$ | SECRET_ID$
    | SESS(?:ION)?_?ID$ | SONAR_LOGIN$ | PROXYAUTH$ | (?:^|_)(?:HMAC|SALT|PEPPER)$""",
    re.VERBOSE,
)
"""Names that announce a secret only if the value looks like one."""

_OF_TOKENS: Final = re.compile(r"(?:^|_)(?:SAS|SK|API|SIGNING|LICEN[CS]E)$")
"""Names of secrets only where their value is a token: most are an address or a word."""

_OF_PAIRS: Final = re.compile(
    r"^ETCDCTL_USER$ | ^BUNDLE_(?!BUILD_|MIRROR_|LOCAL_)\w{1,64}_(?:COM|ORG|NET|IO|DEV|CLOUD)$", re.VERBOSE
)
"""Names of USER:PASSWORD."""

_NO_SECRET: Final = re.compile(
    r"""^(?:NO|WITHOUT|DISABLE|ASK|PROMPT|LIST|EXPORT|DELETE|IMPORT|GEN|GENERATE|SHOW|PRINT|REQUIRE|ALLOW|ENABLE
      |HAS|SKIP|XDG)_ | (?:^|_)AUTH_USER_PASS$ | CA_CERT_HASH$ | ^OLDPWD$
    | _(?:FILES?|FILENAME|PATH|DIR|DIRECTORY|STDIN|FD|PROMPT|COMMAND|CMD|TTL|TYPE|NAME|LEN|LENGTH|SIZE|MIN
      |MAX|POLICY|EXPIR(?:Y|ES|ATION)(?:_IN)?|LIFETIME|TIMEOUT|HELPER|ALG|ALGO|ALGORITHM|FORMAT|HASHER|MODE
      |ENABLED|REQUIRED|PROVIDER|STORE|ENDPOINT|HOST|PORT|ISSUER|AUDIENCE|SERVICE|SOCK|SOCKET|METHOD|COUNT
      |LIMIT|BUDGET|MANAGER|SERVER|VERSION|ROTATION|PREFIX|ALIAS|USAGE|FINGERPRINT|REF|LABEL|PLUGIN|AGE
      |BACKEND|CLASS|CHARS|CHARSET|COST|ROUNDS|STRENGTH|SCOPES?|PER_SECOND|WINDOW|INTERVAL|DAYS|NAMESPACE)$
    | (?<!WEBHOOK)_UR[IL]$ | (?<!ACCESS_KEY)(?<!ACCESSKEY)(?<!SECRET)(?<!SESSION)_ID$
    | (?:^|_)(?:MAX|MIN|NUM|N|TOTAL|PROMPT|COMPLETION|INPUT|OUTPUT|NEW|STOP|SPECIAL|PAD|BOS|EOS)_TOKENS?$
    | (?:^|_)(?:PUBLIC|PUB|SORT|PRIMARY|FOREIGN|PARTITION|CACHE|HOT|ROUTING|GROUP|INDEX|OBJECT|ROW|SHORTCUT
      |COMPOSE|SEARCH|MAP|JOIN|LOOKUP|SWITCH|META|MENU|REGISTRY|TRANSLATION|SHARD)_KEY$
    """,
    re.VERBOSE,
)
"""Names for the place, the length or the absence of a secret: their values are facts worth seeing."""

_COMMAND: Final = re.compile(
    r"(?:PASS|PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN)_?(?:COMMAND|CMD|EVAL)$",
)
"""Names of commands that print a secret."""

_TYPED: Final = re.compile(r"""(?<![\w-])(?:echo|printf)\s{1,4}(?!["']?\$)|<<<""")
"""Part of such a command if it contains the secret."""

_RANDOM: Final = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[\w+=~-]{10,256}\Z")
"""A value of --key that is neither a file nor a name."""

_TOKEN: Final = re.compile(
    r"""(?=[^0-9]*[0-9])(?:(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[\w+/=~-]{16,512}
      | [a-z0-9]{24,512} | [A-Z0-9]{20,512} | (?=[^a-f]*[a-f])[0-9a-f-]{24,512})\Z""",
    re.VERBOSE,
)
"""What services give out: no word has its digits and letters mixed for so long."""

_PAIR: Final = re.compile(r"[^:/]{1,128}:(?!//).")

_PLACE: Final = re.compile(
    r"""(?:~|\.{1,2})/ | (?:file|env|fd):
    | (?:/(?:etc|run|home|root|var|usr|tmp|opt|srv|mnt|media|proc|dev|app|data|secrets?|keys|certs|config
      |workspace|builds?|host|nix|snap|bin|sbin|lib|lib64|sys|boot|Users)/)
    | stdin$ | prompt$""",
    re.VERBOSE,
)
"""The beginning of a value that names the place of a secret."""

_EXPANSION: Final = re.compile(r"""["']?\$(?:[A-Z_][A-Z0-9_]*|\{[A-Za-z_]\w*\}|\([^()]*\)|\d)["']?""")
"""What a shell replaces by the secret."""

_WORD: Final = re.compile(r"[A-Za-z]{1,11}|[A-Za-z]+(?:[-_/ ][A-Za-z]+)+|\d{1,3}|.{1,3}", re.DOTALL)


_IF_TYPED: Final = 3
_IF_RANDOM: Final = 4
_IF_TOKEN: Final = 5
_IF_PAIR: Final = 6

_CONDITIONS: Final = {
    _IF_TYPED: _TYPED.search,
    _IF_RANDOM: _RANDOM.match,
    _IF_TOKEN: _TOKEN.match,
    _IF_PAIR: _PAIR.match,
}
"""The test of a value for each strength that depends on it."""

_LONGEST_KNOWN: Final = 256
"""Characters of names whose answer is cached: a process may have names of 64 KiB."""


def _strength(name: str) -> int:
    """Return 2 if a value of this name is a secret, 1 if it may be one, 0 if it is not.

    Return one of ``_CONDITIONS`` if it is a secret only if the value has that shape.
    """
    return _known_strength(name) if len(name) <= _LONGEST_KNOWN else _work_out_strength(name)


def _work_out_strength(name: str) -> int:
    normal = _NO_LETTER.sub("_", _HUMP.sub("_", name).upper()).strip("_")
    if normal == "KEY" and name.startswith("-"):
        return _IF_RANDOM
    if _COMMAND.search(normal):
        return _IF_TYPED
    if _NO_SECRET.search(normal):
        return 0
    if _WEAK.search(normal):
        return 1
    if _OF_TOKENS.search(normal):
        return _IF_TOKEN
    if _OF_PAIRS.search(normal):
        return _IF_PAIR
    return 2 if _SECRET.search(normal) else 0


_known_strength: Final = lru_cache(maxsize=8192)(_work_out_strength)


def is_secret_name(name: str) -> bool:
    """Return whether a variable, an option or a key of this name may hold a secret."""
    return _strength(name) > 0


def is_secret(name: str, value: str, *, in_script: bool = False, is_bare: bool = False) -> bool:
    """Return whether the value of this name is a secret.

    Args:
        name: The name of a variable, an option or a key in any spelling: "DB_PASSWORD", "--db-pass".
        value: Its value.
        in_script: Whether a shell will still expand variables in the value.
        is_bare: Whether it has no quotes where a secret would have some: a word of a sentence, a number.
    """
    strength = _strength(name)
    if not strength or not value or _PLACE.match(value):
        return False
    if strength in _CONDITIONS:
        return bool(_CONDITIONS[strength](value))
    if name.lstrip("-").upper() == "PWD" and value.startswith(("/", "\\", "C:")):
        return False
    if in_script and _EXPANSION.fullmatch(value):
        return False
    if value.isdigit() and name.lower().endswith("tokens"):
        return False
    return (strength == 2 and not is_bare) or not _WORD.fullmatch(value)
