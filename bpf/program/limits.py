"""Limits of the BPF program: how much it reads, and how large its tables are."""

from __future__ import annotations

from typing import Final

CHUNK: Final = 4096
"""Most bytes of a string in one read, including the NUL (PATH_MAX)."""
MAX_ELEMENTS: Final = 512
"""Most reads of argv's or envp's strings: more is too much for the verifier."""
MAX_COUNTED_BLOCKS: Final = 64
"""Most blocks of 32 pointers that are counted after a limit is reached: argc up to at least 2,048."""
MAX_MEASURES: Final = 64
"""Most reads to find out which string is too long, after E2BIG: one such string takes 33."""
MAX_ARG_STRLEN: Final = 131_072
"""The longest single string with its NUL: 32 pages of 4 KiB (include/uapi/linux/binfmts.h)."""
BLOCK: Final = 256
"""Bytes of pointers in one read: a power of two, so that no block crosses a page."""
MAX_COMPONENTS: Final = 96
"""Most components of a path that are walked; each mount on the way counts, too."""
MAX_PATH_BYTES: Final = 4096
"""Bytes of a path after which its walk ends."""
MAX_ANCESTORS: Final = 32
"""Most ancestors that are read. Nearly always this is all of them: a build in a container has a dozen."""
MAX_CGROUP_DEPTH: Final = 32
"""Most components of a cgroup's path that are read."""
MAX_GROUPS: Final = 32
"""Most supplementary groups that are read; if a caller has more, they are unknown."""
MAX_STACK_PAGES: Final = 640
"""Most pages of a new program's strings: a quarter of the usual stack limit of 8 MiB, and some more."""
MAX_SEARCHERS: Final = 16384
"""Most living tasks whose last exec failed. The PATH searches of any others are not followed."""
MAX_EXECS: Final = 4096
"""Most execs under way at once. Any others are recorded without the file that the kernel opened."""
MAX_COPIES: Final = 256
"""Most execs between their failure and the return to the caller, which takes some microseconds."""
SHARE_OF_TABLE: Final = 4
"""The divisor of a user's share: a user may have a quarter of each of these three tables."""
HOLDING_BITS: Final = 12
"""Slots for users, as a power of two: two users share a slot with a probability of one in 4,096."""
KEPT_SIZE: Final = 480
"""Bytes of a path that are kept while its exec is under way; with the other members, 512."""
KEPT_BITS: Final = 13
"""Slots for kept paths, as a power of two: 4 MiB. Of ten concurrent execs, one in 800 loses its slot."""
LONG_BITS: Final = 6
"""Slots for longer paths, as a power of two."""
STRIDE: Final = 32
"""Bytes of a path that are compared in one iteration."""
MAX_USERS: Final = 1024
"""Most users whose bytes in the ring are counted."""
ACTIVE_CAPTURE: Final = 0
"""Index in the array ``controls`` of the number of the capture filter in force."""
SUBORDINATES: Final = 0x10000
"""Number of a user's subordinate ids (useradd(8)); all of them have one share."""
SHARE_OF_ROOM: Final = 2
"""In a ring that is more than half full, a user may have this many times the free space; more is lost."""
INTERPRETER_SIZE: Final = 256
"""BINPRM_BUF_SIZE of include/uapi/linux/binfmts.h: no ``#!`` line is longer."""
MAX_UID_RANGES: Final = 16
"""Most uid ranges of a capture filter."""
MAX_CAPTURE_PATHS: Final = 8
"""Most paths of a capture filter."""
CAPTURE_PATH_SIZE: Final = 256
"""Bytes of a capture path that are compared."""

NS_PER_MS: Final = 1_000_000

KNOWN_NS: Final = 10_000_000
"""How long a task's cgroup and ancestors are reused by its next failing exec."""
KNOWN_WORDS: Final = 5
"""Number of words that must be unchanged for that: addresses of the task and its objects, and its ids."""

NUMBERS: Final = {name: value for name, value in list(globals().items()) if name.isupper()}
"""Every number above, by its macro in C."""
