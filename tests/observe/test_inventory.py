"""ENIs are listed slice by slice, as the budget of calls allows, and never half."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from ipaddress import IPv4Address

from ec2_fakes import WithoutOptionalRights, denied
from ippolicy.errors import EC2Unavailable
from ippolicy.facts import (
    CidrReservation,
    Holder,
    InstanceLimits,
    InterfaceFacts,
    SourceName,
    SubnetFacts,
    SubnetSelection,
)
from ippolicy.observe.asking import Asker
from ippolicy.observe.ec2_client import InterfacePage
from ippolicy.observe.interfaces import Listed
from ippolicy.observe.inventory import Inventories
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import FakeTime

INTERFACES, RESERVATIONS = SourceName.EC2_INTERFACES, SourceName.EC2_RESERVATIONS
THROTTLED = EC2Unavailable("EC2 throttled it", reason="Throttled")


class Answers(WithoutOptionalRights):
    """ENIs by subnet, `page_size` a page; tokens are the number of ENIs shown so far."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.time = time
        self.page_size = 2
        self.enis: dict[str, int] = {}
        self.failing: dict[str, EC2Unavailable] = {}
        self.asked: list[tuple[str, str]] = []

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        self._ask("subnets", "")
        now_s = self.time.now_s
        return {
            key: SubnetFacts(key, "a", "10.0.0.0/24", 256, 251 - 2 * self.enis[key], now_s)
            for key in ids
            if key in self.enis
        }

    def interfaces(self, subnets: Collection[str], token: str | None) -> InterfacePage:
        self._ask(
            "enis",
            f"{'+'.join(sorted(subnets)) if len(subnets) < 9 else len(subnets)}@{token or 0}",
        )
        listed = [
            Listed(
                InterfaceFacts(key, Holder.OTHER, secondaries=1),
                array("I", [address := int(IPv4Address("10.0.0.16")) + 2 * n, address + 1]),
            )
            for key in sorted(subnets)
            for n in range(self.enis.get(key, 0))
        ]
        first = int(token or 0)
        last = first + self.page_size
        page = tuple(listed[first:last])
        return InterfacePage(page, str(last) if last < len(listed) else None)

    def reservations(self, subnet_id: str) -> tuple[CidrReservation, ...]:
        self._ask("reservations", subnet_id)
        return (CidrReservation("10.0.0.128/25", True),) if subnet_id == "s1" else ()

    def subnets_of_instances(self, ids: Collection[str]) -> dict[str, frozenset[str]]:
        raise AssertionError

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:
        raise AssertionError

    def instance_types(
        self, names: Collection[str]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        raise AssertionError

    def _ask(self, what: str, about: str) -> None:
        self.calls[what] += 1
        self.asked.append((what, about))
        if what in self.failing:
            raise self.failing[what]


class Rig:
    def __init__(self, *, calls_per_minute: int = 6000) -> None:
        self.time = FakeTime()
        self.answers = Answers(self.time)
        settings = ObserveSettings(
            ec2_calls_per_minute=calls_per_minute,
            ec2_interfaces_interval_s=300.0,
            ec2_reservations_interval_s=1800.0,
            ec2_retry_s=30.0,
        )
        self.inventories = Inventories(
            Asker(self.answers, settings, clock=self.time.clock), settings
        )

    async def later(self, span_s: float, *wanted: str, what: str = "enis") -> list[str]:
        """What is asked when refreshed after `span_s`; with `wanted` empty about all subnets."""
        self.time.now_s += span_s
        before = len(self.answers.asked)
        await self.inventories.refresh(wanted or tuple(self.answers.enis))
        return [about for kind, about in self.answers.asked[before:] if kind == what]

    def listed(self) -> dict[str, int]:
        found = self.inventories.of(["s1", "s2", "s3"])
        assert all(
            one.subnet.usable - one.subnet.free == 2 * len(one.interfaces) for one in found.values()
        )
        return {key: len(one.interfaces) for key, one in found.items()}


async def test_all_pages_are_read_once_an_interval_with_the_subnets_at_the_end() -> None:
    rig = Rig()
    rig.answers.enis = {"s1": 3, "s2": 2}
    assert await rig.later(0) == ["s1+s2@0", "s1+s2@2", "s1+s2@4"]
    assert [kind for kind, _ in rig.answers.asked[:4]] == ["enis"] * 3 + ["subnets"]
    assert rig.listed() == {"s1": 3, "s2": 2}
    assert await rig.later(299) == []
    rig.answers.enis["s2"] = 0
    assert await rig.later(1) == ["s1+s2@0", "s1+s2@2"]
    assert rig.listed() == {"s1": 3, "s2": 0}
    assert rig.inventories.of(["s1"])["s1"].read_at_s == rig.time.now_s


async def test_the_map_of_used_addresses_has_each_address_of_each_eni() -> None:
    rig = Rig()
    rig.answers.enis = {"s1": 3}
    await rig.later(0)
    used = rig.inventories.of(["s1"])["s1"].used
    assert len(used) == 32
    taken = [n for n in range(256) if used[n // 8] >> n % 8 & 1]
    assert taken == [16, 17, 18, 19, 20, 21]


async def test_a_new_subnet_is_listed_at_once_and_a_gone_one_forgotten() -> None:
    rig = Rig()
    rig.answers.enis = {"s1": 1, "s2": 1}
    await rig.later(0, "s1")
    assert await rig.later(5, "s1", "s2") == ["s2@0"]
    assert rig.listed() == {"s1": 1, "s2": 1}
    assert await rig.later(5, "s2") == []
    assert rig.listed() == {"s2": 1}
    assert await rig.later(5, "s1", "s2") == ["s1@0"]


async def test_a_subnet_that_ec2_does_not_show_is_listed_no_more_often() -> None:
    rig = Rig()
    assert await rig.later(0, "s9") == ["s9@0"]
    assert rig.inventories.of(["s9"]) == {}
    assert await rig.later(5, "s9") == []
    assert await rig.later(295, "s9") == ["s9@0"]


async def test_many_subnets_are_listed_in_slices() -> None:
    rig = Rig()
    rig.answers.enis = {f"s{n:03}": 0 for n in range(450)}
    assert await rig.later(0) == ["200@0", "200@0", "50@0"]
    assert len(rig.inventories.of(rig.answers.enis)) == 450


async def test_a_slice_goes_on_where_the_budget_stopped_it() -> None:
    rig = Rig(calls_per_minute=6)
    rig.answers.enis = {"s1": 20}
    assert await rig.later(0) == [f"s1@{first}" for first in (0, 2, 4, 6, 8, 10)]
    assert rig.listed() == {}
    assert await rig.later(5) == []
    assert await rig.later(5) == ["s1@12"]
    assert rig.inventories.states()[INTERFACES].error is None
    assert await rig.later(20) == ["s1@14"]
    assert set(rig.inventories.reservations_of(["s1"])) == {"s1"}
    assert await rig.later(20) == ["s1@16", "s1@18"]
    assert rig.listed() == {"s1": 20}


async def test_no_more_calls_are_made_than_the_budget_has_in_any_hour() -> None:
    rig = Rig(calls_per_minute=5)
    rig.answers.enis = {f"s{n}": 50 for n in range(40)}
    for _ in range(720):
        await rig.later(5)
    assert rig.answers.calls.total() <= 5 * 61 + 1
    assert rig.answers.calls["reservations"] > 0


async def test_throttling_keeps_the_place_and_other_errors_begin_the_slice_anew() -> None:
    rig = Rig(calls_per_minute=2)
    rig.answers.enis = {"s1": 5}
    assert await rig.later(0) == ["s1@0", "s1@2"]
    rig.answers.failing["enis"] = THROTTLED
    assert await rig.later(60) == ["s1@4"]
    assert rig.inventories.states()[INTERFACES].error == "EC2 throttled it"
    assert await rig.later(29) == []
    rig.answers.failing["enis"] = EC2Unavailable("no such token", reason="InvalidNextToken")
    assert await rig.later(31) == ["s1@4"]
    rig.answers.failing.clear()
    assert await rig.later(60) == ["s1@0", "s1@2"]
    assert await rig.later(60) == ["s1@4"]
    assert rig.listed() == {"s1": 5}
    assert rig.inventories.states()[INTERFACES].error is None


async def test_a_list_that_fails_leaves_the_last_one_with_its_age() -> None:
    rig = Rig()
    rig.answers.enis = {"s1": 1}
    await rig.later(0)
    first_s = rig.time.now_s
    rig.answers.failing["enis"] = THROTTLED
    await rig.later(300)
    assert rig.inventories.of(["s1"])["s1"].read_at_s == first_s
    assert rig.inventories.states()[INTERFACES].succeeded_at_s == first_s


async def test_without_the_right_to_list_enis_nothing_is_kept_and_reservations_go_on() -> None:
    rig = Rig()
    rig.answers.enis = {"s1": 1}
    await rig.later(0)
    rig.answers.failing["enis"] = denied("ec2:DescribeNetworkInterfaces")
    await rig.later(300)
    assert rig.listed() == {}
    assert rig.inventories.states()[INTERFACES].permission == "ec2:DescribeNetworkInterfaces"
    assert set(rig.inventories.reservations_of(["s1"])) == {"s1"}
    assert await rig.later(29) == []
    rig.answers.failing.clear()
    await rig.later(1)
    assert rig.listed() == {"s1": 1}


async def test_without_the_right_to_read_reservations_nothing_of_them_is_kept() -> None:
    rig = Rig()
    rig.answers.enis = {"s1": 1, "s2": 1}
    await rig.later(0)
    rig.answers.failing["reservations"] = denied("ec2:GetSubnetCidrReservations")
    assert await rig.later(1800, what="reservations") == ["s1"]
    assert rig.inventories.reservations_of(["s1", "s2"]) == {}
    assert rig.inventories.states()[RESERVATIONS].permission == "ec2:GetSubnetCidrReservations"
    assert rig.listed() == {"s1": 1, "s2": 1}
    rig.answers.failing.clear()
    assert await rig.later(30, what="reservations") == ["s1", "s2"]


async def test_reservations_are_read_one_subnet_at_a_time_the_longest_unread_first() -> None:
    rig = Rig(calls_per_minute=2)
    rig.answers.enis = {"s1": 0, "s2": 0, "s3": 0}
    assert await rig.later(0, what="reservations") == []
    assert await rig.later(60, what="reservations") == ["s1", "s2"]
    assert rig.inventories.reservations_of(["s1", "s2", "s3"]) == {
        "s1": (CidrReservation("10.0.0.128/25", True),),
        "s2": (),
    }
    assert await rig.later(60, what="reservations") == ["s3"]
    assert await rig.later(120, what="reservations") == []
    assert await rig.later(1800, what="reservations") == []
    assert await rig.later(60, what="reservations") == ["s1", "s2"]


async def test_with_no_subnets_there_is_nothing_to_ask_and_nothing_wrong() -> None:
    rig = Rig()
    await rig.later(0)
    assert rig.answers.asked == []
    assert all(state.age_s(rig.time.now_s) == 0 for state in rig.inventories.states().values())
