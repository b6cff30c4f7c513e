"""The report of changes fits a terminal and says what was predicted, measured, undone and saved."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner

from ippolicy.account.status import status_document
from ippolicy.cli import cli
from ippolicy.cli.report import as_text
from ippolicy.errors import InvalidInput
from ippolicy.facts import ChangeKind, ChangePhase, Ledger, Record, Writer
from ippolicy.offloop import call_off_loop
from observe_servers import kubeconfig, serving
from views import NOW_S, a_change, a_proven_change, a_record, a_view

HARM = "DelayedStarts: 12 of 40 starts waited for EC2 (30.0%), the limit is 0.50%, before it was 0%"


def status(record: Record) -> dict[str, Any]:
    return status_document(a_view(record=record), {}, NOW_S)


def lines(record: Record) -> list[str]:
    shown = status(record)
    return list(as_text("default", shown["changes"], shown.get("saved")))


def test_a_report_says_what_was_predicted_and_what_was_found() -> None:
    known = Record(
        "1b", "uid", {}, (a_proven_change(),), ledger=Ledger(7.2e6, NOW_S, NOW_S - 86_400)
    )
    assert lines(known) == [
        "When (UTC)   Targets               Was  Predicted  Found  At  Model",
        "-----------  --------------------  ---  ---------  -----  --  -----",
        "11-18 10:06  unset -> ip=2 min=20  419        219    280  1h    301",
        "",
        "Addresses held in the mean; Model: in the demand that there really was.",
        "11-18 10:06  it held something else than the model makes of the demand there was",
        "Saved since 2026-11-17T11:06:40Z: 2,000 address hours",
    ]


def test_a_report_fits_a_terminal_and_tells_what_was_undone() -> None:
    both = {"WARM_IP_TARGET": "32", "MINIMUM_IP_TARGET": "110"}
    undone = a_proven_change(
        phase=ChangePhase.SUPERSEDED, undone=HARM, before=both, after=both, id="c1"
    )
    rollback = a_change(ChangePhase.ROLLING, id="c2", kind=ChangeKind.ROLLBACK, binding=HARM)
    shown = lines(a_record(undone, rollback))
    assert max(map(len, shown)) <= 80
    text = " ".join(" ".join(shown).split())
    assert f"undone: {HARM}" in text
    assert f"rollback: {HARM}" in text
    assert "the change is rolling" in text


def test_changes_of_groups_name_their_group_and_what_was_refused() -> None:
    group = {"writer": Writer.ADMISSION, "group": "eks-web-with-a-long-name-20260101"}
    refused = a_proven_change(
        phase=ChangePhase.SUPERSEDED, undone=HARM, id="c1", measured=(), **group
    )
    tried = a_change(ChangePhase.ROLLING, id="c2", group="batch")
    through = a_change(id="c3", group="jobs")
    shown = lines(Record("1b", "uid", {}, (), group_changes=(refused, tried, through)))
    assert max(map(len, shown)) <= 80
    text = " ".join(" ".join(shown).split())
    assert f"group eks-web-with-a-long-name-20260101: undone: {HARM}" in text
    assert "group batch: is tried by some" in text
    assert "group jobs" in text


def test_a_report_of_nothing_says_so() -> None:
    assert lines(a_record()) == ["policy default: nothing was changed yet"]


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """An API server that lists the policies of the names in this list."""
    names = ["default"]

    async def policies(_: web.Request) -> web.Response:
        told = status(a_record(a_proven_change()))
        items = [{"metadata": {"name": name}, "spec": {}, "status": told} for name in names]
        return web.json_response({"items": items})

    async with serving(policies) as url:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "kubeconfig", url)))
        yield names


async def ask(*arguments: str) -> Any:
    return await call_off_loop(lambda: CliRunner().invoke(cli, ["report", *arguments]))


async def test_the_only_policy_needs_no_name(cluster: list[str]) -> None:
    assert "ip=2 min=20" in (await ask()).output
    told = json.loads((await ask("default", "--output", "json")).output)
    assert told["policy"] == "default"
    assert told["changes"][0]["measured"][0]["held"] == 222


async def test_of_several_policies_one_must_be_named(cluster: list[str]) -> None:
    cluster.append("other")
    ended = await ask()
    assert isinstance(ended.exception, InvalidInput)
    assert "The cluster has: default, other" in str(ended.exception)
    assert "no IPPolicy third" in str((await ask("third")).exception)
