# SPDX-License-Identifier: Apache-2.0
"""The ABI check finds what would break a program that was compiled before, and lets additions pass.

Each test changes a copy of the header as it is, so a mutation that no longer applies is a failure, too.
"""

import abi
import pytest

BREAKS = {
    "a field grows": ("uint32_t rung; ", "uint64_t rung; ", "rung"),
    "a field goes": ("uint32_t core_dumped;    /**< 1 if it left a core. */", "", "core_dumped"),
    "two fields trade places": (
        "const char *label;       /**< As set on the launch. */\n        const char *why; ",
        "const char *why;       /**< As set on the launch. */\n        const char *label; ",
        "label",
    ),
    "the host's struct grows": (
        "/**< The library's. */",
        "/**< The library's. */\n        uint64_t added;",
        "lauter_event",
    ),
    "a report grows in the middle": (
        "uint64_t wall_us;  ",
        "uint64_t added; uint64_t wall_us;  ",
        "added",
    ),
    "a function goes": (
        "LAUTER_API const char *lauter_version(void);",
        "",
        "[D] 'function const char* lauter_version()",
    ),
    "a parameter shrinks": (
        "lauter_host_wait(lauter_host *host, int64_t timeout_ms,",
        "lauter_host_wait(lauter_host *host, int32_t timeout_ms,",
        "lauter_host_wait",
    ),
    "a parameter comes": (
        "lauter_host_fd(const lauter_host *host)",
        "lauter_host_fd(const lauter_host *host, int which)",
        "lauter_host_fd",
    ),
    "a result changes": ("int32_t lauter_error_step(", "int64_t lauter_error_step(", "lauter_error_step"),
    "ids shrink": ("typedef uint64_t lauter_call;", "typedef uint32_t lauter_call;", "lauter_call"),
    "a constant has another value": (
        "LAUTER_REASON_WALL = 7,",
        "LAUTER_REASON_WALL = 77,",
        "LAUTER_REASON_WALL was 7 and is 77",
    ),
    "a constant goes": ("LAUTER_RUNG_TERM = 2,", "", "LAUTER_RUNG_TERM is gone"),
    "a bound changes": (
        "#define LAUTER_MESSAGE_MAX ((uint64_t)1 << 30)",
        "#define LAUTER_MESSAGE_MAX ((uint64_t)1 << 31)",
        "LAUTER_MESSAGE_MAX was 1073741824 and is 2147483648",
    ),
}


@pytest.fixture
def compare_changed(tmp_path):
    """Compare the header with a copy in which one text stands for another."""

    def compare(old: str, new: str) -> abi.Comparison:
        text = abi.HEADER.read_text()
        assert text.count(old) == 1, f"the header has {old!r} {text.count(old)} times"
        changed, before = tmp_path / "changed" / "lauter.h", tmp_path / "before"
        for folder in (changed.parent, before):
            folder.mkdir()
        changed.write_text(text.replace(old, new))
        abi.describe(abi.HEADER, before)
        return abi.check(changed, before)

    return compare


@pytest.mark.parametrize("change", BREAKS)
def test_a_break_is_found(change, compare_changed):
    old, new, named = BREAKS[change]
    compared = compare_changed(old, new)
    assert any(named in fault for fault in compared.faults), compared.faults


def test_additions_are_noted_and_pass(compare_changed):
    mark = "LAUTER_API void lauter_event_clear(lauter_event *event);"
    added = (
        "\nenum { LAUTER_ADDED = 5 };\ntypedef struct lauter_added lauter_added;\n"
        "LAUTER_CHECKED int32_t lauter_added_new(lauter_added **added, lauter_error **error);"
    )
    compared = compare_changed(mark, mark + added)
    assert compared.faults == []
    assert any("lauter_added_new" in note for note in compared.notes)
    assert "LAUTER_ADDED = 5" in compared.notes


def test_a_report_may_grow_at_its_end(compare_changed):
    compared = compare_changed("} lauter_report;", "        uint64_t added;\n} lauter_report;")
    assert compared.faults == []
    assert compared.notes == ["lauter_report: uint64_t added"]


def test_comments_and_names_of_parameters_are_nobodys_business(compare_changed):
    compared = compare_changed(
        "lauter_host_wait(lauter_host *host, int64_t timeout_ms,",
        "lauter_host_wait(lauter_host *whose /* renamed */, int64_t how_long,",
    )
    assert (compared.faults, compared.notes) == ([], [])


def test_the_header_keeps_what_the_baseline_promises():
    assert abi.check().faults == []


def test_the_baseline_has_every_function_and_constant_it_should(tmp_path):
    """A description that came out empty would find no fault."""
    abi.describe(abi.HEADER, tmp_path)
    described = (tmp_path / "lauter.abi").read_text()
    for name in ("lauter_spawn", "lauter_report", "lauter_event", "peak_bytes"):
        assert f"name='{name}'" in described
    constants = (tmp_path / "constants").read_text().split()
    assert {"LAUTER_OK", "LAUTER_ERROR_STATE", "LAUTER_ABI_VERSION", "LAUTER_EVENT_NONE"} <= set(constants)
