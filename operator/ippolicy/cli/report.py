"""`ippolicy report`: what the changes of a policy were to bring, and what they brought."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from ippolicy import kube
from ippolicy.cli.options import write_out
from ippolicy.cli.policies import raw_policy
from ippolicy.cli.tables import sentence, table

_SHORT = {
    "WARM_ENI_TARGET": "eni",
    "WARM_IP_TARGET": "ip",
    "MINIMUM_IP_TARGET": "min",
    "WARM_PREFIX_TARGET": "prefix",
}
_NOTHING = "-"


@click.command(
    epilog="""\b
Examples:
  ippolicy report
  ippolicy report default --output json
""",
    short_help="Show what each change was to bring, and what it brought.",
)
@click.argument("policy", required=False)
@click.option("--context", help="Context of the kubeconfig.")
@click.option(
    "--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True
)
def report(*, policy: str | None, context: str | None, output: str) -> None:
    """Show what each change of POLICY, or of the only policy, was to bring, and what it brought.

    It is read from the policy's status: the last 20 changes, newest first, with the addresses that
    were predicted to be held, those that were found 15 minutes, an hour and a day later (the latest
    of these), and what the model makes of the demand that there really was. Of targets by group,
    what a group tried and was refused is listed as well; all figures are for the whole group.
    """
    client = kube.api_client(kube.load_configuration(context=context))
    raw = raw_policy(client, policy)
    status: Mapping[str, Any] = raw.get("status") or {}
    name, changes = raw["metadata"]["name"], status.get("changes") or []
    if output == "json":
        known = {"policy": name, "changes": changes, "saved": status.get("saved")}
        write_out(json.dumps(known, indent=2), None)
        return
    write_out("\n".join(as_text(name, changes, status.get("saved"))), None)


def as_text(
    name: str, changes: Sequence[Mapping[str, Any]], saved: Mapping[str, Any] | None
) -> Iterator[str]:
    """The lines of the report, none wider than a terminal."""
    if not changes:
        yield f"policy {name}: nothing was changed yet"
        return
    header = ("When (UTC)", "Targets", "Was", "Predicted", "Found", "At", "Model")
    yield from table([header, *map(_row, changes)], left=(0, 1))
    yield ""
    yield "Addresses held in the mean; Model: in the demand that there really was."
    for change in changes:
        for text in _told_of_group(change, list(_remarks(change))):
            yield from sentence(f"{_when(change)}  ", text)
    if saved is not None:
        yield f"Saved since {saved['since']}: {saved['addressHours']:,} address hours"


def _row(change: Mapping[str, Any]) -> tuple[str, ...]:
    present, predicted = change.get("present") or {}, change.get("predicted") or {}
    measured = (change.get("measured") or [{}])[-1]
    return (
        _when(change),
        f"{_targets(change['before'])} -> {_targets(change['after'])}",
        _count(present.get("held")),
        _count(predicted.get("held")),
        _count(measured.get("held")),
        measured.get("after", _NOTHING),
        _count(measured.get("expected")),
    )


def _told_of_group(change: Mapping[str, Any], remarks: Sequence[str]) -> Sequence[str]:
    """The remarks with the group that they are about; it is named where there are none, too."""
    if not (group := change.get("group")):
        return remarks
    return [f"group {group}: {text}" for text in remarks] or [f"group {group}"]


def _remarks(change: Mapping[str, Any]) -> Iterator[str]:
    if change.get("undone"):
        yield f"undone: {change['undone']}"
    elif change.get("kind", "Tune") != "Tune":
        yield f"{change['kind'].lower()}: {change.get('binding') or change['reason']}"
    if change["phase"] != "Complete" and not change.get("undone"):
        under_way = "is tried by some" if change.get("group") else "the change is rolling"
        phase = change["phase"]
        yield under_way if phase == "Rolling" else f"the change is {phase.lower()}"
    if any(one.get("asExpected") is False for one in change.get("measured") or ()):
        yield "it held something else than the model makes of the demand there was"


def _when(change: Mapping[str, Any]) -> str:
    return str(change["time"])[5:16].replace("T", " ")


def _targets(env: Mapping[str, str]) -> str:
    """Targets in few characters: "ip=1 min=4"; absent ones are left out."""
    entries = (f"{_SHORT.get(key, key)}={value}" for key, value in env.items() if value)
    return " ".join(entries) or "unset"


def _count(value: int | None) -> str:
    return _NOTHING if value is None else f"{value}"
