"""Selectors mean what they say, for any labels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ippolicy.sandbox.kube.selectors import (
    Selection,
    expression_matches,
    field_value,
    label_selector_matches,
    parse_fields,
    parse_labels,
)

KEYS = ("app", "tier", "example.com/zone")
keys = st.sampled_from(KEYS)
values = st.sampled_from(["", "a", "b", "3", "10"])
labels = st.dictionaries(keys, values)


def chosen(selector: str, given_labels: dict[str, str]) -> bool:
    value = {"metadata": {"labels": given_labels}}
    return Selection(parse_labels(selector)).matches(value)


@given(keys, values, labels)
def test_equality_and_its_opposite_part_all_objects(
    key: str, value: str, given_labels: dict[str, str]
) -> None:
    assert chosen(f"{key}={value}", given_labels) is (given_labels.get(key) == value)
    assert chosen(f"{key}!={value}", given_labels) is not chosen(f"{key}=={value}", given_labels)


@given(keys, st.lists(values, min_size=1), labels)
def test_in_and_notin_part_all_objects(
    key: str, options: list[str], given_labels: dict[str, str]
) -> None:
    text = ",".join(options)
    assert chosen(f"{key} in ({text})", given_labels) is (given_labels.get(key) in options)
    inside = chosen(f"{key} in ({text})", given_labels)
    assert chosen(f"{key} notin ( {text} )", given_labels) is not inside


@given(keys, labels)
def test_presence_and_absence_part_all_objects(key: str, given_labels: dict[str, str]) -> None:
    assert chosen(key, given_labels) is (key in given_labels)
    assert chosen(f"!{key}", given_labels) is (key not in given_labels)


@given(keys, keys, values, values, labels)
def test_terms_are_joined_by_and(
    one: str, two: str, first: str, second: str, given_labels: dict[str, str]
) -> None:
    both = chosen(f"{one}={first},{two} in ({second},zz)", given_labels)
    apart = chosen(f"{one}={first}", given_labels) and chosen(f"{two}={second}", given_labels)
    assert both is apart


@given(labels, labels)
def test_match_labels_are_equalities(wanted: dict[str, str], given_labels: dict[str, str]) -> None:
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    selector = {"matchLabels": wanted}
    assert label_selector_matches(selector, given_labels) is chosen(text, given_labels)


@given(keys, st.integers(0, 20), labels)
def test_numbers_are_compared_as_numbers(
    key: str, bound: int, given_labels: dict[str, str]
) -> None:
    term = {"key": key, "operator": "Gt", "values": [str(bound)]}
    text = given_labels.get(key, "")
    assert expression_matches(term, given_labels) is (text.isdigit() and int(text) > bound)


@given(st.sampled_from(["Running", "Pending", None]), st.booleans())
def test_fields_that_are_not_set_count_as_empty_or_false(phase: str | None, host: bool) -> None:
    value = {"metadata": {"name": "a"}, "spec": {"hostNetwork": host}, "status": {}}
    if phase is not None:
        value["status"]["phase"] = phase  # type: ignore[index]  # a JSON map
    allowed = ("status.phase", "spec.hostNetwork")
    terms = parse_fields("status.phase!=Running,spec.hostNetwork=false", allowed, "pods")
    assert Selection(fields=terms).matches(value) is (phase != "Running" and not host)
    assert field_value({"spec": {}}, "spec.unschedulable") == "false"
