"""The filter language: what parses, what it selects, and what it says when it does not parse."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import re
from dataclasses import fields, replace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.record import Ancestor, Attempt, Binary, Diagnosis, ExecFailure, Search
from execwhy.bpf.events.source import Capture
from execwhy.tui.model.query import FIELDS, Query, QueryError, add_term, both, parse
from execwhy.tui.model.query import text as query_text
from execwhy.tui.model.query.text import is_glob
from execwhy.tui.model.text.printable import printable

SECOND = 10**9
NOW = 1_790_000_000 * SECOND

RECORD = ExecFailure(
    timestamp=NOW - 60 * SECOND,
    path="/opt/app/bin/run.sh",
    return_value=-2,
    binary=Binary("/opt/app/bin/run.sh", 8 << 20 | 1, "8:1", 42, NOW - 3600 * SECOND, 0o100644, "resolved"),
    interpreter_path="/bin/sh",
    stdin_type=0o020000,
    stdin_path="/dev/null",
    arguments=("run.sh", "--config=/etc/app.toml", "two words", None),
    environment=("PATH=/usr/bin", "LD_PRELOAD=/tmp/x.so"),
    pid=4242,
    ppid=1,
    uid=1000,
    euid=0,
    groups=(4, 27),
    comm="nginx",
    parent_comm="systemd",
    ancestors=(Ancestor(700, "containerd-shim"), Ancestor(1, "systemd")),
    unit="nginx.service",
    diagnosis=Diagnosis("missing-interpreter", "The interpreter /bin/zsh is missing.", brief="no /bin/zsh"),
    search=Search(7, "run.sh", 3, "not-found"),
)


def selects(text: str, record: ExecFailure = RECORD) -> bool:
    return parse(text).matches(record, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nginx ENOENT",
        "NGINX",
        "app.toml",
        '"two words"',
        "/opt/**",
        "uid:1000..1999 path:/opt/**",
        "uid:..1000",
        "uid:1000..",
        "uid == 1000",
        "uid=0x3e8",
        "uid>999 and uid<=1000",
        "errno in (ENOENT,EACCES)",
        "uid in (0, 1000..1999)",
        "error!=EACCES",
        "error==2",
        "error=-2",
        "error=enoent",
        "error:NOEN",
        "error~^ENO",
        "return_value==-2",
        "path~^/opt/ !comm:cron",
        "path~/(bin|sbin)/",
        "path:/opt/*/bin/run.*",
        "path:**/run.sh",
        "path:/opt/**/run.sh",
        "path:/opt/[a-c]pp/**",
        "path:RUN.SH",
        "comm:ng*x",
        "not (uid=0 or ppid=2)",
        "user==1000",
        "why:missing-interpreter",
        "why:/bin/zsh",
        "why==missing-interpreter",
        "diagnosis.code==missing-interpreter",
        "diagnosis.certain==true",
        "env:LD_PRELOAD",
        'arg:"two words"',
        "arg==run.sh",
        "arg:--config*",
        "age<5m",
        "age>59s",
        "age:30s..1h30m",
        "age=1m",
        "pid>0x100",
        "binary.inode_number==42",
        "inode=42",
        "device==8:1",
        "mode==0644",
        "binary.inode_mode==0o100644",
        "stdin_type==0o020000",
        "ancestors:shim",
        "groups=27",
        "search.outcome=not-found",
        "container==null",
        "unit!=null",
        "tty!=pts/3",
        "arg==null",
        "compat=false",
        "timestamp>2026-09-01T00:00:00Z",
        "cron OR nginx",
        "comm=cron or comm=nginx and uid=1000",
    ],
)
def test_a_filter_selects_the_exec_that_it_describes(text: str) -> None:
    assert selects(text)


@pytest.mark.parametrize(
    "text",
    [
        "cron",
        "EACCES",
        '"ENOENT"',
        "uid:1001..1999",
        "uid=0",
        "not nginx",
        "!nginx",
        "errno in (EPERM,EACCES)",
        "path:/opt/*",
        "path:/OPT/**",
        "path==/opt/app/bin/RUN.SH",
        "path=/opt",
        "comm!=nginx",
        "arg!=run.sh",
        "env:ld_preload=/tmp/y",
        "age>1m",
        "age>5m",
        "age<60s",
        "tty==pts/3",
        "tty:pts",
        "container:4f9c",
        "inode!=42",
        "mode==0755",
        "unit==null",
        "comm=cron and comm=nginx",
        "(comm=cron or comm=nginx) uid=0",
    ],
)
def test_a_filter_leaves_out_the_exec_that_it_does_not_describe(text: str) -> None:
    assert not selects(text)


def test_an_unknown_value_meets_only_negative_comparisons() -> None:
    unknown = replace(RECORD, path=None, binary=None, tty=None, diagnosis=None, started=None)
    for text in ("path:**", "path~.*", "inode>=0", "started>=0", "started<=0", "why:a", "mode<=07777"):
        assert not selects(text, unknown), text
    for text in ("path!=/x", "path!:/x", "path!~x", "inode!=1", "started!=0", "started==null", "why!:a"):
        assert selects(text, unknown), text


def test_a_user_is_given_by_name_or_number() -> None:
    root = replace(RECORD, uid=0)
    assert selects("user=root", root)
    assert selects("user:roo", root)
    assert selects("user==0", root)
    assert selects("uid=0", root)
    assert not selects("user=root")
    assert selects("user!=root")


def test_a_glob_crosses_slashes_only_where_it_says_so() -> None:
    def matches(pattern: str, path: str) -> bool:
        return selects(f"path:{pattern}", replace(RECORD, path=path))

    assert matches("/a/*/c", "/a/b/c")
    assert not matches("/a/*/c", "/a/b/b/c")
    assert matches("/a/**/c", "/a/b/b/c")
    assert matches("/a/**/c", "/a/c")
    assert not matches("/a/?/c", "/a///c")
    assert not matches("/a[!x]b", "/a/b")
    assert matches("/a[!x]b", "/ayb")
    assert matches("/a/**", "/a/\n\udcff")
    assert selects("arg:--config*toml"), "an argument is no path: its stars cross slashes"


def test_quotes_make_a_wildcard_and_a_word_plain_text() -> None:
    starred = replace(RECORD, path="/tmp/a*b")
    assert selects('path:"a*b"', starred)
    assert not selects('path:"a*b"')
    assert selects('"or"', replace(RECORD, comm="editor"))
    assert not selects('unit=="null"', replace(RECORD, unit=None))


@pytest.mark.parametrize(
    ("text", "start", "end", "words"),
    [
        ("uid:", 4, 4, "expected a number after :"),
        ("uid=x", 4, 5, "expected a number"),
        ("comm=a foo=1", 7, 10, "no field has the name foo"),
        ("pth=1", 0, 3, "did you mean path?"),
        ("path==", 6, 6, "expected a path after =="),
        ("comm=a (b", 7, 8, "expected )"),
        ("a)", 1, 2, "no ( is open"),
        ("a and", 5, 5, "after and"),
        ("a or or b", 5, 7, "after or"),
        ("or a", 0, 2, "expected a field or a word"),
        ("comm<3", 4, 5, "comm is text"),
        ("uid~3", 3, 4, "uid is a number"),
        ("error=ENOEN", 6, 11, "did you mean ENOENT?"),
        ("why=no-such-cause", 4, 17, "expected a cause, such as missing-file, or other words in quotes"),
        ("why:mising-file", 4, 15, "in quotes; did you mean missing-file?"),
        ("not why!=mising-file", 9, 20, "did you mean missing-file?"),
        ("diagnosis.code in (missing-file,mising-file)", 32, 43, "did you mean missing-file?"),
        ("path~[", 5, 6, "not a regular expression"),
        ("path~(a+)+$", 5, 11, "for ever"),
        ("path~(a)\\1", 5, 10, "for ever"),
        ("path~^a.*b.*c.*d.*e", 5, 19, "at most 3 repetitions"),
        ("path~a.*b.*c.*d", 5, 15, "at most 3 repetitions"),
        ("path~^(a?){20}b", 5, 15, "for ever"),
        ("path~^" + "a?" * 20 + "a" * 20, 5, 66, "at most 8"),
        ("uid in", 6, 6, "expected ("),
        ("uid in (1 2)", 10, 10, "expected , or )"),
        ("uid:5..3", 4, 8, "first number is the smaller"),
        ("age<5x", 4, 6, "expected an age"),
        ("user=no-such-user", 5, 17, "name of a user"),
        ('"abc', 0, 4, 'closing "'),
        ('arg="\\xg0"', 5, 9, "2 hexadecimal digits"),
        ('arg:a"b c"', 5, 6, "in quotes"),
        ("!=3", 0, 2, "before !="),
        ("not", 3, 3, "after not"),
        ("()", 1, 2, "not )"),
        ("x" * 5000, 4096, 5000, "at most 4096"),
    ],
)
def test_a_message_says_what_was_expected_and_where(text: str, start: int, end: int, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert (caught.value.start, caught.value.end) == (start, end)


def test_deep_nesting_is_refused_before_it_can_exhaust_the_stack() -> None:
    for text in ("(" * 2000, "!" * 2000, "not " * 1000):
        with pytest.raises(QueryError, match="inside each other"):
            parse(text)


def test_each_condition_knows_its_place_in_the_text() -> None:
    text = 'uid:1000..1999  path~"a b" nginx'
    places = [text[term.start : term.end] for term in parse(text).terms]
    assert list(dict.fromkeys(places)) == ["uid:1000..1999", 'path~"a b"', "nginx"]


def test_only_an_age_depends_on_time_and_only_a_cause_on_the_diagnosis() -> None:
    assert parse("age<5m").ages == (300 * SECOND - 1,)
    assert parse("timestamp>5 nginx").ages == ()
    assert parse("why:x or uid=0").depends_on_diagnosis
    assert not parse("nginx").depends_on_diagnosis
    assert parse("  ").is_empty


def test_every_name_of_the_specification_is_a_field() -> None:
    names = (
        "timestamp path binary.path binary.device_id binary.device binary.inode_number binary.ctime "
        "binary.inode_mode binary.source interpreter_path stdin_type stdin_path kernel_invoked arguments "
        "environment truncated.arguments truncated.environment truncated.argc truncated.envc "
        "arguments_source return_value error syscall compat dirfd flags check_only pid tid ppid uid euid gid "
        "comm parent_comm cwd tty cgroup unit container_id container_runtime pod_uid mount_ns pid_ns "
        "killed_by diagnosis.code diagnosis.summary diagnosis.evidence diagnosis.advice diagnosis.certain "
        "search.id search.name search.tries search.outcome search.found_path "
        "user errno why container runtime pod interp arg env age inode device mode"
    )
    assert [name for name in names.split() if name not in FIELDS] == []
    for name, field in FIELDS.items():
        field.of(RECORD)
        assert field.help, name


def test_every_fact_of_a_record_is_a_field_or_has_fields_of_its_own() -> None:
    known = {name.partition(".")[0] for name in FIELDS}
    in_no_file = {"task", "foreign_user_ns", "shared_directories"}
    assert {fact.name for fact in fields(ExecFailure)} - known == in_no_file


@given(st.text() | st.text("abpath uidcommerror=!<>~:()\"'\\,.*?[]01 ENOENTandornotin", max_size=60))
@example("path:[")
@example("path:[!")
@example("path:[z-a]")
@example("path~(?P<a>x)(?P=a)")
@example("uid==" + "9" * 5000)
@example("age<99999999999999w")
@example("user=\udcff\ud800\0")
@example("timestamp=9999-12-31T23:59:59.999999-23:59")
@example("path:[\\]")
@example("path~(?i")
@example("path~a{1,99999999999999999999}")
def test_any_text_parses_or_is_refused_with_a_place_in_it(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        assert 0 <= error.start <= error.end <= max(len(text), 1)
    else:
        query.matches(RECORD, NOW)


HOSTILE = st.text(st.characters() | st.sampled_from("\"'\\ \n\x1b\u202e*?[]()=!,\udcff\ud800"), max_size=20)


@given(HOSTILE, HOSTILE, st.sampled_from(["", "uid=1000", "uid=1 or nginx"]), st.booleans())
@example("null", "nul", "", False)
@example("1000..1999", "or", "", False)
@example("", "\\", "", True)
def test_a_term_added_for_a_cell_finds_the_very_value(
    value: str, other: str, text: str, exclude: bool
) -> None:
    query = parse(add_term(text, "comm", value, exclude=exclude))
    assert query.text.isprintable()
    for comm in (value, other, value + "x", None):
        record = replace(RECORD, comm=comm or "", cwd=comm)
        expected = parse(text).matches(record, NOW) and (record.comm == value) is not exclude
        assert query.matches(record, NOW) is expected


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_number_added_for_a_cell_finds_the_very_number(value: int) -> None:
    assert selects(add_term("", "ppid", value, exclude=False), replace(RECORD, ppid=value))
    assert not selects(add_term("", "ppid", value, exclude=True), replace(RECORD, ppid=value))


@pytest.mark.parametrize(
    "text",
    [
        "why:missing", "why:interpreter-o", "why:*interp*", "why:/opt/no-such-cause", "why~no-such-cause",
        'why:"no-such-cause"', 'why=="of-a-newer-version"', "why==nonsense", "diagnosis.brief:no-such-cause",
    ],
)  # fmt: skip
def test_a_part_of_a_cause_and_words_in_quotes_are_no_slip(text: str) -> None:
    assert not parse(text).is_empty


def test_a_term_added_for_a_code_of_another_version_is_in_quotes() -> None:
    added = add_term("", "why", "of-a-newer-version", exclude=False)
    assert added == 'why=="of-a-newer-version"'
    assert add_term(added, "why", "of-a-newer-version", exclude=True) == 'why!="of-a-newer-version"'
    assert add_term("", "why", "missing-file", exclude=False) == "why==missing-file"


def test_a_term_is_added_once_and_binds_tighter_than_or() -> None:
    assert add_term("", "error", "ENOENT", exclude=False) == "error==ENOENT"
    assert add_term("error==ENOENT", "error", "ENOENT", exclude=False) == "error==ENOENT"
    assert add_term(" uid=1 ", "comm", "a b", exclude=True) == 'uid=1 comm!="a b"'
    assert add_term("uid=1 or uid=2", "uid", 2, exclude=False) == "(uid=1 or uid=2) uid==2"
    assert add_term("uid=1 or comm=(", "uid", 2, exclude=False) == "(uid=1 or comm=( ) uid==2"
    assert add_term("nginx", "uid", 0, exclude=False) == "nginx uid==0"
    assert add_term("", "tty", None, exclude=False) == "tty==null"
    assert add_term("", "compat", True, exclude=False) == "compat==true"
    assert add_term("not uid==0", "uid", 0, exclude=False) == "not uid==0 uid==0"


AWKWARD = (
    "comm=(",
    "comm~a\\\\",
    "a or comm=(",
    "x or comm=a\\",
    "/(",
    "uid",
    "in",
    'comm="a ( b"',
    "not a",
    "!a",
)


@pytest.mark.parametrize("first", AWKWARD)
@pytest.mark.parametrize("second", AWKWARD)
def test_two_filters_are_one_that_says_the_same_where_it_is_read_again(first: str, second: str) -> None:
    joined = both(parse(first), parse(second))
    again = parse(joined.text)

    def said(query: Query) -> list[tuple[str, bool, str]]:
        return [(term.field.name, term.negate, query.text[term.start : term.end]) for term in query.terms]

    assert said(joined) == said(again) == said(parse(first)) + said(parse(second))
    for comm in ("(", "a\\", "a ( b", "in", "uid", "a", "z"):
        for uid in (0, 1000):
            record = replace(RECORD, comm=comm, uid=uid, path="/x")
            assert selects(joined.text, record) == (selects(first, record) and selects(second, record))


def test_an_empty_filter_adds_nothing() -> None:
    assert both(parse(" "), parse("uid==0")).text == both(parse("uid==0"), parse("")).text == "uid==0"


def test_a_condition_and_its_opposite_replace_each_other() -> None:
    assert add_term("error==ENOENT", "error", "ENOENT", exclude=True) == "error!=ENOENT"
    assert add_term("nginx uid!=0 pid=1", "uid", 0, exclude=False) == "nginx uid==0 pid=1"
    assert add_term("uid!=0 or pid=1", "uid", 0, exclude=False) == "(uid!=0 or pid=1) uid==0"
    with pytest.raises(QueryError):
        add_term("", "no_such_field", 1, exclude=False)


@pytest.mark.parametrize(
    ("text", "capture"),
    [
        ("", Capture()),
        ("uid=0", Capture(uid_ranges=((0, 0),))),
        ("user==1000 path:/opt/**", Capture(uid_ranges=((1000, 1000),), path_prefixes=("/opt/",))),
        ("uid:1000..1999 or uid=0", Capture(uid_ranges=((0, 0), (1000, 1999)))),
        ("uid!=0", Capture(uid_ranges=((1, 2**32 - 1),))),
        ("not (uid=5 or uid=6)", Capture(uid_ranges=((0, 4), (7, 2**32 - 1)))),
        ("uid>=10 uid<20", Capture(uid_ranges=((10, 19),))),
        ("path in (/bin/a,/bin/b)", Capture(paths=("/bin/a", "/bin/b"))),
        ("path==/bin/a or path:/opt/**", Capture(paths=("/bin/a",), path_prefixes=("/opt/",))),
        ("path!=/bin/a", Capture(excluded_paths=("/bin/a",))),
        ("not path==/bin/a", Capture(excluded_paths=("/bin/a",))),
        ("not path!=/bin/a", Capture(paths=("/bin/a",))),
        ("!path:/opt/** path!=/bin/a uid!=0", Capture(((1, 2**32 - 1),), (), (), ("/bin/a",), ("/opt/",))),
        ("path!=/bin/a path!=/bin/b", Capture(excluded_paths=("/bin/a", "/bin/b"))),
        ("not (path==/bin/a or path:/opt/**)", Capture((), (), (), ("/bin/a",), ("/opt/",))),
        ("path:/opt/** path!=/opt/a", Capture(path_prefixes=("/opt/",), excluded_paths=("/opt/a",))),
    ],
)
def test_the_kernel_is_asked_for_uids_and_paths(text: str, capture: Capture) -> None:
    assert parse(text).capture() == capture


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("uid=0 comm=a", 6),
        ("nginx", 0),
        ("uid=0 path:opt", 6),
        ("uid=0 or path==/a", 0),
        ("uid=0 or path!=/a", 0),
        ("path==/a or path!=/b", 0),
        ("path!=/a or path!=/b", 0),
        ("not (uid=0 path==/a)", 5),
        ("not (path:/a/** path!=/a/b)", 5),
        ("path!:opt", 0),
        ("path==/a path==/b", 9),
        ("uid=0 uid=1", 0),
        ("path==null", 0),
        ('path:"/opt/**"', 0),
    ],
)
def test_what_the_kernel_cannot_apply_is_named_with_its_place(text: str, start: int) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text).capture()
    assert caught.value.start == start


@pytest.mark.parametrize(
    ("text", "applied", "left_out"),
    [
        ("", "", ()),
        (" uid=0 path:/opt/** ", "uid=0 path:/opt/**", ()),
        ("uid=0 or uid=33", "uid=0 or uid=33", ()),
        ("comm=a uid=0", "uid=0", ("comm=a",)),
        (
            "uid=0 and nginx and not (uid=5 or uid=6) ENOENT",
            "uid=0 not (uid=5 or uid=6)",
            ("nginx", "ENOENT"),
        ),
        ("(uid=0 or uid=33) (why:x or error=ENOENT)", "(uid=0 or uid=33)", ("(why:x or error=ENOENT)",)),
        ("(path:/opt/** comm=a) !uid=0", "path:/opt/** !uid=0", ("comm=a",)),
        ("path:/opt/** path:*.sh", "path:/opt/**", ("path:*.sh",)),
        ("path==/a path==/b", "path==/a", ("path==/b",)),
        ("uid in (0, 33) 'a b'", "uid in (0, 33)", ("'a b'",)),
    ],
)
def test_the_kernel_applies_what_it_can_of_conditions_that_must_all_hold(
    text: str, applied: str, left_out: tuple[str, ...]
) -> None:
    assert parse(text).divided() == (applied, left_out)
    parse(applied).capture()


@pytest.mark.parametrize("text", ["nginx", "uid=0 or comm=a", "not (uid=0 comm=a)", "uid=0 uid=1 comm=a"])
def test_a_filter_of_which_the_kernel_can_apply_nothing_says_why(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text).divided()


HOSTILE_GLOBS = ["a*a*a*a*a*a*a*b", "**a**a**a**a**b", "**/a/**/a/**/a/*b*c", "*a*/**a*a*b"]


@pytest.mark.parametrize("glob", HOSTILE_GLOBS)
def test_a_glob_backtracks_to_two_of_its_stars_at_most(glob: str) -> None:
    """The others stand in atomic groups, which are left once."""
    left = query_text._glob_as_regex(glob, path=True)
    while (without := re.sub(r"\(\?:([^()]*)\)|\(\?>[^()]*\)", r"\1", left)) != left:
        left = without
    assert 1 <= left.count("*") <= 2


@pytest.mark.parametrize(
    ("pattern", "longest"),
    [
        ("~a+b", 4096),
        ("~^a.*a.*b$", 4096),
        ("~^(a|aa)(a|aa)(a|aa)a*b", 4096),
        ("~a.*a.*b$", 512),
        ("~^a.*a.*a.*b$", 512),
        (":a*a*a*a*a*a*a*b", 4096),
    ],
)
def test_the_more_often_a_pattern_may_start_over_the_less_of_a_text_it_looks_at(
    pattern: str, longest: int
) -> None:
    assert selects(f"path{pattern}", replace(RECORD, path="a" * (longest - 1) + "b"))
    assert not selects(f"path{pattern}", replace(RECORD, path="a" * longest + "b"))


FOR_EVER = 60.0
"""Seconds: a hundred times what all of them take together on a slow machine."""


def none_is_selected_by_a_hostile_pattern() -> None:
    patterns = ["~a.*a.*b$", "~^a.*a.*a.*b$", "~a+b", "~^(a|aa)(a|aa)(a|aa)a*b"]
    for path in ("a" * 4096, "/a" * 2048, "a" * 100_000):
        for pattern in [*patterns, *(f":{glob}" for glob in HOSTILE_GLOBS)]:
            assert not selects(f"path{pattern}", replace(RECORD, path=path))


def test_a_hostile_text_cannot_make_a_pattern_take_for_ever() -> None:
    # In a process of its own, since nothing else ends a match that does not end by itself.
    child = multiprocessing.get_context("fork").Process(target=none_is_selected_by_a_hostile_pattern)
    child.start()
    child.join(FOR_EVER)
    took_for_ever = child.is_alive()
    child.kill()
    child.join()
    assert not took_for_ever
    assert child.exitcode == 0


SEARCH = replace(
    RECORD,
    path="/usr/games/cmake",
    search=Search(
        7,
        "cmake",
        3,
        "not-found",
        attempts=(
            Attempt("/usr/local/bin/cmake", -2),
            Attempt("/opt/bin/cmake", -2),
            Attempt("/usr/games/cmake", -2),
        ),
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        "path==/opt/bin/cmake",
        "path:/opt/**",
        "path:/usr/games/*",
        "path~^/usr/local/",
        "path in (/a, /opt/bin/cmake)",
        "/opt/bin/cmake",
        "local",
        "search.name==cmake search.tries>=3 search.outcome==not-found search.found_path==null",
        "search.id==7",
    ],
)
def test_a_search_is_found_by_the_path_of_each_of_its_tries(text: str) -> None:
    assert selects(text, SEARCH)
    assert not selects(f"not ({text})", SEARCH)


@pytest.mark.parametrize("text", ["path!=/opt/bin/cmake", "!path:local", "path==null", "path:/home/**"])
def test_a_search_is_excluded_by_the_path_of_each_of_its_tries(text: str) -> None:
    assert not selects(text, SEARCH)


def glob_by_definition(pattern: str, text: str, begins: bool = True) -> bool:
    """What a path's glob means, tried out at every place."""
    if pattern.startswith("**/") and begins:
        rests = [text, *(text[at + 1 :] for at, character in enumerate(text) if character == "/")]
        return any(glob_by_definition(pattern[3:], rest) for rest in rests)
    if pattern.startswith("**"):
        return any(glob_by_definition(pattern[2:], text[at:], False) for at in range(len(text) + 1))
    if pattern.startswith("*"):
        end = text.find("/") if "/" in text else len(text)
        return any(glob_by_definition(pattern[1:], text[at:], False) for at in range(end + 1))
    if not pattern or not text:
        return pattern == text
    fits = text[0] != "/" if pattern[0] == "?" else text[0] == pattern[0]
    return fits and glob_by_definition(pattern[1:], text[1:], pattern[0] == "/")


