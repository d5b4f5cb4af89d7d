# SPDX-License-Identifier: Apache-2.0
"""The cases of docs/profile.md: each quotes the sentence that it asks for. A case is a function of a runtime under test."""

import json
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Runtime"))
from fake_host import METADATA, Host  # noqa: E402

VALUE = "application/vnd.lauter.value"
NOTE = "application/vnd.lauter.note"
CASES = []


class NotOffered(Exception):
    """Optional, and not there."""


def case(number, sentence, optional=False):
    def add(function):
        CASES.append((number, sentence, optional, function))
        return function

    return add


class Subject:
    """A runtime under test: how it is started, and its language."""

    def __init__(self, command, language):
        self.command, self.language = command, language

    def start(self):
        self.host = Host(command=self.command)
        return self

    def close(self):
        self.host.close()

    def source(self, what):
        return self.language.SOURCES[what]

    def execute(self, what, **metadata):
        return self.host.wait(self.begin(what, **metadata))

    def begin(self, what, **metadata):
        parts = [(self.language.MEDIA, self.source(what).encode())]
        return self.host.start("execute", parts + ([(METADATA, json.dumps(metadata).encode())] if metadata else []))

    def well(self, what, **metadata):
        outcome = self.execute(what, **metadata)
        assert outcome.ok, (outcome.name, outcome.trace)
        return outcome

    def optional(self, verb, source, metadata=None, *more):
        """The answer of a verb that need not be there."""
        parts = [(self.language.MEDIA, source.encode())]
        parts += [(METADATA, json.dumps(metadata).encode())] if metadata is not None else []
        outcome = self.host.wait(self.host.start(verb, parts + list(more)))
        if not outcome.ok and outcome.name == "UnknownVerb":
            raise NotOffered
        return outcome


def metadata_of(parts):
    found = [json.loads(data) for media, data in parts if media == METADATA]
    assert len(found) <= 1
    return found[0] if found else {}


def same(value, expected):
    assert value == expected, "%r is not %r" % (value, expected)


# ------------------------------------------------------------------------------------------------ execute --


@case("1.1", "The source runs in one namespace that persists between calls.")
def _(runtime):
    same(runtime.well("set x to 20").answer.parts, [])
    same(runtime.well("x plus 22").text, "42")


@case("1.2", "If its last statement is an expression, its value is the call's **result**: a MIME bundle, one part a representation, `text/plain` first")
def _(runtime):
    parts = runtime.well("a value of html and text").answer.parts
    same([media for media, _ in parts if media != METADATA], ["text/plain", "text/html"])
    same(dict(parts)["text/html"], b"<i>v</i>")
    same(dict(parts)["text/plain"], b"v")


@case("1.3", "no part if the value is `None`, or if the runtime's language has a way to say that it is not to be shown.")
def _(runtime):
    for what in ("nothing", "1 as a statement", "unshown"):
        same(runtime.well(what).answer.parts, [])


@case("1.4", "`silent` (true: neither its value nor its figures are shown; what it displays itself still is)")
def _(runtime):
    outcome = runtime.well("show 1 and have the value 2", silent=True)
    same(outcome.answer.parts, [])
    same([each["text/plain"] for each in outcome.displays()], [b"1"])
    same(runtime.well("show 1 and have the value 2").text, "2")


@case("1.5", "`cell` (string, an id for tracebacks: code is compiled as the file `<cell>`, default `cell N`)")
def _(runtime):
    assert "<my-cell>" in runtime.execute("divide by zero", cell="my-cell").trace
    assert "<cell 2>" in runtime.execute("divide by zero").trace


@case("1.6", "`count` (the number shown for this execution; default: one more than the last)")
def _(runtime):
    assert "<cell 41>" in runtime.execute("divide by zero", count=41).trace
    assert "<cell 42>" in runtime.execute("divide by zero").trace


