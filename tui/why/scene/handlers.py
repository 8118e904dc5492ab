"""binfmt_misc: the interpreters registered for foreign files (admin-guide/binfmt-misc of the kernel)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.binfmt import BINPRM_BUF_SIZE
from execwhy.bpf.caller.lookup import File
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.scene import Scene

DIRECTORY: Final = "/proc/sys/fs/binfmt_misc"
MAX_HANDLERS: Final = 128


@dataclass(frozen=True, slots=True)
class Handler:
    """A registration.

    Attributes:
        name: Its name.
        enabled: It is switched on.
        interpreter: The program that is started instead of the file.
        flags: Such as "POCF".
        offset: Position of the magic bytes.
        magic: The bytes; b"" for a handler by extension.
        mask: The bits of them that count.
        extension: The ending of the name, without its dot; "" for a handler by magic.
    """

    name: str
    enabled: bool
    interpreter: str
    flags: str = ""
    offset: int = 0
    magic: bytes = b""
    mask: bytes = b""
    extension: str = ""

    def takes(self, head: bytes, path: str) -> bool:
        """Return whether it takes a file with these first bytes and this path."""
        if self.extension:
            return os.path.basename(path).rpartition(".")[2] == self.extension
        part = head[:BINPRM_BUF_SIZE][self.offset : self.offset + len(self.magic)]
        mask = self.mask or b"\xff" * len(self.magic)
        return len(part) == len(self.magic) and all(
            (have ^ want) & bits == 0 for have, want, bits in zip(part, self.magic, mask, strict=False)
        )


def parse(name: str, text: str) -> Handler | None:
    """Return the registration that a file of binfmt_misc shows; None if it shows none."""
    lines = text.splitlines()
    values = {key: value for key, _, value in (line.partition(" ") for line in lines[1:])}
    if not lines or "interpreter" not in values:
        return None
    try:
        return Handler(
            name,
            lines[0] == "enabled",
            values["interpreter"],
            values.get("flags:", ""),
            int(values.get("offset", "0")),
            bytes.fromhex(values.get("magic", "")),
            bytes.fromhex(values.get("mask", "")),
            values.get("extension", "").lstrip("."),
        )
    except ValueError:
        return None


def registered() -> tuple[Handler, ...]:
    """Return all registrations; () if there are none or binfmt_misc is not mounted."""
    try:
        names = sorted(os.listdir(DIRECTORY))[:MAX_HANDLERS]
    except OSError:
        return ()
    texts = ((name, read_proc(f"{DIRECTORY}/{name}")) for name in names if name not in ("register", "status"))
    handlers = (parse(name, text) for name, text in texts if text)
    return tuple(handler for handler in handlers if handler is not None)


def unseen(scene: Scene) -> str | None:
    """Return a sentence if there may have been handlers at the exec that are not seen at the look."""
    return _of_a_user_namespace(scene) or _removed(scene)


def undated(scene: Scene, handler: Handler, file: File, path: str) -> str | None:
    """Return a sentence unless this was the handler that took the file at the exec.

    The ctime of a registration is when it was made. Switching it on or off need not change that, so of two
    handlers for the same files neither is sure to be the one.
    """
    if sum(other.takes(file.head or b"", path) for other in registered()) > 1:
        return "Several handlers of binfmt_misc take such files; which of them was in force is not known."
    place = f"{DIRECTORY}/{handler.name}"
    try:
        return scene.changed(place, os.stat(place))
    except OSError:
        return f"The handler {words.quoted_briefly(handler.name)} is gone by now."


def _removed(scene: Scene) -> str | None:
    """Return a sentence if a handler may have been removed since the exec, by their directory's ctime."""
    try:
        # Without binfmt_misc there is a directory of /proc instead, whose ctime is that of its first use.
        os.stat(f"{DIRECTORY}/register")
        return scene.changed(DIRECTORY, os.stat(DIRECTORY))
    except OSError:
        return None


def _of_a_user_namespace(scene: Scene) -> str | None:
    """Return a sentence if the caller may have had handlers of its own, of its user namespace (Linux 6.7)."""
    numbers = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < (6, 7):
        return None
    if scene.credentials.has_all_ids:
        return None
    return "A user namespace can have handlers of its own in binfmt_misc, which were not looked at."


def handler_of(file: File, path: str) -> Handler | None:
    """Return the registration that takes a file, an enabled one first; None if none does."""
    taking = [handler for handler in registered() if handler.takes(file.head or b"", path)]
    return next((handler for handler in taking if handler.enabled), taking[0] if taking else None)
