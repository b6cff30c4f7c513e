"""Ownership of fields holds for any sequence of applies and updates."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.sandbox.kube import fieldsets
from ippolicy.sandbox.kube.apply import (
    Managed,
    Manager,
    apply,
    read_managed,
    record_update,
    write_managed,
)
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.shapes import built_in

SHAPE = built_in("DaemonSet")
NOW = "2026-01-01T00:00:00Z"
NAMES = ("A", "B", "C", "D")
VALUES = ("1", "2")
envs = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES))
people = st.sampled_from(["one", "two", "three"])
steps = st.lists(st.tuples(people, envs, st.booleans()), max_size=8)


def config(env: dict[str, str]) -> dict[str, Any]:
    entries = [{"name": name, "value": value} for name, value in env.items()]
    container = {"name": "aws-node", "env": entries} if env else {"name": "aws-node"}
    return {"metadata": {}, "spec": {"template": {"spec": {"containers": [container]}}}}


def env_of(value: dict[str, Any]) -> dict[str, str]:
    spec = value.get("spec", {}).get("template", {}).get("spec", {})
    containers = spec.get("containers") or [{}]
    return {entry["name"]: entry.get("value") for entry in containers[0].get("env") or ()}


def manager(name: str) -> Manager:
    return Manager(name, "Apply", "apps/v1")


def run(history: list[tuple[str, dict[str, str], bool]]) -> tuple[dict[str, Any], Managed]:
    live: dict[str, Any] = {"metadata": {}}
    managed: Managed = {}
    for name, env, force in history:
        with contextlib.suppress(*(() if force else (Refused,))):
            done = apply(
                live,
                config(env),
                managed=managed,
                manager=manager(name),
                shape=SHAPE,
                now=NOW,
                force=force,
            )
            live, managed = done.value, done.managed
    return live, managed


@given(steps, envs)
def test_what_was_forced_is_there(
    history: list[tuple[str, dict[str, str], bool]], env: dict[str, str]
) -> None:
    live, _ = run([*history, ("mine", env, True)])
    assert env_of(live).items() >= env.items()


@given(steps, envs)
def test_a_manager_that_leaves_takes_only_its_own_with_it(
    history: list[tuple[str, dict[str, str], bool]], env: dict[str, str]
) -> None:
    before, owners = run(history)
    new = {name: value for name, value in env.items() if name not in env_of(before)}
    live, managed = run([*history, ("mine", new, False), ("mine", {}, False)])
    assert env_of(live) == env_of(before)
    assert {who: owned.fields for who, owned in managed.items() if who.name != "mine"} == {
        who: owned.fields for who, owned in owners.items()
    }


@given(steps)
def test_every_entry_has_an_owner_and_every_owner_an_entry(
    history: list[tuple[str, dict[str, str], bool]],
) -> None:
    live, managed = run(history)
    stated = fieldsets.fields_of(live, SHAPE)
    owned = frozenset().union(*(entry.fields for entry in managed.values()))
    assert owned <= stated
    assert stated - {("f:metadata",)} <= owned


@given(steps, people, envs)
def test_a_conflict_changes_nothing_and_names_real_owners(
    history: list[tuple[str, dict[str, str], bool]], name: str, env: dict[str, str]
) -> None:
    live, managed = run(history)
    others = {
        path
        for who, owned in managed.items()
        if who.name != name
        for path in map(fieldsets.describe, owned.fields)
    }
    try:
        apply(live, config(env), managed=managed, manager=manager(name), shape=SHAPE, now=NOW)
    except Refused as refusal:
        for cause in refusal.details["causes"]:
            assert cause["field"] in others
        assert run(history) == (live, managed)
    else:
        foreign = {
            entry for entry, value in env_of(live).items() if entry in env and env[entry] != value
        }
        prefix = '.spec.template.spec.containers[name="aws-node"].env'
        assert not {f'{prefix}[name="{entry}"].value' for entry in foreign} & others


@given(steps)
def test_managed_fields_survive_being_written_and_read(
    history: list[tuple[str, dict[str, str], bool]],
) -> None:
    _, managed = run(history)
    stored = {"metadata": {"managedFields": write_managed(managed)}}
    assert read_managed(stored) == managed


@given(steps, envs)
def test_the_same_apply_twice_is_one(
    history: list[tuple[str, dict[str, str], bool]], env: dict[str, str]
) -> None:
    assert run([*history, ("mine", env, True)]) == run([*history, *[("mine", env, True)] * 2])


@given(steps, envs)
def test_who_updates_owns_what_changed(
    history: list[tuple[str, dict[str, str], bool]], env: dict[str, str]
) -> None:
    live, managed = run(history)
    hand = Manager("hand", "Update", "apps/v1")
    new = config(env)
    owners = record_update(managed, live, new, manager=hand, shape=SHAPE, now=NOW)
    changes = fieldsets.compare(live, new, SHAPE)
    changed = changes.added | changes.modified
    mine = owners[hand].fields if hand in owners else frozenset()
    assert mine == changed - {("f:metadata",)}
    for who, owned in owners.items():
        if who != hand:
            assert not owned.fields & (changed | changes.removed)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("f:spec", "f:replicas"), ".spec.replicas"),
        (("f:a", 'k:{"containerPort":80,"protocol":"TCP"}'), '.a[containerPort=80,protocol="TCP"]'),
        (("f:metadata", "f:finalizers", 'v:"x/y"'), '.metadata.finalizers[="x/y"]'),
    ],
)
def test_paths_read_as_the_api_writes_them(path: tuple[str, ...], expected: str) -> None:
    assert fieldsets.describe(path) == expected
