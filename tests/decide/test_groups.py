"""A node is of the first group of the user's whose labels it has, else of the one observed."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ippolicy.api.groups import NodeGroup
from ippolicy.decide.groups import group_of

BATCH = NodeGroup(name="batch", node_selector={"pool": "batch"})
BIG = NodeGroup(name="big-batch", node_selector={"pool": "batch", "size": "big"})
LABELS = st.dictionaries(st.sampled_from(["pool", "size", "zone"]), st.sampled_from("ab"))
GROUPS = st.lists(
    st.builds(
        lambda name, labels: NodeGroup(name=name, node_selector=labels),
        st.sampled_from(["one", "two", "three"]),
        LABELS.filter(bool),
    ),
    max_size=4,
)


def test_a_node_without_a_group_keeps_the_one_observed() -> None:
    assert group_of({"pool": "web"}, "m5.large", [BATCH, BIG]) == "m5.large"
    assert group_of({"pool": "batch"}, "m5.large", []) == "m5.large"


def test_of_several_groups_the_first_counts() -> None:
    labels = {"pool": "batch", "size": "big", "zone": "a"}
    assert group_of(labels, "m5.large", [BATCH, BIG]) == "batch"
    assert group_of(labels, "m5.large", [BIG, BATCH]) == "big-batch"


def test_all_labels_of_a_group_are_needed() -> None:
    assert group_of({"pool": "batch", "size": "small"}, "m5.large", [BIG]) == "m5.large"


@given(labels=LABELS, groups=GROUPS)
def test_a_group_has_the_nodes_that_no_earlier_one_takes(
    labels: Mapping[str, str], groups: list[NodeGroup]
) -> None:
    taking = [g.name for g in groups if g.node_selector.items() <= labels.items()]
    assert group_of(labels, "observed", groups) == (taking or ["observed"])[0]