@case("1.7", "A verb that a runtime does not know is the failure `UnknownVerb`.")
def _(runtime):
    outcome = runtime.host.wait(runtime.host.start("levitate.no.such.verb", []))
    same((outcome.ok, outcome.name), (False, "UnknownVerb"))
    same(runtime.well("set x to 20").ok, True)


@case("1.8", "An exception is a **failure**: name, `text/plain` message, `text/x-traceback` without the runtime's own frames.")
def _(runtime):
    outcome = runtime.execute("divide by zero")
    same((outcome.ok, outcome.name), (False, runtime.language.ZERO_DIVISION))
    same([media for media, _ in outcome.answer.parts[:2]], ["text/plain", "text/x-traceback"])
    assert outcome.trace.rstrip().endswith(outcome.text) and runtime.language.RUNTIME_FRAMES not in outcome.trace
    same(runtime.execute("fail with words").text, "no such colour: \u00e4")


@case("1.9", "Where the cause may be the sandbox (no such file, permission denied, network unreachable, out of memory), a third part `application/vnd.lauter.note`, `text` in UTF-8, says so")
def _(runtime):
    words = "/data/x is outside the policy; allow it with --read /data/x"
    asked = []

    def answer(call):
        asked.append([data for _, data in call.parts])
        runtime.host.reply(call, [("text/plain", b"outside the policy; allow it with --read /data/x")])

    runtime.host.answers["lauter.check"] = answer
    outcome = runtime.execute("open /data/x")
    same(outcome.note, words)
    same(outcome.answer.parts[2][0], NOTE)
    # The traceback's last line repeats it.
    same(outcome.trace.rstrip().splitlines()[-1], "note: " + words)
    assert [b"read", b"/data/x"] in asked, asked
    runtime.host.answers["lauter.check"] = lambda call: runtime.host.reply(call, [])
    same(runtime.execute("open /data/x").note, "")


@case("1.10", "The runtime learns it by the call `lauter.check` and waits two seconds at most for the answer.")
def _(runtime):
    runtime.host.answers["lauter.check"] = lambda call: None
    begun = time.monotonic()
    outcome = runtime.execute("open /data/x")
    same((outcome.ok, outcome.note), (False, ""))
    assert 1 < time.monotonic() - begun < 8


@case("1.11", "Interrupted code fails with `KeyboardInterrupt`.")
def _(runtime):
    outcome = runtime.begin("run until interrupted")
    runtime.host.wait_stdout("running")
    runtime.host.interrupt(outcome)
    same(runtime.host.wait(outcome).name, "KeyboardInterrupt")
    runtime.well("set x to 20")
    same(runtime.well("x plus 22").text, "42")


@case("1.12", "`SystemExit` from code (`exit()`) is a failure of that name and does not end the worker.")
def _(runtime):
    same(runtime.execute("exit").name, "SystemExit")
    runtime.well("set x to 20")


@case("1.13", "`text/*`, `application/json`, `application/*+json` and `image/svg+xml` are UTF-8 text (JSON: serialised); others (`image/png`) are the raw bytes.")
def _(runtime):
    same(runtime.well("display bytes 0 to 255 as png").displays()[0]["image/png"], bytes(range(256)))
    same(json.loads(runtime.well("display {'a': 1} as json").displays()[0]["application/json"]), {"a": 1})
    same(runtime.well("display <b>hi</b> as html and hi as text").displays(), [{"text/html": b"<b>hi</b>", "text/plain": b"hi"}])


@case("1.14", "With the metadata `value: true` the result is instead a value", optional=True)
def _(runtime):
    parts = runtime.well("the list [1, 'a', null]", value=True).answer.parts
    if parts[0][0] == "text/plain":
        raise NotOffered
    same(parts, [(VALUE, b"\x93\x01\xa1a\xc0")])
    same(runtime.well("nothing", value=True).answer.parts, [(VALUE, b"\xc0")])


@case("1.15", "What has no form there fails its call with `NoValueForm`, after the code has run", optional=True)
def _(runtime):
    outcome = runtime.execute("a function", value=True)
    if outcome.ok:
        raise NotOffered
    same(outcome.name, "NoValueForm")


