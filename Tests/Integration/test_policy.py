# SPDX-License-Identifier: Apache-2.0
"""Policies and launches as values: what they take, what they print, what they refuse."""

import json
import os

import ffi
import pytest
import support
from ffi import C, Launch, LauterError, Policy

pytestmark = pytest.mark.once


@pytest.mark.parametrize("preset", ["notebook", "strict", "unconfined"])
def test_a_printed_policy_reads_back_as_an_equal_one(preset):
    policy = Policy(preset, ("read", "/usr"), ("write", "/srv"), ("limit", "memory=1G"), ("env", "A=b c"))
    text = policy.text()
    again = Policy(preset).parse(text)
    assert again.text() == text
    assert text.splitlines()[0].startswith("#") and preset in text.splitlines()[0]


def test_the_order_of_words_about_different_things_does_not_matter():
    one = Policy("notebook", ("read", "/usr"), ("net", "none"), ("limit", "wall=10m"))
    other = Policy("notebook", ("limit", "wall=10m"), ("net", "none"), ("read", "/usr"))
    assert one.text() == other.text()
    assert one.text() != Policy("notebook", ("read", "/usr"), ("net", "none")).text()


def test_a_policy_text_skips_comments_and_blank_lines():
    policy = Policy().parse("# a comment\n\nread /srv\n   \nnet none\n")
    assert policy.text() == Policy("notebook", ("read", "/srv"), ("net", "none")).text()


def test_a_policy_text_is_applied_whole_or_not_at_all():
    policy = Policy()
    before = policy.text()
    with pytest.raises(LauterError) as refused:
        policy.parse("read /srv\nnet none\nraed /usr\n")
    assert refused.value.code == C.ERROR_POLICY
    assert "3" in refused.value.message and "raed" in refused.value.message
    assert policy.text() == before


@pytest.mark.parametrize(
    "word, value, subject",
    [
        ("raed", "/usr", "raed"),
        ("", "/usr", ""),
        ("read", "", ""),
        ("read", "relative/path", "relative/path"),
        ("write", "~/data", "~/data"),
        ("deny", "~", "~"),
        ("home", "elsewhere", "elsewhere"),
        ("net", "everything", "everything"),
        ("net", "", ""),
        ("run", "some", "some"),
        ("tmp", "12 elephants", "12 elephants"),
        ("tmp", "-1", "-1"),
        ("tmp", "99999999999999999999G", "99999999999999999999G"),
        ("limit", "memory", "memory"),
        ("limit", "memory=", "memory"),
        ("limit", "memory=lots", "lots"),
        ("limit", "memory=17179869184G", "17179869184G"),
        ("limit", "wall=10x", "10x"),
        ("limit", "processes=0.5", "0.5"),
        ("limit", "colour=red", "colour"),
        ("env", "=value", "=value"),
        ("allow-missing", "nonsense", "nonsense"),
        ("device", "gpu", "device"),
    ],
)
def test_a_word_or_value_that_is_not_one_is_refused_by_name(word, value, subject):
    policy = Policy()
    before = policy.text()
    with pytest.raises(LauterError) as refused:
        policy.set(word, value)
    error = refused.value
    assert error.code in (C.ERROR_POLICY, C.ERROR_INVALID, C.ERROR_UNSUPPORTED)
    assert subject in error.message or subject in error.subject, error
    assert error.message and not error.message.endswith(".")
    assert policy.text() == before


@pytest.mark.parametrize("preset", ["", "Notebook", "notebook2", "böse"])
def test_an_unknown_preset_is_refused_by_name(preset):
    with pytest.raises(LauterError) as refused:
        Policy(preset)
    assert refused.value.code == C.ERROR_POLICY
    assert preset in refused.value.message


@pytest.mark.parametrize(
    "word, value",
    [
        ("read", "/usr"), ("write", "/srv/a b"), ("deny", "/etc/shadow"), ("tmp", "64M"), ("home", "private"),
        ("home", "none"), ("home", "/srv"), ("net", "none"), ("net", "private"), ("net", "host"), ("env", "A=1"),
        ("env", "PATH"), ("run", "any"), ("run", "none"), ("limit", "memory=512M"), ("limit", "memory=none"),
        ("limit", "processes=10"), ("limit", "wall=1500ms"), ("limit", "wall=2h"),
    ],
)  # fmt: skip
def test_every_documented_word_is_taken(word, value):
    Policy().set(word, value)


