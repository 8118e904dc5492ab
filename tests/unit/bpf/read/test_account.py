"""Records that user space drops are counted: failed execs as lost, and ends of searches as ``untold``."""

from __future__ import annotations

import numpy as np

from execwhy.bpf.events.kinds import EXEC, SEARCH_END_CODE
from execwhy.bpf.maps.counters import SHARE_FULL
from execwhy.bpf.program import layout
from execwhy.bpf.read.account import Account
from execwhy.bpf.read.losses import READER_STOPPED
from execwhy.bpf.read.ring import RecordRun


def raw(kind: int) -> bytes:
    data = bytearray(layout.HEADER_STRUCT.size)
    data[layout.offset_of("kind")] = kind
    return bytes(data)


FAILURE, END = raw(EXEC.code), raw(SEARCH_END_CODE)


def test_search_ends_dropped_by_a_full_queue_are_counted() -> None:
    account = Account()
    account.add_taken(FAILURE, [])
    account.add_taken(END, [])
    assert account.read() == "" and account.counters.untold == 0
    account.add_taken(FAILURE, [FAILURE, END, RecordRun(END, np.arange(3, dtype=np.uint64))])
    account.read()
    assert account.counters.untold == 4
    assert account.counters.losses == {SHARE_FULL: 1}


def test_abandoned_search_ends_are_counted() -> None:
    account = Account()
    account.add_abandoned([FAILURE, END, FAILURE])
    account.read()
    assert account.counters.untold == 1
    assert account.counters.losses == {READER_STOPPED: 2}
