"""The passwd and group files are read, and lines that are no accounts are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from execwhy.bpf.events.accounts import read_ids, read_names

FILE = b"""root:x:0:0::/root:/bin/sh

alice:x:1000:1000::/:
alice:x:7
toor:x:0:0::/root:/bin/sh
# a:comment
x:y:z
b\xf6rn:x:1001:
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "passwd").write_bytes(FILE)
    return str(tmp_path / "passwd")


def test_the_first_account_of_a_name_counts(path: str) -> None:
    assert read_ids(path) == {"root": 0, "alice": 1000, "toor": 0, "b\udcf6rn": 1001}


def test_the_first_name_of_an_id_counts(path: str) -> None:
    assert read_names(path) == {0: "root", 1000: "alice", 7: "alice", 1001: "b\udcf6rn"}


def test_a_file_that_cannot_be_read_holds_no_account(tmp_path: Path) -> None:
    assert read_ids(str(tmp_path)) == {}
    assert read_names(str(tmp_path / "none")) == {}


def test_no_more_is_read_than_a_file_of_accounts_may_hold() -> None:
    assert read_ids("/dev/zero") == {}
