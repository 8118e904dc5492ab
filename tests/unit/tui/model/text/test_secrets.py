"""What looks like a secret is masked, and what only sounds like one is not."""

from __future__ import annotations

import os
import resource
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.record import Ancestor, Attempt, Binary, Diagnosis, ExecFailure, Search
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.secret_names import is_secret_name
from execwhy.tui.model.text.secret_words import MASK
from execwhy.tui.model.text.secrets import mask_arguments, mask_environment, mask_text, masked, masker
from tests.unit.corpus import Shape, shapes
from tests.unit.records import failure, records, words

GITHUB = "ghp_" + "a1B2" * 9
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow-Bz\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWORD",
        "PGPASSWORD",
        "MYSQL_PWD",
        "SSHPASS",
        "DB_PASS",
        "RESTIC_PASSPHRASE",
        "ROOT_PASSWD",
        "CLIENT_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "npm_config__authToken",
        "STRIPE_KEY",
        "MY_APIKEY",
        "API_KEY",
        "GOOGLE_CREDENTIALS",
        "REDISCLI_AUTH",
        "DBPASS",
        "ROOTPW",
        "SESSION_COOKIE",
        "API_JWT",
        "db.password",
    ],
)
def test_a_variable_with_a_secret_name_is_masked(name: str) -> None:
    assert mask_environment([f"{name}=hunter2 and more"]) == (f"{name}={MASK}",)


@pytest.mark.parametrize(
    "variable",
    [
        "PATH=/usr/bin:/opt/token:/bin",
        "KEYBOARD=us",
        "MONKEY=1",
        "HOTKEYS=on",
        "PWD=/srv",
        "OLDPWD=/root",
        "SSH_AUTH_SOCK=/tmp/agent",
        "GIT_ASKPASS=/usr/bin/askpass",
        "LS_COLORS=di=01;34:ln=01;36",
        "COMPASS=north",
        "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/0/bus,guid=0f",
        "DISPLAY=:0",
        "LANG=C.UTF-8",
        "",
        "=",
        "x",
        "HOMEPAGE=https://example.org:8080/a@b?page=1",
        "MAIL=root@example.org",
        "PASSAGE=here",
        "TASK=risk-management-of-the-whole-disk-array",
        "TOKENIZERS_PARALLELISM=false",
        "DEVICE=/dev/disk/by-id/wwn-0x5000c500a1b2c3d4",
    ],
)
def test_a_variable_that_is_no_secret_stays(variable: str) -> None:
    assert mask_environment([variable]) == (variable,)


def test_an_empty_secret_is_a_fact_that_stays_visible() -> None:
    assert mask_environment(["DB_PASSWORD=", "TOKEN="]) == ("DB_PASSWORD=", "TOKEN=")


