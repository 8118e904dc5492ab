"""The causes that are never certain and need no test with replaced or planted evidence."""

from __future__ import annotations

from typing import Final

NEVER_CERTAIN: Final = frozenset(
    {
        "32-bit-not-supported", "appeared-since", "bad-path-pointer", "blank-in-env-argument",
        "changed-since", "close-on-exec-script", "descriptor-is-no-directory",
        "descriptor-of-removed-directory",
        "diagnosis-failed", "ebadmsg", "ehostdown", "eintr", "eisdir", "ekeyrejected", "enodev", "enokey",
        "enotconn", "enxio", "eoverflow", "estale", "etimedout", "euclean",
        "missing-program-of-env", "namespace-gone", "no-such-system-call", "not-looked-at", "read-error",
        "replaced-since", "several-causes", "system-file-limit", "unexplained", "unexplained-denial",
        "vanished-since",
    }
)  # fmt: skip
"""Causes whose diagnoses say what evidence is missing, and those of other errnos, which leave no trace."""
