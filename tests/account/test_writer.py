"""What status says of how targets reach aws-node."""

from __future__ import annotations

import pytest

from ippolicy.account.status import status_document
from ippolicy.account.view import View
from ippolicy.account.writer import writer_status
from ippolicy.api import Method
from ippolicy.decide.method import Way
from views import NOW_S, a_daemon_set, a_policy, a_snapshot, a_view

W = "WARM_IP_TARGET"
ON_DAEMON_SET = Way(Method.DAEMON_SET, "nobody else")
HELD_BY_HELM = a_snapshot(daemon_set=a_daemon_set(owners={W: ("helm",)}))


@pytest.mark.parametrize("way", [ON_DAEMON_SET, Way(Method.EKS_ADDON, "eks sets WARM_ENI_TARGET")])
def test_the_method_and_its_reason_are_shown(way: Way) -> None:
    writer = status_document(a_view(way=way), {}, NOW_S)["writer"]
    assert writer == {"method": way.method.value, "reason": way.reason}


def test_nothing_is_shown_while_no_daemon_set_is_known() -> None:
    assert writer_status(a_view(way=None)) is None
    assert writer_status(a_view(way=ON_DAEMON_SET, snapshot=a_snapshot(daemon_set=None))) is None


@pytest.mark.parametrize(
    "view",
    [
        a_view(
            policy=a_policy({"apply": {"method": "None"}}),
            way=Way(Method.NONE, "spec.apply.method is None"),
        ),
        a_view(way=ON_DAEMON_SET, snapshot=HELD_BY_HELM),
    ],
    ids=["asked", "helm"],
)
def test_where_nothing_is_written_the_targets_are_there_to_be_pasted(view: View) -> None:
    writer = status_document(view, {}, NOW_S)["writer"]
    assert writer["method"] == "None"
    snippets = writer["snippets"]
    assert set(snippets) == {"helm", "addon", "terraform", "env"}
    assert all(W in text for text in snippets.values())
    assert sum(map(len, snippets.values())) < 1_000


def test_without_a_recommendation_there_is_nothing_to_paste() -> None:
    view = a_view(
        policy=a_policy({"apply": {"method": "None"}}),
        way=Way(Method.NONE, "spec.apply.method is None"),
        decision=None,
    )
    shown = writer_status(view)
    assert shown is not None
    assert shown.snippets is None
