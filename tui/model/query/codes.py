"""The causes' names in the filter language: one that no cause has selects nothing, and is mostly a slip."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from execwhy.tui.model.query.fields import nearest

CODES: Final = (
    "32-bit-not-supported", "appeared-since", "argument-too-long", "arguments-in-path",
    "arguments-too-big", "bad-argument-pointer", "bad-descriptor", "bad-elf-interpreter",
    "bad-path-pointer", "blank-before-shebang", "blank-in-env-argument", "blank-in-path",
    "bom-before-shebang", "changed-since", "close-on-exec-script", "crlf-interpreter", "dangling-link",
    "descriptor-is-no-directory", "descriptor-limit", "descriptor-of-removed-directory",
    "diagnosis-failed", "ebadmsg", "ehostdown", "eintr", "eisdir", "ekeyrejected", "empty-file",
    "empty-path", "enodev", "enokey", "enotconn", "enxio", "eoverflow", "estale", "etimedout",
    "euclean", "file-capabilities-not-granted", "foreign-architecture", "interpreter-not-executable",
    "interpreter-on-noexec-mount", "interpreters-nested-too-deep", "is-directory",
    "killed-after-point-of-no-return", "link-loop", "link-not-followed", "links-forbidden-by-mount",
    "macos-program", "malformed-elf", "missing-binfmt-interpreter", "missing-directory",
    "missing-elf-interpreter", "missing-file", "missing-in-working-directory", "missing-interpreter",
    "missing-kernel-helper", "missing-program-of-env", "name-ends-in-cr", "name-too-long",
    "namespace-gone", "no-execute-permission", "no-shebang", "no-such-system-call", "noexec-mount",
    "not-a-directory", "not-a-program", "not-an-executable-elf", "not-expanded", "not-looked-at",
    "open-for-writing", "out-of-memory", "path-too-long", "process-limit", "protected-link",
    "quotes-in-path", "read-error", "replaced-since", "seccomp-filter", "several-causes",
    "shebang-too-long", "shebang-without-interpreter", "special-file", "system-file-limit",
    "text-with-bom", "too-many-links", "truncated-elf", "unexplained", "unexplained-denial",
    "unknown-flags", "unsearchable-directory", "vanished-since", "variable-too-long", "windows-program",
    "working-directory-gone",
)  # fmt: skip
"""Every code that this version gives to a diagnosis."""

FIELDS_OF_CODES: Final = frozenset({"why", "diagnosis.code"})
"""The fields that have codes; the first one has words as well."""

_SHAPE: Final = re.compile(r"[a-z]+(-[a-z]+)+")


def slip(text: str, holds: Callable[[str], bool]) -> str | None:
    """Return what was expected, where a text has the shape of a code and no code matches; else None.

    Args:
        text: What is asked for, not in quotes: these are for words, and for the codes of other versions.
        holds: Whether a code is what is asked for.
    """
    if not _SHAPE.fullmatch(text) or any(map(holds, CODES)):
        return None
    meant = nearest(text, dict.fromkeys(CODES))
    hint = f"; did you mean {meant}?" if meant else ""
    return f"a cause, such as missing-file, or other words in quotes{hint}"
