"""However many subnets there are, and whatever EC2 does, the loop lives and says so."""

from __future__ import annotations

from ippolicy.sandbox.cluster import Sandbox
from served import page, values
from worlds import World, condition

TAGGED = {"mode": "Off", "subnets": {"selector": {"tags": {"team": "pods"}}}}
LOOK_OFTEN = {"IPPOLICY_EC2_INTERFACES_INTERVAL": "1s", "IPPOLICY_EC2_CALLS_PER_MINUTE": "6000"}


def series(sandbox: Sandbox, name: str) -> list[float]:
    """The values of a gauge, one for each subnet."""
    return values(sandbox.operator.url, name)


def test_200_subnets_are_served_whole_and_shown_in_part_and_throttling_is_survived(
    world: World,
) -> None:
    with world(nodes=1, operator_settings=LOOK_OFTEN) as sandbox:
        for number in range(1, 201):
            sandbox.ec2.add_subnet(f"10.0.{number}.0/24", tags={"team": "pods"})
        sandbox.operator.start()
        sandbox.apply_policy(TAGGED)
        fine = condition(sandbox, "Degraded", "False", "AllSourcesAnswer")
        sandbox.wait(fine, "every source to answer")
        sandbox.wait(
            lambda: len(series(sandbox, "ippolicy_subnet_fragmentation_ratio")) == 200,
            "the room in every subnet",
        )
        assert series(sandbox, "ippolicy_subnet_unaccounted_addresses") == [0.0] * 200
        assert series(sandbox, "ippolicy_subnet_free_addresses") == [251.0] * 200
        status = (sandbox.policy() or {})["status"]
        assert (len(status["subnets"]), status["moreSubnets"]) == (100, 100)

        sandbox.ec2.faults.throttle("Describe*", burst=0, per_s=0)
        sandbox.wait(condition(sandbox, "Degraded", "True", "throttled"), "the throttling")
        assert page(f"{sandbox.operator.url}/healthz") == (200, "ok\n")
        assert len(series(sandbox, "ippolicy_subnet_unaccounted_addresses")) == 200
        sandbox.ec2.faults.clear()
        sandbox.wait(fine, "recovery")

        sandbox.apply_policy({"mode": "Off"})
        sandbox.wait(
            lambda: len(series(sandbox, "ippolicy_subnet_free_addresses")) == 1,
            "the series of the others to go",
        )


def test_a_cluster_without_nodes_has_no_subnets_and_nothing_is_wrong(world: World) -> None:
    with world(nodes=0, operator_settings=LOOK_OFTEN) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy({"mode": "Off"})
        sandbox.wait(condition(sandbox, "Degraded", "False", "AllSourcesAnswer"), "the first pass")
        assert (sandbox.policy() or {})["status"]["subnets"] == []
        assert series(sandbox, "ippolicy_subnet_free_addresses") == []
        assert page(f"{sandbox.operator.url}/healthz") == (200, "ok\n")
