"""The class of an errno, which decides its hue; its name always stands beside it."""

from __future__ import annotations

import errno
import os
from typing import Final, Literal

from execwhy.bpf.events.record import ExecFailure

ErrorClass = Literal["missing", "forbidden", "malformed", "limits", "other"]

_CLASSES: Final[dict[ErrorClass, tuple[int, ...]]] = {
    "missing": (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ENODEV, errno.ENXIO, errno.ESTALE),
    "forbidden": (errno.EACCES, errno.EPERM, errno.ETXTBSY, errno.EROFS),
    "malformed": (
        errno.ENOEXEC,
        errno.EINVAL,
        errno.ELIBBAD,
        errno.ELOOP,
        errno.EISDIR,
        errno.EFAULT,
    ),
    "limits": (
        errno.E2BIG,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.ENAMETOOLONG,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOSPC,
        errno.EDQUOT,
    ),
}
_BY_NUMBER: Final = {number: name for name, numbers in _CLASSES.items() for number in numbers}


def error_class(return_value: int) -> ErrorClass:
    """Return the class of a negative errno."""
    return _BY_NUMBER.get(-return_value, "other")


def own_words(record: ExecFailure) -> str:
    """Return the C library's words for the errno: "No such file or directory"."""
    return os.strerror(-record.return_value)