def test_check_says_what_would_allow_what_is_refused():
    policy = Policy("notebook", ("read", "/srv"), ("deny", "/srv/private"), ("net", "none"))
    assert policy.check("read", "/srv/data.csv") is None
    assert policy.check("read", "/usr/bin/env") is None
    why = policy.check("read", "/data/x")
    assert "outside the policy" in why and "--read /data/x" in why
    assert policy.check("read", "/srv/private/key") is not None
    assert "--write" in policy.check("write", "/srv/data.csv")
    assert policy.check("write", "/tmp/x") is None
    assert policy.check("net", "example.org:443") is not None
    assert Policy("notebook", ("net", "host")).check("net", "example.org:443") is None
    assert policy.check("run", "/bin/true") is None
    assert Policy("strict").check("run", "/bin/true") is not None


def test_the_most_specific_path_wins_whatever_the_order():
    for words in (
        [("read", "/srv"), ("deny", "/srv/a"), ("write", "/srv/a/b")],
        [("write", "/srv/a/b"), ("deny", "/srv/a"), ("read", "/srv")],
    ):
        policy = Policy("notebook", *words)
        assert policy.check("read", "/srv/x") is None
        assert policy.check("write", "/srv/x") is not None
        assert policy.check("read", "/srv/a/x") is not None
        assert policy.check("write", "/srv/a/b/x") is None


def test_names_that_begin_alike_are_different_paths():
    policy = Policy("notebook", ("read", "/srv/data"))
    assert policy.check("read", "/srv/data/x") is None
    assert policy.check("read", "/srv/database") is not None


def test_a_path_with_dots_never_escapes_its_folder():
    policy = Policy("notebook", ("read", "/srv/data"))
    with pytest.raises(LauterError) as refused:
        policy.check("read", "/srv/data/../secret")
    assert refused.value.subject == "/srv/data/../secret"
    assert policy.check("read", "/srv/data/./x") is None


def test_a_check_of_an_unknown_word_is_an_error():
    with pytest.raises(LauterError) as refused:
        Policy().check("fly", "/moon")
    assert refused.value.code in (C.ERROR_POLICY, C.ERROR_INVALID)


def test_explain_numbers_its_steps_and_runs_nothing(bench):
    before = ffi.Host.started[:]
    text = bench.policy(("limit", "memory=1G")).explain(bench.probe("ids"))
    numbers = [int(line.split()[0].rstrip(".:")) for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 10
    assert str(bench.folder) in text
    assert ffi.Host.started == before


@pytest.mark.parametrize(
    "kind, name, value",
    [
        ("program", "colour", "red"),
        ("program", "stdin", "maybe"),
        ("program", "stdout", "pipe"),
        ("program", "directory", "relative"),
        ("program", "directory", "~"),
        ("program", "ready-timeout", "soon"),
        ("program", "interrupt-grace", "-1s"),
        ("python", "interpreter", "python3"),
        ("python", "interpreter", "~/bin/python"),
    ],
)
def test_a_launch_refuses_what_it_does_not_take(kind, name, value):
    launch = Launch(kind)
    with pytest.raises(LauterError) as refused:
        launch.set(name, value)
    assert refused.value.code in (C.ERROR_INVALID, C.ERROR_POLICY)
    assert name in refused.value.message or value in refused.value.message


@pytest.mark.parametrize("kind", ["", "ruby", "Python"])
def test_an_unknown_kind_of_launch_is_refused_by_name(kind):
    with pytest.raises(LauterError) as refused:
        Launch(kind)
    assert refused.value.code == C.ERROR_INVALID
    assert kind in refused.value.message


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_what_a_check_says_of_proc_is_what_a_worker_finds(preset):
    names = [name for name in os.listdir("/proc") if not name.isdigit()]
    paths = ["/proc/" + name for name in names]
    paths = [path for path in paths if not os.path.isdir(path) or os.listdir(path)]
    paths += ["/proc/1/" + name for name in os.listdir("/proc/self")]
    program = f"""
import json, os
def look(path):
    try:
        if os.stat(path).st_mode & 0o004 == 0: return "not for all"
        if os.path.isdir(path): return bool(os.listdir(path))
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        return True
    except PermissionError as error:
        return "for administrators" if error.errno == 1 else False
    except OSError:
        return False
print(json.dumps({{path: look(path) for path in {paths!r}}}))
"""
    policy = Policy(preset)
    with ffi.Host() as host:
        worker = host.spawn(policy, Launch("program", support.python_interpreter(), "-S", "-c", program))
        report = worker.exited().report
        found = json.loads(worker.output(C.STREAM_STDOUT))
    assert report.exit_code == 0, report
    said = {path: policy.check("read", path) is None for path in paths}
    # What the machine's permissions close is no matter of the policy's.
    wrong = {path: said[path] for path in paths if isinstance(found[path], bool) and said[path] != found[path]}
    assert not wrong, wrong
    assert {True, False} <= set(found.values())
