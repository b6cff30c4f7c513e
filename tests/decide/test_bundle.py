"""A bundle holds all that a decision rests on, no secret, and nothing beyond its limits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOW_S, change, daemon_set, node, policy, pool, record, snapshot, trace
from ippolicy.decide import bundle_limits
from ippolicy.decide.bundle import differing, dump, load, read
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.profiles import Part, Schedule
from ippolicy.decide.types import DayPlan
from ippolicy.errors import InvalidBundle, IPPolicyError
from ippolicy.facts import EnvEntry, NodeTrace, SourceName, SourceState, SubnetFacts
from ippolicy.facts.subnets import SubnetInventory
from ippolicy.ipamd import WarmTargets

# Compiling takes a minute of a busy machine, once for all tests and later runs.
pytestmark = pytest.mark.timeout(600)

REPLACED = [(float(at_s), step) for at_s in range(300, 7_000, 600) for step in (-1, 1)]
ACCOUNT = "123456789012"


def inputs(**changes: Any) -> Inputs:
    """The first story, with a few pods replaced on each node."""
    found = Inputs(
        policy=policy(),
        snapshot=snapshot(),
        traces=[trace(n, events=REPLACED) for n in range(10)],
        record=record(change()),
        limits=Limits(),
        by_replay=False,
    )
    return replace(found, **changes)


@st.composite
def node_traces(draw: st.DrawFn) -> NodeTrace:
    """Pods that come and go at any moment, never below none."""
    moments = draw(st.lists(st.floats(0, 7_199, allow_nan=False), max_size=30))
    level = draw(st.integers(0, 40))
    steps = [(at_s, draw(st.sampled_from([-1, 1]))) for at_s in sorted(moments)]
    kept, now = [], level
    for at_s, step in steps:
        if now + step >= 0:
            kept.append((at_s, step))
            now += step
    group = draw(st.sampled_from(["blue", "green"]))
    return trace(draw(st.integers(0, 5)), level=level, events=kept, group=group)


any_env = st.dictionaries(
    st.sampled_from(
        ["WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET", "ENABLE_PREFIX_DELEGATION"]
    ),
    st.sampled_from(["0", "1", "5", "20", "true", "-3", "x"]),
)
specs = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["Off", "Recommend", "Apply"]),
        "objective": st.sampled_from([{}, {"goal": "SaveAddresses"}, {"maxDelayedStarts": "0%"}]),
        "bounds": st.sampled_from([{}, {"warmIPTarget": {"min": 2, "max": 9}}]),
        "change": st.sampled_from([{}, {"cooldown": "48h"}, {"stabilization": "10m"}]),
    }
)


@st.composite
def any_inputs(draw: st.DrawFn) -> Inputs:
    """Facts of up to six nodes in two groups, healthy or not."""
    size = draw(st.integers(0, 6))
    groups = draw(st.lists(st.sampled_from(["blue", "green"]), min_size=size, max_size=size))
    facts = snapshot(
        size,
        nodes=tuple(node(n, group=group) for n, group in enumerate(groups)),
        daemon_set=draw(st.none() | any_env.map(daemon_set)),
        pools={f"node-{n}": pool(n) for n in range(draw(st.integers(0, size)))},
    )
    return Inputs(
        policy=policy(draw(specs)),
        snapshot=facts,
        traces=draw(st.lists(node_traces(), max_size=6)),
        record=draw(st.none() | st.just(record(change()))),
        limits=Limits(),
        by_replay=draw(st.booleans()),
    )


@given(any_inputs())
@settings(max_examples=60, deadline=None)
def test_what_is_loaded_gives_the_decision_that_was_made(asked: Inputs) -> None:
    decision = decide(asked)
    bundle = read(dump(asked, decision))
    again = decide(bundle.inputs)
    assert again == decision
    assert bundle.served is not None
    assert differing(bundle.served, again) == []
    later = replace(asked, searched=decision.searched, braked=decision.braked)
    assert decide(load(dump(later))) == decide(later)


def test_a_plan_of_the_day_is_served_whole() -> None:
    decision = decide(inputs())
    assert decision.fleet is not None
    part = Part(
        start_hour=8,
        targets=WarmTargets(1, 9, 20),
        held=60.5,
        grows=True,
        wait_s=0.0,
        present_held=90.0,
        present_meets=True,
    )
    schedule = Schedule((part,), 42.25, 0.004, 0.5, single_held=55.0)
    day = DayPlan(schedule, part, 1.0, 2.0, in_turn=True, switches_s=(3.0,))
    served = replace(decision, fleet=replace(decision.fleet, plan=day))
    bundle = read(dump(inputs(), served))
    assert bundle.served == served
    assert differing(served, decision) == ["fleet"]


def test_a_decision_that_differs_is_told_by_its_fields() -> None:
    decision = decide(inputs())
    bundle = read(dump(inputs(), replace(decision, message="other", env={"A": "1"})))
    assert bundle.served is not None
    assert differing(bundle.served, decide(bundle.inputs)) == ["message", "env"]


def test_without_a_decision_there_is_none_to_compare() -> None:
    assert read(dump(inputs())).served is None


def test_the_same_inputs_give_the_same_bytes_and_gzip_shrinks_them() -> None:
    document = dump(inputs())
    assert document == dump(inputs())
    packed = gzip.compress(document)
    assert len(packed) < len(document) / 3
    assert decide(load(packed)) == decide(inputs())


def test_a_long_trace_takes_few_bytes() -> None:
    rng = np.random.default_rng(1)
    quiet = trace(0, span_s=86_400.0)
    times_s = np.sort(np.floor(rng.uniform(0, 864_000, 20_000)) / 10) + quiet.since_s
    steps = np.where(np.arange(20_000) % 2 == 0, 1, -1).astype(np.int8)
    busy = replace(quiet, times_s=times_s, changes=steps)
    grown = len(dump(inputs(traces=[busy]))) - len(dump(inputs(traces=[quiet])))
    assert grown < 6 * 20_000
    (back,) = load(dump(inputs(traces=[busy]))).traces
    assert np.array_equal(back.times_s, times_s)
    assert np.array_equal(back.changes, steps)


# -- what stays out -------------------------------------------------------------------------------


def telling() -> Inputs:
    """Facts with much in them that is nobody's business."""
    env: dict[str, str | EnvEntry] = {
        "WARM_IP_TARGET": "2",
        "ENABLE_IPv6": "false",
        "HTTPS_PROXY": "http://user:hunter2@proxy",
        "TOKEN": EnvEntry(None, {"secretKeyRef": {"name": "hunter2", "key": "token"}}),
        "MINIMUM_IP_TARGET": EnvEntry(
            None, {"configMapKeyRef": {"name": "cni", "key": "min", "optional": "hunter2"}}
        ),
    }
    image = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.23.1"
    denied = f"arn:aws:sts::{ACCOUNT}:assumed-role/x is not authorized"
    sources = {name: SourceState(NOW_S) for name in SourceName}
    sources[SourceName.PODS] = SourceState(None, error=denied)
    wishes = {
        "ippolicy.dev/paused": "false",
        "ippolicy.dev/last-handled-configuration": "hunter2" * 20,
        "kubectl.kubernetes.io/last-applied-configuration": "hunter2",
    }
    return inputs(
        policy=policy({"mode": "Apply"}, annotations=wishes),
        snapshot=snapshot(
            daemon_set=daemon_set(env, owners={"HTTPS_PROXY": ("hunter2",)}, image=image),
            sources=sources,
        ),
        record=record(originals={"HTTPS_PROXY": EnvEntry("hunter2"), "WARM_IP_TARGET": None}),
    )


