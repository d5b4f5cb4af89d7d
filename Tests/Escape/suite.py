# SPDX-License-Identifier: Apache-2.0
"""Runs all attempts for one user: {area: {name: {"shown": …, "by": …, PRESET: [verdict, note]}}}."""

import os
from concurrent.futures import ThreadPoolExecutor

import ffi
import stage as staging
from ffi import C
from refusals import below
from scenarios import SCENARIOS
from table import TABLE


class Victim:
    """A worker whom others try to reach."""

    def __init__(self, stage, host, preset):
        tag = f"victim-{stage.run}-{preset}"
        launch = ffi.Launch("program", str(stage.program), "serve", tag, "-", stdin="pipe")
        self.worker = host.spawn(stage.policy(preset), launch)
        event = host.until(lambda e: e.worker == self.worker.id and e.kind in (C.EVENT_STREAM, C.EVENT_EXITED))
        assert b"serving" in event.data, f"the victim does not live: {event.kind_name} {event.data}"
        pids = staging.support.processes_with(tag)
        assert len(pids) == 1, pids
        self.places = {"victim": tag, "victim_pid": str(pids[0])}

    def close(self):
        self.worker.kill()
        self.worker.exited()


def places_of(stage, preset) -> dict:
    """Where a preset lets its worker write."""
    return {"somewhere": "/tmp"} if preset == "strict" else {}


def twin_lines(stage, attempts, places):
    """(kind, number, text) of each twin; `own` ones are tried once inside each preset, too."""
    for number, attempt in attempts:
        for at, twin in enumerate(attempt.twins):
            kind, _, what = twin.partition(": ")
            yield kind, number * 10 + at, stage.fill(what or attempt.what, **places)


def preset_outcomes(stage, preset, attempts, own):
    """Outcomes of one preset: attempts in one worker, those apart in workers of their own; and of the `own` twins."""
    outcomes = staging.Outcomes()
    with ffi.Host() as host:
        victim = Victim(stage, host, preset)
        places = {**victim.places, **places_of(stage, preset)}
        lines = [(n, stage.fill(a.what, **places)) for n, a in attempts if not a.apart]
        outcomes.update(staging.try_all(staging.inside(stage, host, preset), lines, stage))
        assert not [e for e in host.seen if e.kind == C.EVENT_EXITED and e.worker == victim.worker.id], "the victim was harmed"
        victim.close()
    with ffi.Host() as host:
        apart = [(n, stage.fill(a.what), a.words) for n, a in attempts if a.apart]
        outcomes.update(staging.inside_apart(stage, host, preset, apart))
        shown = staging.try_all(staging.inside(stage, host, preset), own, stage) if own else {}
    return outcomes, shown


def run(stage, presets, only="") -> dict:
    attempts = [(n, a) for n, a in enumerate(TABLE) if only in a.name]
    results, shown = {n: {} for n, _ in attempts}, {}
    twins = list(twin_lines(stage, attempts, {"victim": "nobody", "victim_pid": str(os.getpid()), "somewhere": "/tmp"}))
    own = [(number, what) for kind, number, what in twins if kind == "own"]
    for preset in presets:
        if stage.has_namespaces:
            outcomes, here = preset_outcomes(stage, preset, attempts, own)
        else:
            outcomes, here = below(lambda preset=preset: preset_outcomes(stage, preset, attempts, own), seconds=240)
        for number, _ in attempts:
            results[number][preset] = list(outcomes[number])
        shown.update({n: v for n, v in here.items() if v[0] == "open"})
    kinds = {
        "outside": {"pass_fds": [stage.kept]},
        "alone": {"prefix": staging.ALONE},
        "dropped": {"user": 65534, "group": 65534, "extra_groups": []},
    }
    for kind, how in kinds.items():
        lines = [(number, what) for k, number, what in twins if k == kind]
        if not lines or (kind == "dropped" and os.geteuid() != 0):
            continue
        start = staging.outside(stage, **how)
        together = [line for line in lines if not TABLE[line[0] // 10].apart]
        apart = [line for line in lines if TABLE[line[0] // 10].apart]
        if kind == "alone":  # the next would find what the one before has done to its namespaces
            together, apart = [], lines
        with ThreadPoolExecutor(12) as threads:
            batches = [together] * bool(together) + [[line] for line in apart]
            for outcomes in threads.map(lambda batch: staging.try_all(start, batch, stage), batches):
                shown.update({n: v for n, v in outcomes.items() if v[0] == "open"})
    told = {}
    for number, attempt in attempts:
        by = [attempt.twins[at].split(":")[0] for at in range(len(attempt.twins)) if number * 10 + at in shown]
        told.setdefault(attempt.area, {})[attempt.name] = {"shown": bool(by), "by": by, **results[number]}
    for scenario in (s for s in SCENARIOS if only in s.name and (stage.has_namespaces or not s.needs_mounts)):
        entry = told.setdefault(scenario.area, {}).setdefault(scenario.name, {"shown": False, "by": []})
        for preset in presets:
            if stage.has_namespaces:
                verdict, note, is_shown = scenario.run(stage, preset)
            else:
                verdict, note, is_shown = below(lambda s=scenario, preset=preset: s.run(stage, preset), seconds=120)
            entry[preset] = [verdict, note]
            entry["shown"] |= is_shown
    return told
