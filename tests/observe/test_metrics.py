"""The metrics page is believed whole or not at all; counters go on across restarts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.errors import ScrapeFailed
from ippolicy.facts import PoolCounters
from ippolicy.observe.metrics import CounterState, Reading, parse

PAGE = """\
# HELP awscni_add_ip_req_count The number of add IP address requests
# TYPE awscni_add_ip_req_count counter
awscni_add_ip_req_count 7
awscni_assigned_ip_addresses 2
awscni_assigned_ip_per_cidr{cidr="10.0.0.1/32"} 1
awscni_aws_utils_error_count{error="a \\"b\\" {c},\\nd",fn="x"} 1
awscni_build_info{goversion="go1.26",version="v1.23.1"} 1
awscni_del_ip_req_count{reason="PodDeleted"} 3
awscni_del_ip_req_count{reason="Other, \\"quoted\\" \\\\"} 2
awscni_ec2api_error_count{fn="AssignPrivateIpAddresses"} 1
awscni_ec2api_req_count{fn="AssignPrivateIpAddresses"} 4
awscni_ec2api_req_count{fn="CreateNetworkInterface",} 1 1700000000000
awscni_eni_allocated 2
awscni_eni_max 4
awscni_ip_max 56
awscni_no_available_ip_addresses 1
awscni_total_ip_addresses 2.8e+01
awscni_total_ipv4_prefixes 0

