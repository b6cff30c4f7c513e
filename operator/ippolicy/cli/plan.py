"""`ippolicy plan`: the operator's search over a trace, or over what the operator has seen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import yaml

from ippolicy.account.snippets import FORMATS, formatted
from ippolicy.api import API_VERSION, KIND, IPPolicy
from ippolicy.cli import planned
from ippolicy.cli.bundles import from_cluster, from_file, source_options
from ippolicy.cli.environment import read_settings
from ippolicy.cli.options import (
    MOST_NODES,
    PICTURES,
    check_picture,
    instance_of,
    node_options,
    write_out,
)
from ippolicy.cli.planning import Plan, inputs_of
from ippolicy.cli.planning import plan as searched
from ippolicy.cli.progress import progress
from ippolicy.cli.targets import env_of
from ippolicy.cli.traces import read_trace
from ippolicy.decide.bundle import read
from ippolicy.decide.decision import Inputs
from ippolicy.errors import InvalidInput

LIMITS_NOT_KEPT: Final = 3
_POLICY_MAX_BYTES: Final = 1024 * 1024
_DEFAULT_ENV: Final = {"WARM_ENI_TARGET": "1"}

EXAMPLES = """\b
Examples:
  # The best targets for a day of demand on r5.xlarge nodes
  ippolicy plan --trace day.csv --instance-type r5.xlarge
  # The same as a picture, and as values for the Helm chart of the CNI
  ippolicy plan --trace day.csv --instance-type m5.large -o png --out day.png
  ippolicy plan --trace day.csv --instance-type m5.large --format helm
  # For what the operator in the cluster has seen, under another policy
  ippolicy plan --policy stricter.yaml
\b
Exit status: 0 the choice keeps both limits, 3 no setting does, 2 bad input,
1 failed.
"""


@click.command(epilog=EXAMPLES, short_help="Find the best targets for a trace or a cluster.")
@click.argument("name", metavar="[POLICY]", required=False)
@node_options
@source_options
@click.option(
    "--trace",
    "trace_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Plan for this demand (CSV or JSONL) instead of asking a cluster.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An IPPolicy (YAML) whose objective and bounds count. [default: an empty spec, or the "
    "policy of the cluster]",
)
@click.option(
    "--env",
    "-e",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="An entry of aws-node's env that is in force; repeat it. [default: WARM_ENI_TARGET=1]",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, MOST_NODES),
    help="Nodes that the trace stands for. [default: those it has]",
)
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", *PICTURES]),
    default="table",
    show_default=True,
)
@click.option(
    "--format",
    "paste",
    type=click.Choice(FORMATS),
    help="Print the chosen targets alone, ready to be pasted.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
def plan(
    *,
    name: str | None,
    policy_file: Path | None,
    trace_file: Path | None,
    output: str,
    paste: str | None,
    out: Path | None,
    **given: Any,
) -> None:
    """Find the targets that hold the fewest addresses within the limits of a policy.

    Demand comes from a file (--trace), from a bundle (--bundle), or from the operator in the
    cluster, of which POLICY names the policy if there are several. Shown are the choice, the
    setting in force, the runners-up, and what else nothing betters in both addresses held and
    delayed starts.
    """
    check_picture(output, out)
    policy = None if policy_file is None else read_policy(policy_file)
    if trace_file is not None:
        if name is not None or given["bundle_file"] is not None:
            raise InvalidInput("--trace takes no POLICY and no --bundle: choose one of the three")
        inputs, source = _of_trace(trace_file, policy, given), trace_file.name
    else:
        inputs, source = _of_bundle(name, policy, given)
    with progress(f"searching {len(inputs.traces)} traces"):
        found = searched(inputs)
    write_out(_answer(found, source, output, paste), out)
    if not found.choice.fleet.met:
        sys.exit(LIMITS_NOT_KEPT)


def _answer(found: Plan, source: str, output: str, paste: str | None) -> str | bytes:
    if paste is not None:
        chosen = found.choice.fleet.chosen.targets
        return formatted(env_of(chosen, prefixes=found.prefixes), paste)
    if output == "json":
        return planned.as_json(found, source)
    if output in PICTURES:
        return planned.as_picture(found, source, output)
    return planned.as_text(found, source)


def _of_trace(trace_file: Path, policy: IPPolicy | None, given: Mapping[str, Any]) -> Inputs:
    instance = instance_of(given["type_name"], given["enis"], given["addresses_per_eni"])
    if instance is None:
        raise InvalidInput("which nodes? Give --instance-type, such as r5.xlarge")
    (present,) = read_settings(given["assignments"], (), instance, custom_networking=False)
    return inputs_of(
        read_trace(trace_file),
        instance,
        present.env or _DEFAULT_ENV,
        policy=policy or IPPolicy("plan"),
        nodes=given["nodes"],
        max_pods=given["max_pods"] or instance.max_pods(present.pool),
    )


def _of_bundle(
    name: str | None, policy: IPPolicy | None, given: Mapping[str, Any]
) -> tuple[Inputs, str]:
    for option in ("type_name", "enis", "addresses_per_eni", "max_pods", "nodes", "assignments"):
        if given[option]:
            flag = {"type_name": "instance-type", "assignments": "env"}.get(option, option)
            raise InvalidInput(
                f"--{flag.replace('_', '-')} goes with --trace: a cluster has its own nodes"
            )
    if given["bundle_file"] is not None:
        bundle, source = from_file(given["bundle_file"]), given["bundle_file"].name
    else:
        where = {key: given[key] for key in ("service", "namespace", "context")}
        bundle, source = read(from_cluster(name, **where)), "the cluster"
    inputs = replace(bundle.inputs, searched=None, by_replay=True)
    return (inputs if policy is None else replace(inputs, policy=policy)), source


def read_policy(path: Path) -> IPPolicy:
    """The policy in a YAML file.

    Raises:
        InvalidInput: the file cannot be read, or holds no policy.
        InvalidPolicy: the policy breaks a rule of the CRD.
    """
    try:
        if path.stat().st_size > _POLICY_MAX_BYTES:
            raise InvalidInput(f"{path} has more than {_POLICY_MAX_BYTES} bytes: it is no policy")
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    # PyYAML builds dates and numbers by Python's own means, and raises what these do.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        cause = " ".join(str(error).split())
        raise InvalidInput(f"{path} cannot be read as YAML: {cause}") from error
    if not isinstance(raw, dict) or (raw.get("apiVersion"), raw.get("kind")) != (API_VERSION, KIND):
        raise InvalidInput(f"{path} is no policy: its kind must be {KIND} of {API_VERSION}")
    return IPPolicy.from_raw(raw)