# --------------------------------------------------------------------------------------------------- call --


@case("2.1", "the function: `text/plain`, its name as a cell could write it", optional=True)
def _(runtime):
    runtime.well("define area of two numbers")
    outcome = runtime.host.wait(runtime.host.start("call", [("text/plain", b"area"), (VALUE, b"\x92\x06\x07")]))
    if outcome.name == "UnknownVerb":
        raise NotOffered
    same(outcome.answer.parts, [(VALUE, b"\x2a")])
    by_name = b"\x82\xa1a\x02\xa1b\x03"
    same(runtime.host.wait(runtime.host.start("call", [("text/plain", b"area"), (VALUE, by_name)])).answer.parts, [(VALUE, b"\x06")])


@case("2.2", "arguments that are no value fail with `Broken`", optional=True)
def _(runtime):
    runtime.well("define area of two numbers")
    outcome = runtime.host.wait(runtime.host.start("call", [("text/plain", b"area"), (VALUE, b"\x92\x06")]))
    if outcome.name == "UnknownVerb":
        raise NotOffered
    same((outcome.ok, outcome.name), (False, "Broken"))


# ------------------------------------------------------------------------------------- the optional three --


@case("3.1", "any of the matches can take the place of the source between them", optional=True)
def _(runtime):
    source, cursor, match, whole = runtime.language.COMPLETE
    answer = runtime.optional("complete", source, {"cursor": cursor})
    assert answer.ok, answer.trace
    found = metadata_of(answer.answer.parts)
    assert 0 <= found["start"] <= found["end"] <= len(source), found
    assert match in found["matches"] and source[: found["start"]] + match + source[found["end"] :] == whole, found
    same(len(found.get("types", found["matches"])), len(found["matches"]))


@case("3.2", "a MIME bundle, `text/plain` first, about the name at the cursor; no part if nothing is known", optional=True)
def _(runtime):
    runtime.well("define area of two numbers")
    answer = runtime.optional("inspect", "area", {"cursor": 2})
    same(answer.answer.parts[0][0], "text/plain")
    same(runtime.optional("inspect", "no_such_name_", {"cursor": 2}).answer.parts, [])


@case("3.3", "\"complete\" (it can be executed), \"incomplete\" (more lines are wanted", optional=True)
def _(runtime):
    for status, source in runtime.language.COMPLETE_SOURCES.items():
        same(metadata_of(runtime.optional("is-complete", source).answer.parts)["status"], status)


@case("3.4", "a cursor beyond that, or none where one is needed, is the failure `ValueError`.", optional=True)
def _(runtime):
    for verb in ("complete", "inspect"):
        for metadata in ({"cursor": 9}, {}):
            outcome = runtime.optional(verb, "x", metadata)
            same((outcome.ok, outcome.name), (False, "ValueError"))


# ------------------------------------------------------------------------------------------------ outputs --


@case("4.1", "the same, for the displays shown earlier under the metadata's `display_id`")
def _(runtime):
    outcome = runtime.well("display under an id, then update it")
    same([(each.name, dict(each.parts)["text/plain"]) for each in outcome.outputs], [("display", b"one"), ("update", b"two")])
    same([metadata_of(each.parts)["display_id"] for each in outcome.outputs], ["here", "here"])


@case("4.2", "an object with `display_id` (string) and `metadata` (object, by media type, as nbformat has it), each optional.")
def _(runtime):
    same(metadata_of(runtime.well("display with metadata").outputs[0].parts), {"metadata": {"text/plain": {"k": 1}}})


@case("4.3", "none; metadata `wait`: true to clear only when the next output comes")
def _(runtime):
    outputs = runtime.well("clear, waiting").outputs
    same([each.name for each in outputs], ["clear"])
    same(metadata_of(outputs[0].parts), {"wait": True})


@case("4.4", "An output comes before its call's answer, whichever thread makes it.")
def _(runtime):
    same(runtime.well("display from a thread").displays(), [{"text/plain": b"from a thread"}])


