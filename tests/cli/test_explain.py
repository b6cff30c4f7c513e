"""`ippolicy explain` makes the last decision again, and says whether it is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from builders import NOW_S, change, daemon_set, node, record, rollout, snapshot, trace
from commands import Commands
from decided import REPLACED, cluster, story
from ippolicy import __version__
from ippolicy.decide.bundle import dump, load
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.types import Decision
from observe_servers import kubeconfig, serving

# Compiling takes a minute of a busy machine, once for all tests and later runs.
pytestmark = pytest.mark.timeout(600)


def kept(folder: Path, inputs: Inputs, served: Decision | None = None) -> Path:
    """A bundle of `inputs` in a file, with the decision on them unless another is given."""
    path = folder / "bundle.json"
    path.write_bytes(dump(inputs, served or decide(inputs)))
    return path


# -- what is told ---------------------------------------------------------------------------------


def test_it_tells_what_was_known_what_was_decided_and_why(
    ippolicy: Commands, tmp_path: Path
) -> None:
    ended = ippolicy("explain", "--bundle", kept(tmp_path, story({"mode": "Recommend"})))
    assert ended.status == 0
    assert ended.widest <= 80
    for told in (
        "policy default, decided at 2027-01-15T08:00:00Z",
        "mode Recommend, goal Balanced: at most 0.50% delayed starts and 60 changing EC2 calls",
        "kube-system/aws-node: WARM_ENI_TARGET=1",
        "10 with 200 pods: 10 x r5.xlarge in blue",
        "420 held on 30 ENIs; 10 of 10 aws-node read",
        "120 pod starts; demand was watched for 7200 s of demand.minEvidence 1h",
        "Hold, ModeRecommend: spec.mode is Recommend: set it to Apply to have it written",
        "WARM_ENI=1 420.0 0.00% 0.00 in force",
        "MINIMUM_IP=20 WARM_IP=1 210.0 0.00% 0.00 choice",
        "next 1",
        "binding: ",
        "mode, pause and method spec.mode is Recommend",
        "evidence open",
        "Decided again from the bundle: the same decision.",
    ):
        assert told in ended.flat


def test_the_same_as_data(ippolicy: Commands, tmp_path: Path) -> None:
    ended = ippolicy("explain", "--bundle", kept(tmp_path, story()), "-o", "json")
    told = ended.json
    assert (told["policy"], told["nodes"], told["takenAt"]) == ("default", 10, NOW_S)
    assert (told["agrees"], told["differences"]) == (True, [])
    assert told["decision"]["verdict"] == "Change"
    assert told["decision"]["env"] == {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}
    assert told["search"]["chosen"]["held"] == 210.0
    assert len(told["search"]["runners_up"]) > 1
    assert {passed["stop"] for passed in told["gates"]} == {None}


def test_a_decision_that_differs_is_said_and_ends_with_3(
    ippolicy: Commands, tmp_path: Path
) -> None:
    other = replace(decide(story()), message="because", env={"WARM_IP_TARGET": "9"})
    ended = ippolicy("explain", "--bundle", kept(tmp_path, story(), other))
    assert ended.status == 3
    assert "it DIFFERS in message, env. Served was Change, SavesAddresses: because" in ended.flat


def test_a_decision_of_another_version_is_said_to_be(ippolicy: Commands, tmp_path: Path) -> None:
    path = kept(tmp_path, story(), replace(decide(story()), message="because"))
    path.write_bytes(path.read_bytes().replace(f'"{__version__}"'.encode(), b'"0.0.1"'))
    ended = ippolicy("explain", "--bundle", path)
    assert f"DIFFERS in message (served by version 0.0.1, this is {__version__})" in ended.flat


def test_a_bundle_without_a_decision_has_nothing_to_compare(
    ippolicy: Commands, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(dump(story()))
    ended = ippolicy("explain", "--bundle", path)
    assert (ended.status, "no served decision to compare" in ended.out) == (0, True)


def test_groups_and_traps_are_told(ippolicy: Commands, tmp_path: Path) -> None:
    nodes = tuple(node(n, group="blue" if n < 5 else "green") for n in range(10))
    traces = [trace(n, events=REPLACED, group=nodes[n].group) for n in range(10)]
    trapped = daemon_set({"MINIMUM_IP_TARGET": "5"})
    inputs = story(snapshot=snapshot(nodes=nodes, daemon_set=trapped), traces=traces)
    ended = ippolicy("explain", "--bundle", kept(tmp_path, inputs))
    assert "TRAP MINIMUM_IP_TARGET=5 without WARM_IP_TARGET" in ended.flat
    assert "5 x r5.xlarge in blue, 5 x r5.xlarge in green" in ended.flat
    assert "group alone" in ended.out
    assert ended.widest <= 80


@pytest.mark.parametrize(
    ("inputs", "gate", "told"),
    [
        (
            story(snapshot=snapshot(daemon_set=daemon_set(rollout=rollout(updated=3)))),
            "no rollout under way",
            "kube-system/aws-node is rolling: 3 of 10 pods updated",
        ),
        (
            story(record=record(change(completed_at_s=NOW_S - 60))),
            "pace of changes",
            "change.cooldown 1h: 3540 s left",
        ),
        (
            story({"mode": "Apply", "demand": {"minEvidence": "12h"}}),
            "evidence",
            "demand was watched for 7200 s of demand.minEvidence 12h",
        ),
        (
            story(snapshot=snapshot(daemon_set=daemon_set({"WARM_IP_TARGET": "many"}))),
            "settings readable",
            "WARM_IP_TARGET='many' is not a whole number",
        ),
        (
            story(snapshot=snapshot(daemon_set=None)),
            "facts",
            "DaemonSet kube-system/aws-node not found",
        ),
        (
            story(
                snapshot=snapshot(
                    daemon_set=daemon_set({"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"})
                )
            ),
            "anything to gain",
            "the targets in force are the recommended ones",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(
    ippolicy: Commands, tmp_path: Path, inputs: Inputs, gate: str, told: str
) -> None:
    path = kept(tmp_path, inputs)
    gates = ippolicy("explain", "--bundle", path, "-o", "json").json["gates"]
    stops = {passed["name"]: passed["stop"] or "" for passed in gates}
    assert told in stops[gate]
    assert told.split(":", maxsplit=1)[0] in ippolicy("explain", "--bundle", path).flat


def test_a_search_that_still_stood_is_told_with_its_age(ippolicy: Commands, tmp_path: Path) -> None:
    first = decide(story())
    later = story(searched=first.searched)
    later = replace(later, snapshot=replace(later.snapshot, taken_at_s=NOW_S + 30))
    ended = ippolicy("explain", "--bundle", kept(tmp_path, later))
    assert "searched 30 s before, which still stood" in ended.flat
    assert "the same decision" in ended.out


def test_a_decision_by_the_rule_has_no_search_to_show(ippolicy: Commands, tmp_path: Path) -> None:
    path = kept(tmp_path, story(by_replay=False))
    ended = ippolicy("explain", "--bundle", path)
    assert "next 1" not in ended.out
    assert "? ? choice" in ended.flat
    assert ippolicy("explain", "--bundle", path, "-o", "json").json["search"] is None


# -- from the operator ----------------------------------------------------------------------------


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No cluster but the one that a test names."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    return monkeypatch


async def test_the_only_policy_is_explained_through_the_service_proxy(
    ippolicy: Commands, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, story()) as config:
        clean_environment.setenv("KUBECONFIG", str(config))
        ended = await asyncio.to_thread(ippolicy, "explain", "--save", tmp_path / "b.json.gz")
        assert (ended.status, ended.err) == (0, "")
        assert "Decided again from the bundle: the same decision." in ended.out
        packed = (tmp_path / "b.json.gz").read_bytes()
        assert packed.startswith(b"\x1f\x8b")
        assert load(packed).policy.name == "default"
        await asyncio.to_thread(ippolicy, "explain", "default", "--save", tmp_path / "b.json")
        assert (tmp_path / "b.json").read_bytes().startswith(b'{"kind"')
        offline = await asyncio.to_thread(ippolicy, "explain", "--bundle", tmp_path / "b.json.gz")
        assert offline.out == ended.out


async def test_of_several_policies_one_must_be_named(
    ippolicy: Commands, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, story(name="a"), story(name="b")) as config:
        clean_environment.setenv("KUBECONFIG", str(config))
        ended = await asyncio.to_thread(ippolicy, "explain")
        assert (ended.status, "which policy? The operator has decided on: a, b" in ended.err) == (
            2,
            True,
        )
        other = await asyncio.to_thread(ippolicy, "explain", "c")
        assert "nothing was decided on policy c. The operator has decided on: a, b" in other.err
        named = await asyncio.to_thread(ippolicy, "explain", "b")
        assert named.out.startswith("policy b, decided at")
        planned = await asyncio.to_thread(ippolicy, "plan", "b")
        assert planned.out.startswith("10 nodes; demand of the cluster:")


async def test_an_operator_that_cannot_be_asked_is_explained_in_one_line(
    ippolicy: Commands, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path) as config:
        clean_environment.setenv("KUBECONFIG", str(config))
        none = await asyncio.to_thread(ippolicy, "explain")
        assert (none.status, "none, so wait for its first pass" in none.err) == (2, True)
        missing = await asyncio.to_thread(ippolicy, "explain", "--service", "other:http")
        assert missing.status == 1
        assert "no service kube-system/other:http, or one that is no operator" in missing.err
        for ended in (none, missing):
            assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (403, "you may not get services/proxy of ippolicy-operator in kube-system"),
        (503, "has no operator that is ready"),
        (500, "was answered with HTTP 500"),
    ],
)
async def test_a_refusal_of_the_api_server_says_what_to_do(
    ippolicy: Commands,
    tmp_path: Path,
    clean_environment: pytest.MonkeyPatch,
    status: int,
    told: str,
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with serving(refuse) as url:
        clean_environment.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", url)))
        ended = await asyncio.to_thread(ippolicy, "explain")
    assert (ended.status, told in ended.err) == (1, True)
    assert ended.err.count("\n") == 1


async def test_what_is_no_operator_is_not_believed(
    ippolicy: Commands, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    async def other(_: web.Request) -> web.StreamResponse:
        return web.json_response({"policies": "all"})

    async with serving(other) as url:
        clean_environment.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", url)))
        ended = await asyncio.to_thread(ippolicy, "explain")
    assert (ended.status, "is not an operator of this version" in ended.err) == (2, True)


def test_without_a_cluster_it_says_how_to_name_one(
    ippolicy: Commands, clean_environment: pytest.MonkeyPatch
) -> None:
    ended = ippolicy("explain")
    assert (ended.status, "set KUBECONFIG" in ended.err) == (1, True)
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{}", "not a bundle that this version reads"), (b"\x00", "it is not JSON")],
)
def test_a_file_that_is_no_bundle_is_refused(
    ippolicy: Commands, tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(content)
    ended = ippolicy("explain", "--bundle", path)
    assert (ended.status, told in ended.err) == (2, True)
    assert ended.err.count("\n") == 1
    both = ippolicy("explain", "default", "--bundle", path)
    assert (both.status, "--bundle takes no POLICY" in both.err) == (2, True)
