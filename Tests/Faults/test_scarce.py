# SPDX-License-Identifier: Apache-2.0
"""What a machine really runs short of: a full descriptor table, no more processes for the user, no /proc."""

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

SCARCE = Path(__file__).parent / "scarce.py"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def attempts(mode: str, *prefix) -> list:
    command = [*prefix, "/usr/bin/python3", SCARCE, mode]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def expect_clean(said: dict) -> None:
    assert said["left"] == [] and said["lost"] == [] and not said["child"], said


def expect_run(said: dict) -> None:
    assert said["far"] == "ran" and said["code"] == 0, said
    expect_clean(said)


def test_the_probes_see_a_descriptor_and_a_child():
    before, after = attempts("probes")
    assert before == {"seen": True, "child": False}
    assert after == {"seen": True, "child": True}


#: The second where the host may make control groups.
DOING = ["starting a worker", "making a control group for a worker"]


def users():
    return [[], NOBODY] if os.geteuid() == 0 else [[]]


@pytest.mark.parametrize("user", users(), ids=["as it is", "nobody"][: len(users())])
def test_whichever_descriptor_finds_the_table_full_is_named(user):
    *failed, ran, again = attempts("descriptors", *user)
    assert [said["spare"] for said in failed] == list(range(len(failed)))
    for said in failed:
        assert said["errno"] == errno.EMFILE and "EMFILE" in said["message"] and said["subject"], said
        doing, call = said["message"].split(": ")[:2]
        assert doing in {"host": ["making a host"], "spawn": DOING}[said["far"]] and call, said
        expect_clean(said)
    # From the first descriptor of the host to the last one of the launch, which the middle opens.
    calls = [said["message"].split(": ")[1] for said in failed]
    assert calls[0] == "epoll_create1" and {"socketpair", "pipe2", "memfd_create", "clone"} <= set(calls), calls
    assert "uid_map" in calls[-1] or "setgroups" in calls[-1], calls
    expect_run(ran)
    expect_run(again)


@pytest.mark.parametrize("user", users(), ids=["as it is", "nobody"][: len(users())])
def test_an_init_that_finds_the_table_full_names_its_step(user):
    *failed, ran, again = attempts("few-descriptors", *user)
    assert [said["spare"] for said in failed] == list(range(len(failed)))
    inits = [said for said in failed if said["far"] == "ready"]
    assert failed[-len(inits) :] == inits and len(inits) > 1, failed
    for said in failed:
        assert said["errno"] == errno.EMFILE and "EMFILE" in said["message"] and said["subject"], said
        expect_clean(said)
    for said in inits:
        assert said["message"].startswith(f"step {said['step']}, {said['subject']}: "), said
    assert [said["step"] for said in inits] == sorted(said["step"] for said in inits)
    expect_run(ran)
    expect_run(again)


def test_the_users_last_process_is_told_as_the_clone_that_failed():
    failed, again = attempts("processes", *(NOBODY if os.geteuid() == 0 else []))
    assert failed["far"] == "spawn" and failed["errno"] == errno.EAGAIN, failed
    assert "clone" in failed["message"] and "EAGAIN" in failed["message"], failed
    expect_clean(failed)
    expect_run(again)


def test_a_host_without_proc_is_told_so():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for said in attempts("no-proc", "unshare", "--mount", "--propagation", "private"):
        assert said["errno"] == errno.ENOENT and "there is no /proc here" in said["message"], said
        expect_clean(said)