@case("4.5", "When no call runs there is nowhere to show one: a runtime then writes its `text/plain` to standard output.")
def _(runtime):
    runtime.well("display after the call, from a thread")
    assert runtime.host.wait_stdout("nobody runs\n").count("nobody runs") == 1


@case("4.6", "Text that is written to the standard streams is not an output")
def _(runtime):
    outcome = runtime.well("print out and err")
    same((outcome.outputs, outcome.text), ([], "5"))
    same(runtime.host.wait_stdout("\n"), "to out\n")
    same(runtime.host.wait_stderr("\n"), "to err\n")


# -------------------------------------------------------------------------------------------------- input --


@case("5.1", "Parts: `text/plain` prompt; metadata `secret`: true for a password. Answer: one `text/plain`")
def _(runtime):
    asked = []
    runtime.host.answers["input"] = lambda call: (asked.append(call), runtime.host.reply(call, [("text/plain", b"Ada")]))
    assert "Ada" in runtime.well("ask 'name? '").text
    assert "Ada" in runtime.well("ask for a password").text
    same([dict(call.parts)["text/plain"] for call in asked], [b"name? ", b"secret? "])
    same([metadata_of(call.parts).get("secret", False) for call in asked], [False, True])
    assert all(call.parent for call in asked)


@case("5.2", "or the failure `EOFError` when there is nobody to ask.")
def _(runtime):
    runtime.host.answers["input"] = lambda call: runtime.host.fail(call, "EOFError", "nobody")
    same(runtime.execute("ask 'name? '").name, "EOFError")


# ------------------------------------------------- what docs/protocol.md asks of every worker, and calls show --


@case("6.1", "A worker executes the calls of the lane *main* in the order of their arrival, one at a time")
def _(runtime):
    first = runtime.begin("set x to 20")
    second = runtime.begin("x plus 22")
    same(runtime.host.wait(second).text, "42")
    assert first.answer is not None


@case("6.2", "At `stop` a worker finishes and exits")
def _(runtime):
    outcome = runtime.begin("set x to 20")
    same(runtime.host.stop(), 0)
    same(runtime.host.wait(outcome).ok, True)


@case("6.3", "So no request before the mark is lost, and none reaches a later call.")
def _(runtime):
    # Asked to stop before its code runs: it is in the page when the call arrives.
    outcome = runtime.begin("run until interrupted")
    runtime.host.interrupt(outcome)
    same(runtime.host.wait(outcome).name, "KeyboardInterrupt")
    ended = runtime.begin("set x to 20")
    runtime.host.wait(ended)
    runtime.host.interrupt(ended)  # a signal alone: the call is over
    same(runtime.well("x plus 22").text, "42")


@case("6.4", "A worker whose session ends (end of file) exits at once.")
def _(runtime):
    runtime.host.socket.shutdown(2)
    runtime.host.process.wait(20)


@case("6.5", "A host ignores unknown kinds above 31 and refuses others †; so does a worker.")
def _(runtime):
    runtime.host.send(200, 0, struct.pack("<Q", 7))
    runtime.well("set x to 20")
    runtime.host.send(31, 0, b"")
    same(runtime.host.process.wait(20), 1)


def run(subject, tell=print, only=None):
    """Every case (of those), each with a worker of its own: what came of it, by number."""
    outcomes = {}
    for number, sentence, optional, function in CASES:
        if only is not None and number not in only:
            continue
        said = ""
        try:
            subject.start()
            try:
                function(subject)
            finally:
                subject.close()
            outcome = "passed"
        except NotOffered:
            outcome = "not offered" if optional else "FAILED"
        except Exception as error:  # whatever a runtime does, the others are asked for too
            outcome, said = "FAILED", "\n        %s: %s" % (type(error).__name__, str(error)[:500])
        outcomes[number] = outcome
        tell("%-4s  %-11s  %s%s" % (number, outcome, sentence, said))
    return outcomes
