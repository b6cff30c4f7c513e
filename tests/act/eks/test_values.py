"""Configuration values: whatever else is in them survives merging and restoring."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.act.eks.values import env_of, merged
from ippolicy.errors import ActError

W, M = "WARM_IP_TARGET", "MINIMUM_IP_TARGET"

# What YAML can carry, too: no control characters, no lone halves of a pair.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff"))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
) | TEXT
CONTENT = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ENV = st.dictionaries(TEXT.filter(lambda key: key not in {W, M, "<<", "="}), TEXT, max_size=4)
OTHERS = st.dictionaries(
    TEXT.filter(lambda key: key not in {"env", "<<", "="}), CONTENT, max_size=5
)
OURS = st.dictionaries(st.sampled_from([W, M]), st.integers(0, 99).map(str))


def written(content: dict[str, Any], how: str) -> str:
    if how == "json":
        return json.dumps(content)
    return str(
        yaml.safe_dump(content, default_flow_style=how == "flow", allow_unicode=how == "block")
    )


def read(text: str, how: str) -> Any:
    return json.loads(text) if how == "json" else yaml.safe_load(text)


@pytest.mark.parametrize("how", ["json", "block", "flow"])
@given(others=OTHERS, env=ENV, before=OURS, after=OURS)
def test_other_content_survives_merging_and_restoring(
    how: str,
    others: dict[str, Any],
    env: dict[str, str],
    before: dict[str, str],
    after: dict[str, str],
) -> None:
    original = others | {"env": env | before}
    changed = merged(written(original, how), after)
    assert read(changed, how).get("env", {}) == env | before | after
    assert {key: one for key, one in read(changed, how).items() if key != "env"} == others
    back = merged(changed, {key: before.get(key) for key in (W, M)})
    assert env_of(back) == env | before
    assert {key: one for key, one in read(back, how).items() if key != "env"} == others


@given(text=CONTENT.map(json.dumps) | TEXT, changes=OURS)
def test_any_text_is_merged_or_refused_with_the_fix(text: str, changes: dict[str, str]) -> None:
    try:
        before = env_of(text)
    except ActError:
        with pytest.raises(ActError, match=r"spec\.apply\.method"):
            merged(text, changes)
    else:
        assert env_of(merged(text, changes)) == before | changes


@pytest.mark.parametrize("empty", ["", "  \n", "{}"])
def test_empty_values_become_json_and_empty_again(empty: str) -> None:
    changed = merged(empty, {W: "2"})
    assert changed == '{"env": {"WARM_IP_TARGET": "2"}}'
    assert merged(changed, {W: None}) == "{}"


def test_numbers_of_json_keep_their_digits() -> None:
    text = '{"a": 1.10, "b": 1e400, "c": 123456789012345678901234567890, "d": -0.0}'
    changed = merged(text, {W: "2"})
    assert changed == text[:-1] + ', "env": {"WARM_IP_TARGET": "2"}}'


def test_scalars_of_yaml_keep_text_and_quotes() -> None:
    text = "a: yes\nb: 'yes'\nc: 0o14\nd: 1e3\ne: 2020-01-01\nf: ~\ng: !x '1'\nenv:\n  A: on\n"
    changed = merged(text, {W: "2"})
    assert changed == text + '  WARM_IP_TARGET: "2"\n'
    assert merged(changed, {W: None}) == text


def test_an_env_that_is_shared_by_an_anchor_changes_in_one_place_only() -> None:
    text = "env: &e {A: x}\nother: *e\n"
    read = yaml.safe_load(merged(text, {W: "2"}))
    assert read == {"env": {"A": "x", W: "2"}, "other": {"A": "x"}}


def test_an_entry_of_a_merge_key_is_seen_and_overridden_but_not_removed() -> None:
    text = f"base: &b {{{W}: '5'}}\nenv:\n  <<: *b\n  A: x\n"
    assert env_of(text) == {W: "5", "A": "x"}
    assert env_of(merged(text, {W: "2"})) == {W: "2", "A": "x"}
    with pytest.raises(ActError, match="merge key"):
        merged(text, {W: None})


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        "a: b: c",
        "env: [1]",
        "env: {A: [1]}",
        '{"env": {"A": {}}}',
        "--- {}\n--- {}",
        "\x01",
    ],
)
def test_what_is_no_map_of_plain_values_is_refused(text: str) -> None:
    with pytest.raises(ActError, match="configurationValues of EKS add-on vpc-cni"):
        merged(text, {W: "2"})