def test_a_bundle_has_no_secret_and_no_account_id() -> None:
    document = dump(telling(), decide(telling())).decode()
    for secret in ("hunter2", ACCOUNT, "amazonaws"):
        assert secret not in document
    kept = load(document.encode())
    assert kept.policy.annotations == {"ippolicy.dev/paused": "false"}
    assert kept.snapshot.daemon_set is not None
    assert set(kept.snapshot.daemon_set.env) == {
        "WARM_IP_TARGET",
        "MINIMUM_IP_TARGET",
        "ENABLE_IPv6",
    }
    assert kept.snapshot.daemon_set.env["MINIMUM_IP_TARGET"].origin == "configMapKeyRef cni/min"
    assert kept.snapshot.daemon_set.image == "amazon-k8s-cni:v1.23.1"


def test_an_account_id_in_a_message_does_not_make_the_decision_differ() -> None:
    asked = telling()
    asked = replace(asked, snapshot=replace(asked.snapshot, daemon_set=daemon_set()))
    decision = decide(asked)
    assert ACCOUNT in decision.message
    bundle = read(dump(asked, decision))
    assert ACCOUNT not in dump(asked, decision).decode()
    assert bundle.served is not None
    assert differing(bundle.served, decide(bundle.inputs)) == []


# -- what is refused ------------------------------------------------------------------------------


