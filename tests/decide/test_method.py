"""Which way a setting goes to aws-node."""

from __future__ import annotations

import pytest

from builders import daemon_set, policy
from ippolicy.api import Method
from ippolicy.decide.method import WRITERS, choose_way, way_gate
from ippolicy.decide.types import Reason
from ippolicy.facts import EnvEntry, Record, Writer

W, E = "WARM_IP_TARGET", "WARM_ENI_TARGET"


def record(writer: Writer, **originals: EnvEntry | None) -> Record:
    """A record of what some writer has changed."""
    return Record("ds-uid", "policy-uid", originals, (), writer=writer)


@pytest.mark.parametrize("method", ["DaemonSet", "EKSAddon", "None"])
def test_what_the_policy_says_is_done_whoever_owns_what(method: str) -> None:
    facts = daemon_set(owners={W: ("helm", "eks")})
    way = choose_way(policy({"apply": {"method": method}}), facts, None, [W])
    assert (way.method.value, way.reason) == (method, f"spec.apply.method is {method}")


@pytest.mark.parametrize(
    ("manager", "kind"),
    [
        ("helm", "Helm"),
        ("argocd-controller", "ArgoCD"),
        ("kustomize-controller", "Flux"),
        ("Terraform", "Terraform"),
    ],
)
def test_what_another_tool_keeps_is_left_to_it(manager: str, kind: str) -> None:
    facts = daemon_set(owners={W: ("eks", manager)})
    assert choose_way(policy(), facts, None, [W]).reason == f"{W} is set by {manager} ({kind})"
    stop = way_gate(policy(), facts, None, [W])
    assert stop is not None
    assert stop.reason is Reason.WRITER_NONE
    assert "ippolicy plan --format helm" in stop.message


@pytest.mark.parametrize(
    ("owners", "take_over"), [({E: ("helm",)}, []), ({W: ("helm",)}, [W]), ({W: ("kubectl",)}, [])]
)
def test_a_key_that_no_tool_keeps_or_that_may_be_taken_is_written(
    owners: dict[str, tuple[str, ...]], take_over: list[str]
) -> None:
    asked = policy({"apply": {"takeOver": take_over}})
    facts = daemon_set(owners=owners)
    assert choose_way(asked, facts, None, [W]).method is Method.DAEMON_SET
    assert way_gate(asked, facts, None, [W]) is None


def test_the_add_on_is_found_by_any_entry_that_it_holds() -> None:
    facts = daemon_set(owners={E: ("eks",)})
    way = choose_way(policy(), facts, None, [W])
    assert (way.method, way.reason) == (
        Method.EKS_ADDON,
        "the EKS add-on sets WARM_ENI_TARGET and the like",
    )


@pytest.mark.parametrize("writer", list(WRITERS.values()))
def test_what_was_changed_one_way_goes_on_that_way(writer: Writer) -> None:
    for owners in ({}, {E: ("eks",)}):
        way = choose_way(policy(), daemon_set(owners=owners), record(writer, **{W: None}), [W])
        assert way.method.value == writer.value


def test_a_record_without_originals_binds_nothing() -> None:
    facts = daemon_set(owners={E: ("eks",)})
    assert choose_way(policy(), facts, record(Writer.DAEMON_SET), [W]).method is Method.EKS_ADDON
