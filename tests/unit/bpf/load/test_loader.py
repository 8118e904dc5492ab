"""The loader's messages are read one by one, even if several arrive together."""

from __future__ import annotations

import os
import socket
import sys
import time

import pytest

from execwhy.bpf.load import loader
from execwhy.bpf.load.loader import Loader
from execwhy.bpf.load.probe import MAPS
from execwhy.bpf.program.text import Settings

PATIENCE = 60.0

AT_ONCE = """
import json, os, socket, sys
parent = socket.socket(fileno=int(sys.argv[2]))
live = dict(stage="live", plan="tracepoint", hooks=[], refused=[], buffers=0)
for message in (dict(stage="compiling", plan="tracepoint"), dict(stage="attaching", plan="tracepoint")):
    parent.sendall(json.dumps(message).encode() + b"\\n")
descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(int(os.environ["MAPS"]))]
socket.send_fds(parent, [json.dumps(live).encode() + b"\\n"], descriptors)
parent.recv(1)
"""


def test_messages_that_arrive_together_are_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "interpreter", lambda: sys.executable)
    monkeypatch.setattr(loader, "_RUN", AT_ONCE)
    monkeypatch.setattr(loader, "_ENVIRONMENT", {"MAPS": str(len(MAPS))})
    one = Loader(Settings(None, 4096, 4096, 4096))
    deadline = time.monotonic() + PATIENCE
    while b'"live"' not in one._ours.recv(65536, socket.MSG_PEEK):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stages: list[str] = []
    loaded = one.finish(lambda stage, plan: stages.append(stage))
    try:
        assert stages == ["compiling", "attaching"]
        assert os.path.samestat(os.fstat(loaded.counters), os.stat(os.devnull))
        assert loaded.plan == "tracepoint"
    finally:
        loaded.close()