def edited(edit: Callable[[dict[str, Any]], object]) -> bytes:
    """A sound document after `edit`."""
    raw = json.loads(dump(inputs()))
    edit(raw)
    return json.dumps(raw).encode()


def inner(*path: str | int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Sets fields of the object at `path`."""

    def edit(raw: dict[str, Any]) -> None:
        at: Any = raw
        for step in path:
            at = at[step]
        at.update(changes)

    return edit


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "it is not JSON"),
        (b"[]", "a list stands where an object should"),
        (b"{" * 5_000, "it is not JSON"),
        (b"[" * 200_000, "it is not JSON"),
        (b"\x1f\x8bnot gzip", "it cannot be unzipped"),
        (edited(inner(version=2)), "not a bundle that this version reads"),
        (edited(inner(kind="other")), "not a bundle that this version reads"),
        (edited(lambda raw: raw.pop("inputs")), "missing required field `inputs`"),
        (edited(lambda raw: raw["inputs"].pop("limits")), "field `limits` - at `$.inputs`"),
        (edited(inner("inputs", "snapshot", taken_at_s=None)), "at `$.inputs.snapshot.taken_at_s`"),
        (edited(inner("inputs", "snapshot", taken_at_s="now")), "Expected `float`, got `str`"),
        (edited(inner("inputs", "snapshot", "nodes", 3, max_pods=-1)), "nodes[3].max_pods -1"),
        (edited(inner("inputs", "snapshot", "nodes", 3, name="x" * 3_000)), "nodes[3].name has"),
        (
            edited(inner("inputs", "snapshot", "nodes", 3, maxPods=1)),
            "nodes[3].maxPods is no field",
        ),
        (
            edited(inner("inputs", "snapshot", "limits", "r5.xlarge", enis=10**6)),
            "limits.r5.xlarge.enis 1000000 is not from 0 to 1000",
        ),
        (
            edited(inner("inputs", "policy", "spec", "bounds", "warmIPTarget", max=5_000)),
            "bounds.warmIPTarget.max: Input should be less than or equal to 1024",
        ),
        (edited(inner("inputs", "policy", "spec", mode="Sometimes")), "mode: Input should be"),
        (edited(inner("inputs", "traces", 0, level=10**7)), "(node-0) has 10000000 pods"),
        (edited(inner("inputs", "traces", 0, weight=0)), "traces[0].weight 0.0 is not from 1"),
        (edited(inner("inputs", "traces", 0, since_s=0)), "traces[0] (node-0) spans more than"),
        (edited(inner("inputs", "traces", 0, since_s=2e9)), "(node-0) ends before it begins"),
        (edited(inner("inputs", "traces", 0, times_s="!")), "an array cannot be read"),
        (edited(inner("inputs", "traces", 0, times_s=[])), "an array cannot be read"),
        (edited(inner("inputs", "traces", 0, changes="eJwDAAAAAAE=")), "lacks a time or change"),
    ],
)
def test_a_bundle_that_is_not_sound_is_refused_with_the_reason(
    document: bytes, reason: str
) -> None:
    with pytest.raises(InvalidBundle) as refused:
        load(document)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"times_s": np.array([2.0, 1.0])}, "has times that go back"),
        ({"times_s": np.array([1.0, np.nan])}, "has times that are no numbers"),
        ({"changes": np.array([1, 2], dtype=np.int8)}, "has changes other than +1 and -1"),
    ],
)
def test_arrays_that_are_no_trace_are_refused(changes: dict[str, Any], reason: str) -> None:
    sound = trace(0, events=[(10.0, 1), (20.0, -1)])
    with pytest.raises(InvalidBundle, match=reason.replace("+", r"\+")):
        dump(inputs(traces=[replace(sound, **changes)]))


def test_a_small_file_cannot_unfold_into_much(monkeypatch: pytest.MonkeyPatch) -> None:
    document = dump(inputs())
    monkeypatch.setattr("ippolicy.decide.bundle.MAX_BYTES", len(document) - 1)
    with pytest.raises(InvalidBundle, match="beyond the limit"):
        load(gzip.compress(document))
    with pytest.raises(InvalidBundle, match=r"shorten spec\.demand\.window"):
        dump(inputs())
    monkeypatch.undo()
    monkeypatch.setattr("ippolicy.decide.bundle.MAX_NUMBERS", 100)
    with pytest.raises(InvalidBundle, match="beyond 100 numbers in all"):
        load(document)


def test_more_items_or_bytes_than_a_field_may_have_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(bundle_limits, "_MAX_ITEMS", 9)
        with pytest.raises(InvalidBundle, match=r"\$\.inputs\.snapshot\.nodes has more than 9"):
            dump(inputs())
    subnet = SubnetFacts("subnet-1", "a", "10.0.0.0/24", 256, 9, NOW_S)
    inventory = SubnetInventory(subnet, (), bytes(32), NOW_S)
    asked = inputs(snapshot=snapshot(inventories={"subnet-1": inventory}))
    assert load(dump(asked)).snapshot.inventories == {"subnet-1": inventory}
    monkeypatch.setattr(bundle_limits, "_MAX_BITS_BYTES", 31)
    with pytest.raises(InvalidBundle, match="used has more than 31 bytes"):
        dump(asked)


def test_more_node_days_than_can_be_cut_up_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_limits, "_MAX_NODE_DAYS", 5)
    with pytest.raises(InvalidBundle, match="node days are beyond the limit"):
        dump(inputs())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=4), values),
    max_leaves=4,
)


def places(raw: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document."""
    keys: Sequence[str | int] = list(raw) if isinstance(raw, dict) else []
    for key in keys or (range(len(raw)) if isinstance(raw, list) else ()):
        yield (*path, key)
        yield from places(raw[key], (*path, key))


SOUND = json.loads(dump(inputs(snapshot=snapshot(2), traces=[trace(0, events=REPLACED)])))
PLACES = list(places(SOUND))


@given(st.sampled_from(PLACES), json_values)
@settings(max_examples=300, deadline=None)
def test_whatever_is_changed_it_is_refused_or_can_be_decided_on(
    place: tuple[str | int, ...], value: Any
) -> None:
    raw = json.loads(json.dumps(SOUND))
    at: Any = raw
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    try:
        decide(load(json.dumps(raw).encode()))
    except IPPolicyError as error:
        assert "\n" not in str(error)  # noqa: PT017  (refusing is one of two right answers)