@example("ab/*a**/", "ab/aa")
@settings(max_examples=1000, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**/", "/**/", "ab", "/*"]), max_size=8).map("".join),
    st.text("ab/", max_size=10),
)
def test_a_glob_matches_what_its_definition_says(pattern: str, path: str) -> None:
    assume(is_glob(pattern) and "***" not in pattern and pattern[0] not in "!=~:")
    assert selects(f"path:{pattern}", replace(RECORD, path=path)) is glob_by_definition(pattern, path)


def test_the_user_running_the_tests_is_found_by_name() -> None:
    me = pwd.getpwuid(os.getuid())
    assert selects(f"user={me.pw_name}", replace(RECORD, uid=me.pw_uid))


ESCAPED = replace(RECORD, path="/bin/sh\r", comm="a\x1b[31mb", arguments=("x\u202ey", "caf\udce9", r"C:\new"))
"""Shown as /bin/sh\\r, a\\x1b[31mb, x\\u202ey, caf\\xe9 and C:\\\\new."""


@pytest.mark.parametrize(
    "text",
    [
        r"\r",
        r"/bin/sh\r",
        r"path=/bin/sh\r",
        r"path:/bin/*\r",
        r"path in (/bin/ls,/bin/sh\r)",
        r"\x1b[31m",
        r"\x1B",
        r"comm:\x1b[31mb",
        r"X\u202eY",
        r"arg=caf\xe9",
        r"arg:C:\\new",
        r"arg:C:\new",
        r"arg:\n",
    ],
)
def test_a_word_matches_what_the_screen_shows(text: str) -> None:
    assert selects(text, ESCAPED), text
    assert not selects(text), text
    assert not selects(f"not ({text})", ESCAPED)


def test_escapes_in_quotes_are_read_once() -> None:
    assert selects(r'"\r"', ESCAPED)
    assert not selects(r'"\\r"', ESCAPED)


@pytest.mark.parametrize(
    ("text", "capture"),
    [
        (r"path=/a\r", Capture(paths=(r"/a\r", "/a\r"))),
        (r"path:/a\r/**", Capture(path_prefixes=(r"/a\r/", "/a\r/"))),
    ],
)
def test_the_kernel_is_asked_for_what_the_screen_shows_too(text: str, capture: Capture) -> None:
    assert parse(text).capture() == capture


@given(
    st.text(
        st.characters(exclude_categories=[], exclude_characters="\"'*?[]()!=<>~:, ").filter(
            lambda c: not c.isspace()
        ),
        min_size=1,
    )
)
def test_an_argument_is_found_by_what_the_screen_shows_of_it(argument: str) -> None:
    assert selects(f"arg:{printable(argument)}", replace(RECORD, arguments=(argument,)))
