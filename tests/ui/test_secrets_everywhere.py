"""No output of the program contains text that looks like a secret: screen, clipboard or file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from execwhy.bpf.events.record import Attempt, Diagnosis, ExecFailure, Search
from execwhy.tui.model.files import event_lines, record_csv
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import add_term, parse
from execwhy.tui.model.query.hint import hint
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import failure
from tests.ui.test_save import name_it

SECRET = "S3CRET-hunter2"
COMMAND_LINE = f"/usr/bin/curl -u bob:{SECRET} example.org"
WHY = Diagnosis(
    "command-line-as-name",
    f'"{COMMAND_LINE}" was taken for the name of one file; "-u bob:{SECRET}" looks like its arguments.',
    (f"the argument {SECRET} has 14 characters",),
    f"Leave {SECRET} out.",
    brief=f"-u bob:{SECRET} is no part of a name",
)
RECORD = failure(
    COMMAND_LINE,
    arguments=(
        COMMAND_LINE, "--password", SECRET, f'{{"password":"{SECRET}"}}', f"https://u:{SECRET}/x@h/",
        f"Server=h;Uid=u;Pwd={SECRET};", "htpasswd", "-b", "file", "user", SECRET,
    ),
    environment=("PATH=/usr/bin", f"WIFI_PSK={SECRET}", f'AUTH={{"auths":{{"r":{{"auth":"{SECRET}"}}}}}}'),
    cwd=f"/srv/{SECRET}",
    interpreter_path=f"/opt/{SECRET}/sh",
    stdin_path=f"/tmp/{SECRET}",
    root=f"/jail/{SECRET}",
    comm=SECRET,
    unit=f"run-{SECRET}.service",
    diagnosis=WHY,
    search=Search(
        1, f"curl -u bob:{SECRET} example.org", 2, "not-found", None,
        (Attempt(COMMAND_LINE, -2), Attempt(f"/bin/curl -u bob:{SECRET} example.org", -2)),
    ),
)  # fmt: skip


def with_secret(event: ExecFailure = RECORD) -> list[ExecFailure]:
    return [event]


async def copied(screen: Opened, *keys: str) -> str:
    await screen.press(*keys)
    return screen.app.clipboard


async def test_the_test_record_shows_its_secrets_if_they_are_asked_for() -> None:
    async with opened(with_secret(), size=(250, 80), show_secrets=True) as screen:
        assert screen.text.count(SECRET) > 10
        assert SECRET in await copied(screen, "y", "b")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (250, 80)])
async def test_row_and_detail_show_no_secret(size: tuple[int, int]) -> None:
    async with opened(with_secret(), size=size) as screen:
        assert "S3CRET" not in screen.text
        await screen.press("tab", *["down"] * 30)
        assert "S3CRET" not in screen.text


@pytest.mark.parametrize("key", ["y", "j", "s", "b"])
async def test_no_copied_text_holds_a_secret(key: str) -> None:
    async with opened(with_secret()) as screen:
        text = await copied(screen, "y", key)
        assert "curl" in text
        assert "S3CRET" not in text
        assert "S3CRET" not in screen.text


async def test_no_copied_fact_holds_a_secret() -> None:
    async with opened(with_secret(), size=(250, 80)) as screen:
        await screen.press("tab")
        for _ in range(60):
            await screen.press("down")
            assert "S3CRET" not in await copied(screen, "y", "y")


@pytest.mark.parametrize("by", range(1, 9))
async def test_no_group_shows_a_secret_or_becomes_a_filter_with_one(by: int) -> None:
    async with opened(with_secret(), size=(250, 80)) as screen:
        await screen.press("t", str(by))
        await screen.settle()
        assert "S3CRET" not in screen.text
        assert "S3CRET" not in await copied(screen, "y")
        await screen.press("plus")
        assert "S3CRET" not in screen.text
        assert "S3CRET" not in screen.filter


async def test_no_cell_or_fact_with_a_secret_becomes_a_filter() -> None:
    async with opened(with_secret(), size=(250, 80)) as screen:
        for _ in range(12):
            await screen.press("plus", "right")
            assert "S3CRET" not in screen.filter
        await screen.press("tab")
        for _ in range(40):
            await screen.press("plus", "down")
            assert "S3CRET" not in screen.filter


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.svg"])
async def test_no_file_holds_a_secret(name: str, tmp_path: Path) -> None:
    async with opened(with_secret(), size=(250, 80)) as screen:
        await screen.press("w")
        await name_it(screen, tmp_path / name)
        await screen.settle()
    text = (tmp_path / name).read_text()
    assert "curl" in text
    assert "S3CRET" not in text


def test_no_line_of_a_recording_holds_a_secret() -> None:
    line = event_lines.EventLines(show_secrets=False).of(RECORD)
    assert json.loads(line)["diagnosis"]["code"] == WHY.code
    assert "S3CRET" not in line
    assert "S3CRET" in event_lines.EventLines(show_secrets=True).of(RECORD)


def test_no_cell_of_a_csv_table_holds_a_secret() -> None:
    text = "".join(record_csv.lines([RECORD], show_secrets=False))
    assert len(list(csv.reader(io.StringIO(text)))) == 2
    assert "S3CRET" not in text


@pytest.mark.parametrize(
    "field",
    ["path", "search.name", "why", "diagnosis.summary", "diagnosis.brief", "diagnosis.advice"],
)
def test_no_suggested_correction_holds_a_secret(field: str) -> None:
    history = History()
    history.append([RECORD])
    for asked in ("/usr/bin/curl -u bob:S3CRET-hunter example.org", WHY.summary[:-1], WHY.brief[:-1], "x"):
        query = parse(add_term("", field, asked, exclude=False))
        assert "S3CRET" not in hint(query, history, 1).replace(asked, "")