go_gc_duration_seconds{quantile="0"} NaN
process_start_time_seconds 1.7e+09
"""
READING = Reading(
    held=28,
    assigned=2,
    enis=2,
    enis_max=4,
    prefixes=0,
    held_max=56,
    add_requests=7,
    del_requests=5,
    no_available_addresses=1,
    ec2_calls={"AssignPrivateIpAddresses": 4, "CreateNetworkInterface": 1},
    ec2_errors={"AssignPrivateIpAddresses": 1},
    cni_version="v1.23.1",
    started_at_s=1.7e9,
)


def refusal(page: str | bytes) -> str:
    with pytest.raises(ScrapeFailed) as caught:
        parse(page if isinstance(page, bytes) else page.encode())
    assert caught.value.reason == "garbage"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without(*names: str) -> str:
    return "".join(
        line for line in PAGE.splitlines(keepends=True) if not line.startswith(tuple(names))
    )


def test_a_page_is_read() -> None:
    assert parse(PAGE.encode()) == READING


@pytest.mark.parametrize(
    "name",
    [
        "awscni_eni_max",
        "awscni_eni_allocated",
        "awscni_total_ip_addresses",
        "awscni_assigned_ip_addresses",
        "awscni_total_ipv4_prefixes",
        "awscni_no_available_ip_addresses",
    ],
)
def test_a_missing_family_refuses_the_page(name: str) -> None:
    assert name in refusal(without(name))


@pytest.mark.parametrize("version", ["v1.15.5", "v1.9.0", "1.12.6-eksbuild.2", ""])
def test_an_old_release_need_not_have_the_families_that_came_later(version: str) -> None:
    page = without("awscni_total_ipv4_prefixes", "awscni_no_available", "awscni_ec2api", "process")
    reading = parse(page.replace("v1.23.1", version).encode())
    assert (reading.prefixes, reading.no_available_addresses) == (0, 0)
    assert (reading.ec2_calls, reading.started_at_s) == ({}, None)


def test_a_page_need_not_tell_what_all_enis_would_hold() -> None:
    assert parse(without("awscni_ip_max").encode()) == replace(READING, held_max=0)


@pytest.mark.parametrize(
    "value",
    ["NaN", "+Inf", "-1", "1.5", "1e300", "1e999", "x", "0x10", "1_0", "", "1 2 3", "--1", "."],
)
def test_a_value_that_is_no_count_is_refused(value: str) -> None:
    page = PAGE.replace("awscni_eni_max 4", f"awscni_eni_max {value}")
    assert "awscni_eni_max" in refusal(page)


@pytest.mark.parametrize(
    "labels",
    ['{fn="a}', "{fn=a}", '{fn="a"', '{="a"}', '{fn="a" fn="b"}', '{fn="a",fn="b"}', '{fn="a"}}'],
)
def test_broken_labels_are_refused(labels: str) -> None:
    refusal(PAGE + f"awscni_ec2api_req_count{labels} 1\n")


def test_a_series_that_is_there_twice_is_refused() -> None:
    assert "twice" in refusal(PAGE + "awscni_eni_max 4\n")
    assert "twice" in refusal(PAGE + 'awscni_ec2api_req_count{fn="AssignPrivateIpAddresses"} 4\n')
    assert "2 times" in refusal(PAGE + 'awscni_eni_max{card="1"} 4\n')
    assert "2 times" in refusal(PAGE + 'awscni_ip_max{card="1"} 56\n')


def test_foreign_bodies_are_refused() -> None:
    refusal("")
    refusal("<html><body>login</body></html>\n")
    refusal('{"error": "no"}\n')
    refusal(b"\xff\xfe\n")
    refusal(PAGE + "x" * 20_000 + "\n")


def test_half_a_page_is_refused_wherever_it_is_cut() -> None:
    last_needed = PAGE.index("awscni_total_ipv4_prefixes 0\n") + len(
        "awscni_total_ipv4_prefixes 0\n"
    )
    for end in range(last_needed):
        refusal(PAGE[:end])


def test_a_page_of_thousands_of_cidrs_is_read() -> None:
    more = "".join(
        f'awscni_assigned_ip_per_cidr{{cidr="10.{n >> 8}.{n & 255}.0/32"}} 0\n'
        for n in range(5_000)
    )
    assert parse((more + PAGE).encode()) == READING


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(noise: bytes) -> None:
    refusal(noise + b"\n")


@given(st.data())
def test_a_damaged_page_is_read_sanely_or_refused(data: st.DataObject) -> None:
    body = bytearray(PAGE.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    with suppress(ScrapeFailed):
        reading = parse(bytes(body))
        assert min(reading.held, reading.assigned, reading.enis, reading.enis_max) >= 0


LABEL_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)


@given(st.dictionaries(LABEL_TEXT, st.integers(0, 2**50), max_size=5))
def test_label_values_survive_escaping(counts: dict[str, int]) -> None:
    page = without("awscni_ec2api_req_count") + "".join(
        f'awscni_ec2api_req_count{{fn="{_escaped(name)}"}} {count}\n'
        for name, count in counts.items()
    )
    assert parse(page.encode()).ec2_calls == counts


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def counted(adds: int, *, started_at_s: float = 1.0, **calls: int) -> Reading:
    return replace(READING, add_requests=adds, started_at_s=started_at_s, ec2_calls=calls)


def test_counting_starts_at_the_first_reading() -> None:
    state = CounterState()
    assert state.update(counted(100, Assign=5)) == PoolCounters()
    counters = state.update(counted(103, Assign=6, Create=2))
    assert counters.add_requests == 3
    assert counters.ec2_calls == {"Assign": 1, "Create": 2}
    assert state.restarts == 0


@pytest.mark.parametrize(
    ("after", "pod"),
    [
        (counted(4), "pod-1"),
        (counted(4, started_at_s=2.0), "pod-1"),
        (counted(104, started_at_s=2.0), "pod-1"),
        (counted(104), "pod-2"),
        (counted(104, Other=1), "pod-1"),
    ],
)
def test_a_restart_adds_what_the_new_process_counted(after: Reading, pod: str) -> None:
    state = CounterState()
    state.update(counted(90, Assign=1), "pod-1")
    state.update(counted(100, Assign=1), "pod-1")
    assert state.update(after, pod).add_requests == 10 + after.add_requests
    assert state.restarts == 1


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=30))
def test_totals_never_fall_and_lose_nothing_that_was_read(steps: list[tuple[int, bool]]) -> None:
    state = CounterState()
    process, expected, now = 0, 0, 0
    state.update(counted(0, started_at_s=0.0), "0")
    for more, restart in steps:
        process += restart
        now = more if restart else now + more
        expected += more
        total = state.update(counted(now, started_at_s=float(process)), str(process)).add_requests
        assert total == expected
    assert state.restarts == process


def test_refusals_for_want_of_a_whole_block_are_counted_over_all_calls() -> None:
    errors = "".join(
        f'awscni_aws_api_error_count{{api="{api}",error="{code}"}} {count}\n'
        for api, code, count in (
            ("AssignPrivateIpAddresses", "InsufficientCidrBlocks", 4),
            ("CreateNetworkInterface", "InsufficientCidrBlocks", 2),
            ("AssignPrivateIpAddresses", "InsufficientFreeAddressesInSubnet", 9),
        )
    )
    reading = parse((PAGE + errors).encode())
    assert (reading.no_free_blocks, parse(PAGE.encode()).no_free_blocks) == (6, 0)
    state = CounterState()
    state.update(READING)
    assert state.update(reading).no_free_blocks == 6


def test_what_ec2_answered_and_refused_for_load_is_read_by_api() -> None:
    answers = "".join(
        f'awscni_aws_api_latency_ms_{kind}{{api="{api}",error="{failed}",status="{status}"}} {n}\n'
        for api, failed, status, calls, took_ms in (
            ("AssignPrivateIpAddresses", "false", "200", 8, "12345.75"),
            ("AssignPrivateIpAddresses", "true", "RequestLimitExceeded", 3, "9000.5"),
            ("waitForENIAndIPsAttached", "false", "200", 2, "1.5e+04"),
        )
        for kind, n in (("count", calls), ("sum", took_ms))
    )
    errors = "".join(
        f'awscni_aws_api_error_count{{api="AssignPrivateIpAddresses",error="{code}"}} {count}\n'
        for code, count in (
            ("RequestLimitExceeded", 3),
            ("Throttling", 1),
            ("InsufficientFreeAddressesInSubnet", 9),
        )
    )
    reading = parse((PAGE + answers + errors).encode())
    assert reading.answers == {"AssignPrivateIpAddresses": 8, "waitForENIAndIPsAttached": 2}
    assert reading.answers_ms == {
        "AssignPrivateIpAddresses": 12_346,
        "waitForENIAndIPsAttached": 15_000,
    }
    assert reading.ec2_overloads == {"AssignPrivateIpAddresses": 4}
    state = CounterState()
    state.update(READING)
    counters = state.update(reading)
    assert counters.answers == reading.answers
    assert counters.answers_ms == reading.answers_ms
    assert counters.ec2_overloads == reading.ec2_overloads
