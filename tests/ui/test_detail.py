"""The detail shows every fact of a record, marks missing parts, and masks secrets as dots."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.record import Ancestor, Attempt, ExecFailure, Outcome, Search, Truncated
from execwhy.tui.model.text.secrets import masked
from execwhy.tui.widgets.detail.fact import Fact
from execwhy.tui.widgets.detail.facts import sections
from execwhy.tui.widgets.events.columns import why_text
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import a_day, binary, diagnosed, failure


async def focus(screen: Opened, wanted: Callable[[Fact], bool]) -> None:
    """Go right until the wanted fact is focused."""
    for _ in range(60):
        fact = screen.detail.focused_fact
        if fact is not None and wanted(fact):
            return
        await screen.pilot.press("right")
    raise AssertionError("no such fact")


async def test_the_detail_is_below_the_table_at_120_columns_and_beside_it_at_160() -> None:
    async with opened(a_day(3), size=(120, 40)) as screen:
        table, detail = screen.table.region, screen.detail.region
        assert detail.y > table.y and detail.x == 0
        await screen.pilot.resize_terminal(160, 50)
        await screen.settle()
        table, detail = screen.table.region, screen.detail.region
        assert detail.x > table.x and detail.y <= table.y


async def test_in_a_narrow_window_enter_replaces_the_table_with_the_detail_until_escape() -> None:
    async with opened(a_day(3), size=(80, 24)) as screen:
        assert "Binary" not in screen.text
        await screen.press("enter")
        assert "Binary" in screen.text
        assert "TIME" not in screen.text
        await screen.press("escape")
        assert "Binary" not in screen.text
        assert "TIME" in screen.text
        await screen.press("escape")
        assert screen.app.is_running


async def test_the_detail_shows_all_facts() -> None:
    record = failure(
        "run.sh", 13, binary=binary("/srv/run.sh", 0o100644), interpreter_path="/bin/sh", cwd="/srv",
        uid=1234567, euid=0, fsuid=0, gid=7654321, tty="pts/3", compat=True, syscall="execveat", dirfd=5,
        flags=0x1100, container_id="4f9c2a1be07d" + "0" * 52, pid=77, tid=78, killed_by="SIGSEGV",
    )  # fmt: skip
    record = diagnosed(record, "no-x", "no x", "It has no execute bit.", "chmod +x run.sh")
    async with opened([record], size=(250, 80)) as screen:
        for fact in (
            "It has no execute bit.", "EACCES", "Permission denied", "→ chmod +x run.sh", "SIGSEGV",
            "is /srv/run.sh", "inode 1835021", "device 254:0", "(266338304)", "-rw-r--r-- root:root",
            "1.2 kB (1,204 bytes)", "3 minutes before (2026-11-24 21:47:02)", "looked up right after",
            "/bin/sh", "bash 77", "thread 78", "← containerd 811", "← systemd 1", "uid 1234567",
            "euid 0 (root)",
            "gid 7654321", "cwd /srv", "stdin /dev/null (character device)", "tty pts/3",
            "container 4f9c2a1be07d", "unit cron.service", "cgroup /system.slice/cron.service",
            "mount ns 4026531841", "pid ns 4026531836", "execveat 32-bit", "dirfd 5",
            "flags 0x1100 AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH", "returned -13",
            "at 2026-11-24 21:50:12.031000000 +0000", "--config", "HOME=/root",
        ):  # fmt: skip
            assert fact in screen.text, fact


async def test_an_uncertain_cause_is_marked_as_uncertain_once() -> None:
    record = diagnosed(failure("/x", 13), "no-x", "no x", "It has no execute bit.", None)
    assert record.diagnosis is not None
    for evidence in ((), ("Its mode is 0644.", "Not certain: its directory has changed.")):
        diagnosis = replace(record.diagnosis, certain=False, evidence=evidence)
        async with opened([replace(record, diagnosis=diagnosis)], size=(120, 40)) as screen:
            assert screen.text.lower().count("not certain") == 1
            assert not evidence or evidence[-1] in screen.text


async def test_secrets_are_dots() -> None:
    async with opened([failure(arguments=("mysql", "--password=hunter2"))], size=(250, 80)) as screen:
        assert "DB_PASSWORD=••••••" in screen.text
        assert "--password=••••••" in screen.text
        assert "hunter2" not in screen.text


async def test_secrets_are_shown_if_that_was_asked_for() -> None:
    async with opened([failure()], size=(250, 80), show_secrets=True) as screen:
        assert "DB_PASSWORD=hunter2" in screen.text


async def test_a_masked_text_does_not_become_a_filter() -> None:
    async with opened([failure()], size=(250, 80)) as screen:
        await screen.press("tab")
        await focus(screen, lambda fact: "DB_PASSWORD" in fact.text)
        await screen.press("plus")
        assert "hunter2" not in screen.text
        assert "==" not in screen.filter


def test_masked_text_of_a_search_or_a_path_does_not_become_a_filter() -> None:
    token = "ghp_" + "a1B2" * 9
    path = f"/srv/{token}/{token}"
    record = failure(
        path, binary=binary(path + "/x"), interpreter_path=path, cwd=path, root=path, stdin_path=path,
        search=Search(1, token, 2, "found", path, (Attempt(path, -2), Attempt("/b/x", -2))),
    )  # fmt: skip

    def fields(shown: ExecFailure) -> Counter[str | None]:
        found = sections(record, shown, looking=False)
        return Counter(fact.field for section in found for fact in section.facts)

    shown = sections(record, masked(record), looking=False)
    assert token not in repr(shown)
    assert fields(record) - fields(masked(record)) == Counter(
        {"path": 2, "binary.path": 1, "interpreter_path": 1, "cwd": 1, "stdin_path": 1, "search.name": 1}
        | {"search.found_path": 1, "arg": 1, "env": 1}
    )
    assert fields(masked(record))["path"] == 1, "a try whose path is shown as it is"


def test_the_search_is_described_once() -> None:
    search = Search(1, "cmake", 2, "not-found", None, (Attempt("/a/cmake", -2), Attempt("/b/cmake", -2)))
    record = failure("/b/cmake", search=search)
    found = sections(record, record, looking=False)
    words = [section.title for section in found for fact in section.facts if fact.text == "cmake"]
    assert words == ["Search"]


async def test_a_search_lists_the_cause_of_each_try() -> None:
    attempts = tuple(Attempt(f"{directory}/cmake", -2) for directory in ("/opt/bin", "/usr/bin", "/sbin"))
    folded = Search(1, "cmake", 3, "not-found", None, folded=True)
    briefs = ("missing directory /opt/bin", "no such file", "no such file")
    tries = [
        diagnosed(
            failure(attempt.path, search=folded),
            "missing-file",
            brief,
            f'"{attempt.path}" does not exist.',
            None,
        )
        for attempt, brief in zip(attempts, briefs, strict=True)
    ]
    tries[-1] = replace(tries[-1], search=replace(folded, attempts=attempts, folded=False))
    async with opened(tries, size=(250, 60)) as screen:
        lines = screen.lines()
        for attempt, brief in zip(attempts, briefs, strict=True):
            assert any(f"ENOENT   {attempt.path}   {brief}" in line for line in lines), "\n".join(lines)
        assert any('Last try: "/sbin/cmake" does not exist.' in line for line in lines)


def words_of_search(
    standing: ExecFailure, others: tuple[Attempt, ...], outcome: Outcome = "not-found"
) -> str:
    """Return WHY of the row of a search, and what its detail says."""
    path, value = standing.path or "", standing.return_value
    attempts = (*others, Attempt(path, value))
    search = Search(1, path.rpartition("/")[2], len(attempts), outcome, None, attempts)
    record = replace(standing, search=search)
    facts = [fact for section in sections(record, record, looking=False) for fact in section.facts]
    return " | ".join([why_text(record, False)[0], *(f"{fact.label} {fact.text}".strip() for fact in facts)])


MISSING: Final = (Attempt("/opt/bin/deploy", -errno.ENOENT), Attempt("/usr/bin/deploy", -errno.ENOENT))


def test_a_search_that_ends_with_eacces_found_a_file_that_may_not_be_executed() -> None:
    found = failure("/srv/bin/deploy", error=errno.EACCES, binary=binary("/srv/bin/deploy"))
    brief = "not executable by anyone (rw-r--r--)"
    found = diagnosed(found, "no-execute-permission", brief, "root may not execute it.", "chmod +x it")
    words = words_of_search(found, MISSING)
    assert f"{brief}; it is not in 2 other directories" in words
    assert (
        '"deploy" was found at /srv/bin/deploy, where it could not be executed; it is not in 2 other' in words
    )
    assert "A search goes on after such an error" in words
    assert "not found in 3 directories" not in words


def test_a_search_that_met_an_inaccessible_directory_found_nothing() -> None:
    met = failure("/srv/bin/deploy", error=errno.EACCES, binary=None)
    met = diagnosed(met, "unsearchable-directory", "unsearchable directory /srv", "It may not.", None)
    words = words_of_search(met, MISSING)
    assert (
        'The search for "deploy" ended with EACCES, which it met at /srv/bin/deploy; it is not in 2' in words
    )
    assert "was found" not in words


def test_a_cause_of_the_last_try_other_than_its_directory_comes_first() -> None:
    last = failure("/srv/bin/deploy", error=errno.ENOENT, binary=None)
    last = diagnosed(last, "name-ends-in-cr", "its name ends in CR", "Its name ends in CR.", None)
    words = words_of_search(last, MISSING)
    assert "its name ends in CR; not found in 3 directories" in words
    assert 'Its name ends in CR. | "deploy" was not found in 3 directories.' in words


def test_an_open_search_has_found_nothing_so_far() -> None:
    last = failure("/srv/bin/deploy", error=errno.ENOENT, binary=None)
    words = words_of_search(last, MISSING, "open")
    assert words.startswith("not found in 3 directories so far")
    assert "its end was not seen" in words
    met = failure("/srv/bin/deploy", error=errno.EACCES, binary=None)
    met = diagnosed(met, "unsearchable-directory", "unsearchable directory /srv", "It may not.", None)
    words = words_of_search(met, MISSING, "open")
    assert 'The search for "deploy" met EACCES at /srv/bin/deploy; it is not in 2 other' in words
    assert "ended with" not in words


async def words_of_ancestors(*pids: int) -> str:
    family = tuple(Ancestor(pid, f"p{pid}") for pid in pids)
    async with opened([failure("/bin/x", ppid=pids[0], ancestors=family)], size=(80, 40)) as screen:
        await screen.press("enter")
        return " ".join(" ".join(screen.lines()).split())


async def test_ancestors_end_with_the_topmost_and_omitted_ones_are_counted() -> None:
    assert "← p9 9 ← p8 8 ← p7 7 ← p6 6 ← p5 5 ← p4 4 ← p1 1 uid" in await words_of_ancestors(
        9, 8, 7, 6, 5, 4, 1
    )
    words = await words_of_ancestors(*range(20, 0, -1))
    assert "← p20 20 ← p19 19 ← p18 18 ← p17 17 ← p16 16 ← … 14 more ← p1 1 uid" in words


async def test_ancestors_that_were_not_read_to_the_top_are_marked() -> None:
    assert "← p9 9 ← p8 8 ← … uid" in await words_of_ancestors(9, 8)


async def test_a_fact_becomes_a_filter() -> None:
    async with opened(a_day(7), size=(250, 80)) as screen:
        await screen.press("home", "tab")
        await focus(screen, lambda fact: fact.label == "inode")
        await screen.press("plus")
        assert "binary.inode_number==1835021" in screen.filter


async def test_truncated_unread_and_omitted_strings_are_marked_in_place() -> None:
    record = failure(
        arguments=("run", None, "beginning"),
        environment=("A=1",) * 41,
        truncated=Truncated(arguments=True, environment=True, argc=None, envc=400, argument_indexes=(2,)),
    )
    async with opened([record], size=(250, 100)) as screen:
        assert "3 of unknown, truncated" in screen.text
        assert "41 of 400, truncated" in screen.text
        assert "beginning … cut here" in screen.text
        assert "unread" in screen.text


async def test_unreadable_arguments_differ_from_no_arguments() -> None:
    async with opened(
        [failure(arguments=(), environment=(), arguments_source="unreadable")], size=(250, 80)
    ) as screen:
        assert screen.text.count("could not be read") == 2


async def test_the_detail_of_a_loss_has_the_equation() -> None:
    async with opened(a_day(5)) as screen:
        await screen.press("up", "down")
        assert "137 seen = 5 recorded + 0 suppressed + 132 lost" in screen.text


async def test_a_click_focuses_the_fact_that_is_there() -> None:
    async with opened(a_day(4)) as screen:
        line = next(number for number, text in enumerate(screen.lines()) if "inode 1835021" in text)
        at = screen.lines()[line].index("1835021")
        await screen.pilot.click(offset=(at + 1, line))
        await screen.pilot.pause()
        fact = screen.detail.focused_fact
        assert fact is not None and fact.text == "1835021"
