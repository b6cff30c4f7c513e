"""When EC2 is asked, and what is kept of its answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterable

from ec2_fakes import WithoutOptionalRights
from ippolicy.errors import EC2Unavailable
from ippolicy.facts import (
    InstanceLimits,
    NodeFacts,
    SourceName,
    SubnetFacts,
    SubnetSelection,
)
from ippolicy.observe.ec2 import Ec2Facts
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import FakeTime, cancelled, until_real

SETTINGS = ObserveSettings(
    ec2_subnets_interval_s=60.0, ec2_instances_interval_s=300.0, ec2_retry_s=30.0
)
INSTANCES, SUBNETS = SourceName.EC2_INSTANCES, SourceName.EC2_SUBNETS
TYPES = SourceName.EC2_INSTANCE_TYPES


PRIVATE = SubnetSelection(tags=(("role", "private"),))
BY_ID = SubnetSelection(ids=("s1", "s9"))


class Answers(WithoutOptionalRights):
    """EC2 as a table; `failing` operations raise."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.time = time
        self.instances: dict[str, set[str]] = {}
        self.free: dict[str, int] = {}
        self.types = {"m5.large"}
        self.selected: dict[SubnetSelection, list[str]] = {}
        self.failing: dict[str, EC2Unavailable] = {}
        self.asked: list[tuple[str, list[str]]] = []

    def _ask(self, operation: str, names: Collection[str]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append((operation, sorted(names)))
        if operation in self.failing:
            raise self.failing[operation]

    def subnets_of_instances(self, ids: Collection[str]) -> dict[str, frozenset[str]]:
        self._ask("instances", ids)
        return {key: frozenset(self.instances[key]) for key in ids if key in self.instances}

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:
        self._ask("selected", [*selection.ids, *(f"{k}={v}" for k, v in selection.tags)])
        return self._found(self.selected.get(selection, ()))

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        self._ask("subnets", ids)
        return self._found(ids)

    def _found(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        now_s = self.time.now_s
        return {
            key: SubnetFacts(key, "a", "10.0.0.0/24", 256, self.free[key], now_s)
            for key in ids
            if key in self.free
        }

    def instance_types(
        self, names: Collection[str]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        self._ask("types", names)
        known = {n: InstanceLimits(n, 3, 10, nitro=True) for n in names if n in self.types}
        return known, frozenset(set(names) - set(known))


class Rig:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.answers = Answers(self.time)
        self.nodes: list[NodeFacts] = []
        self.facts = Ec2Facts(
            lambda: self.nodes,
            self.answers,
            SETTINGS,
            clock=self.time.clock,
        )

    def node(self, instance_id: str, subnets: set[str], instance_type: str = "m5.large") -> None:
        self.answers.instances[instance_id] = subnets
        self.answers.free |= dict.fromkeys(subnets - set(self.answers.free), 100)
        self.nodes.append(
            NodeFacts(
                name=f"node-{instance_id}",
                instance_type=instance_type,
                instance_id=instance_id,
                zone="a",
                group="g",
                max_pods=29,
                address="",
                unschedulable=False,
                created_at_s=0.0,
            )
        )

    async def later(self, span_s: float) -> list[tuple[str, list[str]]]:
        """What is asked when refreshed after `span_s`."""
        self.time.now_s += span_s
        before = len(self.answers.asked)
        await self.facts.refresh()
        return self.answers.asked[before:]


async def test_instances_then_subnets_then_types_are_asked_once_and_kept() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    rig.node("i-2", {"s1", "s2"}, "made.up")
    assert await rig.later(0) == [
        ("instances", ["i-1", "i-2"]),
        ("subnets", ["s1", "s2"]),
        ("types", ["m5.large", "made.up"]),
    ]
    assert [s.subnet_id for s in rig.facts.subnets_of(rig.nodes)] == ["s1", "s2"]
    assert [s.subnet_id for s in rig.facts.subnets_of(rig.nodes[:1])] == ["s1"]
    limits, unknown = rig.facts.limits_of(rig.nodes)
    assert (set(limits), unknown) == ({"m5.large"}, frozenset({"made.up"}))
    assert rig.facts.limits_of(rig.nodes[:1])[1] == frozenset()
    assert await rig.later(5) == []
    assert await rig.later(56) == [("subnets", ["s1", "s2"])]
    assert await rig.later(240) == [("instances", ["i-1", "i-2"]), ("subnets", ["s1", "s2"])]


async def test_a_new_node_is_asked_about_at_once_and_only_it() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    await rig.later(0)
    rig.node("i-2", {"s2"}, "t3.small")
    assert await rig.later(5) == [
        ("instances", ["i-2"]),
        ("subnets", ["s2"]),
        ("types", ["t3.small"]),
    ]


async def test_what_belongs_to_gone_nodes_is_forgotten() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    rig.node("i-2", {"s2"})
    await rig.later(0)
    del rig.nodes[1]
    assert await rig.later(61) == [("subnets", ["s1"])]
    assert [s.subnet_id for s in rig.facts.subnets_of(rig.nodes)] == ["s1"]


async def test_a_failure_keeps_the_old_answer_and_is_tried_again_later() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    await rig.later(0)
    first_s = rig.time.now_s
    rig.answers.failing["subnets"] = EC2Unavailable(
        "denied", reason="AccessDenied", permission="ec2:DescribeSubnets"
    )
    assert await rig.later(60) == [("subnets", ["s1"])]
    state = rig.facts.states()[SUBNETS]
    assert (state.succeeded_at_s, state.permission) == (first_s, "ec2:DescribeSubnets")
    assert rig.facts.subnets_of(rig.nodes)[0].read_at_s == first_s
    assert await rig.later(20) == []
    rig.answers.failing.clear()
    assert await rig.later(11) == [("subnets", ["s1"])]
    assert rig.facts.states()[SUBNETS].error is None
    assert rig.facts.subnets_of(rig.nodes)[0].read_at_s == rig.time.now_s


async def test_one_failing_question_does_not_stop_the_others() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    rig.answers.failing["instances"] = EC2Unavailable(
        "denied", reason="AccessDenied", permission="ec2:DescribeInstances"
    )
    assert [what for what, _ in await rig.later(0)] == ["instances", "types"]
    states = rig.facts.states()
    assert states[TYPES].error is None
    assert states[SUBNETS].permission == "ec2:DescribeInstances"
    assert states[SUBNETS].succeeded_at_s is None
    assert rig.facts.untried() == []
    rig.answers.failing.clear()
    await rig.later(31)
    assert rig.facts.states()[SUBNETS].error is None
    assert rig.facts.subnets_of(rig.nodes)


async def test_with_no_nodes_there_is_nothing_to_ask_and_nothing_wrong() -> None:
    rig = Rig()
    assert rig.facts.untried() == [INSTANCES, SUBNETS, TYPES]
    assert await rig.later(0) == []
    assert all(state.age_s(rig.time.now_s) == 0 for state in rig.facts.states().values())


def ids(subnets: Iterable[SubnetFacts]) -> list[str]:
    return [subnet.subnet_id for subnet in subnets]


async def test_the_subnets_of_a_selection_are_asked_once_an_interval() -> None:
    rig = Rig()
    rig.answers.free = {"s1": 10, "s2": 20, "s9": 90}
    rig.answers.selected = {PRIVATE: ["s2", "s1"], BY_ID: ["s1", "s9"]}
    rig.facts.selections = frozenset({PRIVATE, BY_ID})
    by_id, private = ("selected", ["s1", "s9"]), ("selected", ["role=private"])
    assert await rig.later(0) == [private, by_id]
    assert ids(rig.facts.selected(PRIVATE)) == ["s1", "s2"]
    assert ids(rig.facts.selected(BY_ID)) == ["s1", "s9"]
    assert await rig.later(59) == []
    rig.answers.free["s2"] = 19
    assert await rig.later(1) == [private, by_id]
    assert [subnet.free for subnet in rig.facts.selected(PRIVATE)] == [10, 19]


async def test_a_selection_that_nobody_asked_for_has_no_subnets() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    await rig.later(0)
    assert rig.facts.selected(PRIVATE) == ()
    assert rig.facts.states(PRIVATE)[SUBNETS].succeeded_at_s is None
    assert rig.facts.states()[SUBNETS].succeeded_at_s == rig.time.now_s


async def test_a_selection_that_was_not_asked_about_yet_is_waited_for() -> None:
    rig = Rig()
    await rig.later(0)
    assert rig.facts.untried() == []
    rig.facts.selections = frozenset({PRIVATE})
    assert rig.facts.untried() == [SUBNETS]
    await rig.later(5)
    assert rig.facts.untried() == []


async def test_a_selection_that_fits_nothing_is_asked_no_more_often() -> None:
    rig = Rig()
    rig.facts.selections = frozenset({PRIVATE})
    assert len(await rig.later(0)) == 1
    assert rig.facts.selected(PRIVATE) == ()
    assert rig.facts.states(PRIVATE)[SUBNETS].error is None
    assert await rig.later(5) == []
    assert len(await rig.later(55)) == 1


async def test_subnets_that_no_longer_fit_a_selection_are_forgotten() -> None:
    rig = Rig()
    rig.answers.free = {"s1": 10, "s2": 20}
    rig.answers.selected = {PRIVATE: ["s1", "s2"]}
    rig.facts.selections = frozenset({PRIVATE})
    await rig.later(0)
    rig.answers.selected = {PRIVATE: ["s2"]}
    await rig.later(60)
    assert ids(rig.facts.selected(PRIVATE)) == ["s2"]
    rig.facts.selections = frozenset()
    assert await rig.later(60) == []
    assert rig.facts.selected(PRIVATE) == ()


async def test_a_selection_that_cannot_be_asked_keeps_its_answer_and_tells_why() -> None:
    rig = Rig()
    rig.answers.free = {"s1": 10}
    rig.answers.selected = {PRIVATE: ["s1"]}
    rig.facts.selections = frozenset({PRIVATE})
    await rig.later(0)
    first_s = rig.time.now_s
    rig.answers.failing["selected"] = EC2Unavailable(
        "denied", reason="AccessDenied", permission="ec2:DescribeSubnets"
    )
    assert len(await rig.later(60)) == 1
    for _ in range(5):
        assert await rig.later(5) == []
        state = rig.facts.states(PRIVATE)[SUBNETS]
        assert (state.succeeded_at_s, state.permission) == (first_s, "ec2:DescribeSubnets")
        assert ids(rig.facts.selected(PRIVATE)) == ["s1"]
        assert rig.facts.states()[SUBNETS].error is None
    rig.answers.failing.clear()
    assert len(await rig.later(5)) == 1
    assert rig.facts.states(PRIVATE)[SUBNETS].error is None


async def test_what_is_wrong_with_the_nodes_own_subnets_is_no_fault_of_a_selection() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    rig.answers.selected = {PRIVATE: ["s1"]}
    rig.facts.selections = frozenset({PRIVATE})
    rig.answers.failing["instances"] = EC2Unavailable("denied", reason="AccessDenied")
    for _ in range(3):
        await rig.later(5)
        assert rig.facts.states()[SUBNETS].error == "denied"
        assert rig.facts.states(PRIVATE)[SUBNETS].error is None
        assert ids(rig.facts.selected(PRIVATE)) == ["s1"]


async def test_a_subnet_that_ec2_does_not_show_is_asked_no_more_often() -> None:
    rig = Rig()
    rig.node("i-1", {"s1", "s2"})
    del rig.answers.free["s2"]
    await rig.later(0)
    assert ids(rig.facts.subnets_of(rig.nodes)) == ["s1"]
    assert await rig.later(5) == []
    rig.answers.free["s2"] = 7
    assert await rig.later(55) == [("subnets", ["s1", "s2"])]
    assert ids(rig.facts.subnets_of(rig.nodes)) == ["s1", "s2"]


async def test_a_hung_question_does_not_hold_up_the_stop() -> None:
    rig = Rig()
    rig.node("i-1", {"s1"})
    release, entered = threading.Event(), threading.Event()

    def hang(ids: Collection[str]) -> dict[str, frozenset[str]]:
        entered.set()
        release.wait(10)
        return {}

    rig.answers.subnets_of_instances = hang  # type: ignore[method-assign]  # the one that hangs
    task = asyncio.create_task(rig.facts.refresh())
    await until_real(entered.is_set)
    await asyncio.wait_for(cancelled(task), 1.0)
    release.set()