def test_an_unreadable_element_stays_unreadable() -> None:
    assert mask_environment([None, "A=b"]) == (None, "A=b")
    assert mask_arguments(["x", "--password", None, "y"]) == ("x", "--password", None, "y")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("x --password=hunter2", f"x --password={MASK}"),
        ("x --password hunter2 -v", f"x --password {MASK} -v"),
        ("x -password hunter2", f"x -password {MASK}"),
        ("x --api-key abc --dry-run", f"x --api-key {MASK} --dry-run"),
        ("x --db.password=hunter2", f"x --db.password={MASK}"),
        ("java -Dspring.datasource.password=hunter2", f"java -Dspring.datasource.password={MASK}"),
        ("env FOO_KEY=1 PATH=/bin", f"env FOO_KEY={MASK} PATH=/bin"),
        ("docker login --password-stdin registry", "docker login --password-stdin registry"),
        ("gpg --passphrase-fd 3 --passphrase-file /x", "gpg --passphrase-fd 3 --passphrase-file /x"),
        ("psql --no-password db", "psql --no-password db"),
        ("x --password --verbose", "x --password --verbose"),
        ("mysql -u root -phunter2 db", f"mysql -u root -p{MASK} db"),
        ("/usr/bin/mysqldump -phunter2", f"/usr/bin/mysqldump -p{MASK}"),
        ("mysql -p db", "mysql -p db"),
        ("mkdir -p secret/dir", "mkdir -p secret/dir"),
        ("ssh -p2222 host", "ssh -p2222 host"),
        ("sshpass -p hunter2 ssh host", f"sshpass -p {MASK} ssh host"),
        ("redis-cli -a hunter2 ping", f"redis-cli -a {MASK} ping"),
        ("curl -u bob:hunter2 http://h/", f"curl -u bob:{MASK} http://h/"),
        ("curl --user bob:hunter2 http://h/", f"curl --user bob:{MASK} http://h/"),
        ("curl -u bob http://h/", "curl -u bob http://h/"),
        ("openssl rsa -passin pass:hunter2", f"openssl rsa -passin pass:{MASK}"),
        ("git clone https://bob:hunter2@h/r", f"git clone https://bob:{MASK}@h/r"),
        ("git clone git@example.org:a/b", "git clone git@example.org:a/b"),
        (f"git clone https://{GITHUB}@h/r", f"git clone https://{MASK}@h/r"),
        ("git clone https://x@h/r", f"git clone https://{MASK}@h/r"),
        ("git clone ssh://git@h/r", "git clone ssh://git@h/r"),
        ("tar --keep-old-files -xf a", "tar --keep-old-files -xf a"),
        ("sudo mysql -u root -phunter2 db", f"sudo mysql -u root -p{MASK} db"),
        (
            "sudo -u redis-cli env A=1 /usr/bin/mysql -phunter2",
            f"sudo -u redis-cli env A=1 /usr/bin/mysql -p{MASK}",
        ),
        ("x --password -hunter2 -v", f"x --password {MASK} -v"),
        ("mosquitto_pub -P hunter2 -t a", f"mosquitto_pub -P {MASK} -t a"),
        ("7z x -phunter2 a.7z", f"7z x -p{MASK} a.7z"),
        ("mysql -u curl -phunter2", f"mysql -u curl -p{MASK}"),
        ("nice -n 5 sshpass -p hunter2 ssh h", f"nice -n 5 sshpass -p {MASK} ssh h"),
        ("curl -sSu bob:hunter2 -U me:too http://h/", f"curl -sSu bob:{MASK} -U me:{MASK} http://h/"),
        ("docker login -u bob -p hunter2 h", f"docker login -u bob -p {MASK} h"),
        ("sudo podman login -phunter2 h", f"sudo podman login -p{MASK} h"),
        ("docker run -p 80:80 nginx", "docker run -p 80:80 nginx"),
        ("login -p -- root", "login -p -- root"),
        ("ssh-keygen -p -P hunter2 -N hunter3 -f k", f"ssh-keygen -p -P {MASK} -N {MASK} -f k"),
        ("mosquitto_passwd -b /etc/pw user hunter2", f"mosquitto_passwd -b /etc/pw user {MASK}"),
        ("openssl rsa -key /etc/k.pem -k hunter2", f"openssl rsa -key /etc/k.pem -k {MASK}"),
        ("docker run --secret db,type=mount img", "docker run --secret db,type=mount img"),
        ("zip -rP hunter2 a.zip f", f"zip -rP {MASK} a.zip f"),
        ("zip -rPhunter2 a.zip f", f"zip -rP{MASK} a.zip f"),
        ("curl -sb a=hunter2 http://h/", f"curl -sb a={MASK} http://h/"),
        ("curl -b http://x:hunter2@h/ h", f"curl -b http://x:{MASK}@h/ h"),
        ("twine upload -u bob -p hunter2 d", f"twine upload -u bob -p {MASK} d"),
        ("etcdctl user add bob:hunter2", f"etcdctl user add bob:{MASK}"),
        ("pppd user bob password hunter2", f"pppd user bob password {MASK}"),
        ("cargo login hunter2", f"cargo login {MASK}"),
        ("composer config http-basic.h bob hunter2", f"composer config http-basic.h bob {MASK}"),
        ("imp userid=scott/hunter2@db file=a/b", f"imp userid=scott/{MASK}@db file=a/b"),
    ],
)
def test_a_secret_in_the_arguments_is_masked(arguments: str, expected: str) -> None:
    assert mask_arguments(arguments.split(" ")) == tuple(expected.split(" "))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:p%40ss@cache:6379/0", f"redis://:{MASK}@cache:6379/0"),
        ("postgres://u:p@ss:w@db/x", f"postgres://u:{MASK}@db/x"),
        ("https://h/x?access_token=abc&page=2", f"https://h/x?access_token={MASK}&page=2"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("authorization: Basic dTpw", f"authorization: Basic {MASK}"),
        ("X-Api-Key: abc", f"X-Api-Key: {MASK}"),
        ("-HX-Api-Key:0123456789ab", f"-HX-Api-Key:{MASK}"),
        ("curl -sHPRIVATE-TOKEN:0123456789ab h", f"curl -sHPRIVATE-TOKEN:{MASK} h"),
        ("-HAccept:text/html", "-HAccept:text/html"),
        ("Cookie: session=abc; b=c", f"Cookie: {MASK}"),
        ("export DB_PASSWORD='a b'; make", f"export DB_PASSWORD='{MASK}'; make"),
        ("tool --token abc --flag", f"tool --token {MASK} --flag"),
        ('{"password": "zz", "user": "u"}', f'{{"password": "{MASK}", "user": "u"}}'),
        (f"a {GITHUB} b", f"a {MASK} b"),
        (f"-H{JWT}", f"-H{MASK}"),
        ("github_pat_" + "11ABCDEFG0" * 3, MASK),
        ("glpat-" + "x" * 20, MASK),
        ("xoxb-123456789012-abcdef", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("ASIAIOSFODNN7EXAMPLE", MASK),
        ("sk-proj-" + "a1" * 20, MASK),
        ("AIza" + "b" * 35, MASK),
        (f"key is {PRIVATE_KEY} here", f"key is {MASK} here"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", MASK),
        ("-----BEGIN CERTIFICATE-----\nMIIB", "-----BEGIN CERTIFICATE-----\nMIIB"),
        ("interpreter /usr/bin/pyhton3 is missing", "interpreter /usr/bin/pyhton3 is missing"),
        ("mysql -uroot -phunter2 db", f"mysql -uroot -p{MASK} db"),
        (
            "cd /; /usr/bin/mysql -p'hunter2; x' db; mkdir -p a",
            f"cd /; /usr/bin/mysql -p{MASK} db; mkdir -p a",
        ),
        ('ssh h "mysql -p\\"hunter 2\\" db"', f'ssh h "mysql -p{MASK} db"'),
        ("curl -u user:hunter2 http://h/", f"curl -u user:{MASK} http://h/"),
        ("curl -su 'user:hunter2 x' http://h/", f"curl -su 'user:{MASK}' http://h/"),
        ("curl --user user:hunter2 http://h/", f"curl --user user:{MASK} http://h/"),
        ("curl http://h/ -u bob | tr -d :x", "curl http://h/ -u bob | tr -d :x"),
        ("sudo docker login -u bob -p hunter2 h", f"sudo docker login -u bob -p {MASK} h"),
        ("docker run -p 80:80 nginx", "docker run -p 80:80 nginx"),
        ("apt install mysql-client -purge", "apt install mysql-client -purge"),
        ("cat /etc/mysql -ph", f"cat /etc/mysql -p{MASK}"),
        ("HTTPS://abc@h/x", f"HTTPS://{MASK}@h/x"),
        ("passwd bob <<EOF\nhunter2\nhunter2\nEOF\nls", f"passwd bob <<EOF\n{MASK}\nEOF\nls"),
        ("sudo -S id <<-'A'\n\thunter2\n\tA\nls", f"sudo -S id <<-'A'\n{MASK}\n\tA\nls"),
        ("passwd bob <<EOF\nhunter2", f"passwd bob <<EOF\n{MASK}"),
        ("cat > passwd.txt <<EOF\nbob\nEOF", "cat > passwd.txt <<EOF\nbob\nEOF"),
        ("kinit u <<< 'hunter2 x'; ls", f"kinit u <<< '{MASK}'; ls"),
        ('kinit u <<< "$PASS"; cat <<< abc', 'kinit u <<< "$PASS"; cat <<< abc'),
        ('CREATE USER x IDENTIFIED BY "hunter2"', f'CREATE USER x IDENTIFIED BY "{MASK}"'),
        ("SET PASSWORD = PASSWORD('hunter2')", f"SET PASSWORD = PASSWORD('{MASK}')"),
        ("db.auth('u', 'hunter2')", f"db.auth('u', '{MASK}')"),
        ("docker login h; docker run -p 80:80 nginx", "docker login h; docker run -p 80:80 nginx"),
        ("docker login -p x h; docker login -p y h", f"docker login -p {MASK} h; docker login -p {MASK} h"),
        ("https://h/?mail=a@b", "https://h/?mail=a@b"),
        ("ssh://git@h/x", "ssh://git@h/x"),
    ],
)
def test_a_secret_within_a_text_is_masked(text: str, expected: str) -> None:
    assert mask_text(text) == expected


def test_a_record_is_masked_in_all_that_quotes_its_strings() -> None:
    record = failure(
        path=f"/srv/{GITHUB}/run",
        arguments=("run", "--password", "hunter2"),
        environment=("DB_PASSWORD=hunter2", "HOME=/root"),
        diagnosis=Diagnosis(
            "too-big", "argv[2] is too long", ("it is --password=hunter2",), "drop --password=hunter2"
        ),
    )
    shown = masked(record)
    assert "hunter2" not in repr(shown)
    assert GITHUB not in repr(shown)
    assert shown.environment == (f"DB_PASSWORD={MASK}", "HOME=/root")
    assert (shown.pid, shown.timestamp, shown.return_value) == (
        record.pid,
        record.timestamp,
        record.return_value,
    )


def test_every_path_and_the_search_are_masked_too() -> None:
    path = f"/srv/{GITHUB}/{GITHUB}"
    record = replace(
        failure(path=path),
        binary=Binary(path, 1, "0:1", 2, 3, 0o100755, "kernel"),
        interpreter_path=path,
        cwd=path,
        root=path,
        stdin_path=path,
        search=Search(1, GITHUB, 1, "found", path, (Attempt(path, -2),)),
    )
    hidden = f"/srv/{MASK}/{MASK}"
    shown = masked(record)
    assert GITHUB not in repr(shown)
    assert shown.search == Search(1, MASK, 1, "found", hidden, (Attempt(hidden, -2),))
    assert shown.binary is not None
    assert {shown.binary.path, shown.interpreter_path, shown.cwd, shown.root, shown.stdin_path} == {hidden}


SECRET = "S3CRET-hunter2"


@pytest.mark.parametrize(
    "facts",
    [
        {"arguments": ("chat", "--password", SECRET)},
        {"arguments": ("curl", "-u", f"bob:{SECRET}", "h")},
        {"arguments": ("chat", f'{{"password":"{SECRET}"}}')},
        {"environment": (f"DB_PASSWORD={SECRET}",)},
        {"path": f"/usr/bin/curl -u bob:{SECRET} h"},
    ],
)
def test_a_sentence_hides_what_the_record_hides(facts: dict[str, Any]) -> None:
    """It quotes a secret without what says that it is one."""
    record = replace(
        failure(),
        **facts,
        search=Search(1, f"x {SECRET}", 1, "found", f"/bin/x {SECRET}", (Attempt(f"/a/x {SECRET}", -2),)),
        diagnosis=Diagnosis(
            "x", f'"{SECRET}" looks like an argument', (f"no {SECRET} here",), f"drop {SECRET}", True,
            f"{SECRET} is missing",
        ),
    )  # fmt: skip
    hidden = masked(record)
    assert SECRET not in repr(hidden)
    assert hidden.diagnosis is not None
    assert hidden.diagnosis.brief == f"{MASK} is missing"
    assert masker(record)(f"such as {SECRET}") == f"such as {MASK}"


def test_a_secret_that_stands_elsewhere_is_hidden_there_as_well() -> None:
    record = failure(
        path=f"/srv/{SECRET}/run",
        arguments=("htdigest", SECRET, f"--seed={SECRET}"),
        environment=(f"TOKEN={SECRET}", f"COPY={SECRET}"),
    )
    hidden = masked(record)
    assert SECRET not in repr(hidden)
    assert hidden.arguments == ("htdigest", MASK, f"--seed={MASK}")


@pytest.mark.parametrize("many", [70, 1000])
def test_each_of_many_secrets_is_hidden_wherever_it_stands(many: int) -> None:
    secrets = [f"{SECRET}{number:04}" for number in range(many)]
    record = failure(
        arguments=("run", *secrets, f"--all={' '.join(secrets)}"),
        environment=tuple(f"A{number}_PASSWORD={secret}" for number, secret in enumerate(secrets)),
        diagnosis=Diagnosis("x", f"{secrets[-1]} is missing", (f"no {secrets[0]}, {secrets[-1]} here",)),
    )
    hidden = masked(record)
    assert SECRET not in repr(hidden)
    assert hidden.arguments == ("run", *[MASK] * many, f"--all={' '.join([MASK] * many)}")


def test_a_secret_within_a_longer_word_is_none() -> None:
    text = f"{SECRET}x {SECRET} 0{SECRET} {SECRET}-{SECRET}"
    record = failure(arguments=("echo", text), environment=(f"DB_PASSWORD={SECRET}",))
    assert masked(record).arguments == ("echo", f"{SECRET}x {MASK} 0{SECRET} {MASK}-{MASK}")


def test_a_secret_is_hidden_in_each_string_of_a_record() -> None:
    """Also in those that are a kernel's or a runtime's words: a container's id is a directory's name."""
    strings = ("container_id", "pod_uid", "tty", "cgroup", "unit", "comm", "parent_comm", "cwd", "root")
    facts: dict[str, Any] = dict.fromkeys(strings, f"x {SECRET}")
    record = replace(
        failure(environment=(f"DB_PASSWORD={SECRET}",)),
        **facts,
        ancestors=(Ancestor(1, SECRET), Ancestor(2, "sh")),
    )
    hidden = masked(record)
    assert SECRET not in repr(hidden)
    assert {getattr(hidden, name) for name in strings} == {f"x {MASK}"}
    assert hidden.ancestors == (Ancestor(1, MASK), Ancestor(2, "sh"))


@pytest.mark.parametrize(("secret", "elsewhere"), [("tiger", "tiger"), ("a1!", "a1!")])
def test_an_ordinary_or_a_short_word_is_hidden_only_where_it_was_recognized(
    secret: str, elsewhere: str
) -> None:
    record = failure(arguments=("echo", secret), environment=(f"DB_PASSWORD={secret}",))
    assert masked(record).arguments == ("echo", elsewhere)


def test_a_password_that_is_a_common_word_spoils_no_path() -> None:
    record = failure(
        path="/usr/bin/postgres",
        environment=("POSTGRES_PASSWORD=postgres",),
        diagnosis=Diagnosis("missing-file", '"/usr/bin/postgres" does not exist'),
    )
    hidden = masked(record)
    assert hidden.path == "/usr/bin/postgres"
    assert hidden.diagnosis == record.diagnosis
    assert hidden.environment == (f"POSTGRES_PASSWORD={MASK}",)


def test_a_secret_that_a_sentence_prints_with_escapes_is_hidden() -> None:
    secret = "hunter2\x1bA9"
    record = failure(
        arguments=("x", "--password", secret),
        diagnosis=Diagnosis("x", f"{printable(secret)} is no option"),
    )
    hidden = masked(record)
    assert hidden.diagnosis is not None
    assert hidden.diagnosis.summary == f"{MASK} is no option"


@pytest.mark.parametrize(
    "script", ["mysql -p'hunter2 x' db", "curl -u 'user:hunter2 x' http://h/", 'docker login -p "a b" h']
)
def test_a_script_is_masked_within_an_argument_and_no_more_when_it_is_opened_again(script: str) -> None:
    once = mask_arguments(["sh", "-c", script])
    assert "hunter2" not in str(once) and MASK in str(once)
    assert mask_arguments(once) == once


def shown(shape: Shape) -> tuple[str | None, ...]:
    match shape.kind:
        case "A":
            return mask_arguments(shape.words)
        case "E":
            return mask_environment(shape.words)
        case _:
            return (mask_text(shape.words[0]),)


def leaks() -> list[Shape]:
    """The shapes of secrets of which some part is shown that must not be."""
    return [
        shape
        for shape in shapes("secrets")
        if any(secret.strip('"') in (word or "") for secret in shape.secrets for word in shown(shape))
    ]


def test_of_the_shapes_that_secrets_have_98_of_100_are_masked() -> None:
    known, leaking = list(shapes("secrets")), leaks()
    recall = 1 - len(leaking) / len(known)
    print(
        f"\n{len(known)} shapes of secrets, recall {recall:.2%}", *(leak.line for leak in leaking), sep="\n  "
    )
    assert len(known) >= 300
    assert recall >= 0.98


def test_of_what_only_looks_like_a_secret_98_of_100_stay_as_they_are() -> None:
    known = list(shapes("innocent"))
    masked_too = [shape for shape in known if shown(shape) != shape.words]
    kept = 1 - len(masked_too) / len(known)
    masked_secrets = len(list(shapes("secrets"))) - len(leaks())
    precision = masked_secrets / (masked_secrets + len(masked_too))
    print(f"\n{len(known)} look-alikes, {kept:.2%} kept; precision {precision:.2%}")
    print(*(shape.line for shape in masked_too), sep="\n")
    assert len(known) >= 300
    assert min(kept, precision) >= 0.98


def test_a_masked_shape_is_masked_no_more_when_it_is_opened_again() -> None:
    for shape in shapes("secrets"):
        once = shown(shape)
        again = Shape(shape.line, shape.kind, tuple(word or "" for word in once), ())
        assert shown(again) == once, shape.line


@given(records)
def test_masking_keeps_the_number_of_elements_and_which_are_unreadable(record: ExecFailure) -> None:
    shown = masked(record)
    for before, after in ((record.arguments, shown.arguments), (record.environment, shown.environment)):
        assert [element is None for element in before] == [element is None for element in after]


@given(words)
def test_masking_twice_masks_no_more(elements: tuple[str | None, ...]) -> None:
    once = mask_environment(elements)
    assert mask_environment(once) == once


@given(st.text(alphabet="abcXYZ019!$%", min_size=1), st.text(alphabet="abc-_", max_size=5))
def test_no_part_of_a_password_option_survives(secret: str, prefix: str) -> None:
    shown = mask_arguments(["x", f"--{prefix}password={secret}"])
    assert shown == ("x", f"--{prefix}password={MASK}")


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "-",
        "--",
        "token",
        "token='",
        "://",
        "://a:",
        "://a:b@",
        "eyJ-",
        "eyJ.",
        "SG.",
        "sk-",
        "_key",
        "password ",
        "password: ",
        '"password":"',
        "--password ",
        'password=["',
        "<password>",
        '\\"token\\":',
        "identified by '",
        "echo a | ",
        "login a password ",
        "htpasswd -b ",
        "vault login ",
        "nmcli set ",
        "a:b@",
        "a:bcd",
        ":thin:a/",
        "/hooks/a",
        "?key=",
        "$6$abc",
        "0123456789:AA",
        "authorization: ",
        "bearer ",
        "mysql ",
        "curl ",
        "mysql -p",
        "curl -u '",
        "docker ",
        "docker login ",
        "docker login -p \\",
        "vault ",
        "mount -o user=a%",
        "smbclient //h/s ",
        "pass=<(echo ",
        "key <(printf '%s' ",
        'send "',
        'send -- "ab',
        "https://",
        "https://a",
        "cookie",
        "<<<",
        "kinit<<<'a",
        "passwd <<E\n",
        "sudo -S <<<a ",
        "yes a | ",
        "identified with a by ",
        "=password(",
        "login('a','",
        "a/b:Ab1cdefgh@h",
        "https://api.telegram.org/bot",
        "?t=Ab1",
        "cargo login ",
        "curl -sb ",
        "--password-command 'echo ",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        " ",
        "\n",
        "=",
    ],
)
def test_no_text_takes_more_than_linear_time(piece: str) -> None:
    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    text = "--token" + piece * (131_072 // len(piece))
    began = cpu()
    mask_text(text)
    mask_arguments(["mysql", text, text])
    # Quadratic would be minutes: 128 KiB is the kernel's MAX_ARG_STRLEN.
    assert cpu() - began < 20, os.getloadavg()


def test_a_command_that_would_be_masked_is_not_advised() -> None:
    """A shell takes the mask for a pattern, which means other files."""
    command = f"Run `chmod +x /opt/{GITHUB}/x` if it is meant to be a program."
    for advice, shown in ((command, None), (f"See {GITHUB}.", f"See {MASK}."), ("Run `id`.", "Run `id`.")):
        record = replace(failure(), diagnosis=Diagnosis("code", "Summary.", (), advice))
        diagnosis = masked(record).diagnosis
        assert diagnosis is not None and diagnosis.advice == shown


def test_long_names_are_not_kept() -> None:
    tracemalloc.start()
    try:
        assert all(is_secret_name(f"{'A' * 20_000}{each}_PASSWORD") for each in range(500))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2 << 20
