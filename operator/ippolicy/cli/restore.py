"""`ippolicy restore`: put the originals back by hand, where the operator can no longer."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from ippolicy import kube
from ippolicy.act import Actor, Outcome, OutcomeKind
from ippolicy.act.eks.client import EksClient
from ippolicy.cli.policies import policy_named
from ippolicy.errors import ActError, InvalidInput
from ippolicy.facts import DaemonSetRef, EnvEntry, Record

GIVE_UP_S = 900.0
LOOK_EVERY_S = 5.0


@click.command(
    epilog="""\b
Examples:
  # What would be put back
  ippolicy restore --dry-run
  # Put it back, for the DaemonSet that a policy names
  ippolicy restore --policy default --yes --context staging
  ippolicy restore --daemonset kube-system/aws-node
""",
    short_help="Put back the env that aws-node had before the first change.",
)
@click.option("--policy", metavar="NAME", help="The DaemonSet that this IPPolicy names.")
@click.option(
    "--daemonset",
    metavar="NAMESPACE/NAME",
    help="The DaemonSet; kube-system/aws-node if neither is given.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be put back.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--cluster-name",
    envvar="IPPOLICY_CLUSTER_NAME",
    default="",
    help="Name of the EKS cluster, where its add-on was updated; empty = as the nodes say.",
)
@click.option("--context", help="Context of the kubeconfig.")
def restore(
    *,
    policy: str | None,
    daemonset: str | None,
    dry_run: bool,
    yes: bool,
    cluster_name: str,
    context: str | None,
) -> None:
    """Put back the env that aws-node had before the first change.

    It does what the operator does when its policy is deleted, for when the operator is gone or may
    not write: entries that were absent are removed, and what somebody else has set since stays.
    With a policy in mode Apply and an operator that runs, the targets would be set again: delete
    the policy instead.
    """
    from kubernetes.client import CoreV1Api

    if policy is not None and daemonset is not None:
        raise InvalidInput("--policy and --daemonset name the same thing: give one of them")
    client = kube.api_client(kube.load_configuration(context=context))
    if policy is not None:
        named = policy_named(client, policy).spec.daemon_set_ref
        ref = DaemonSetRef(named.namespace, named.name)
    else:
        ref = _ref(daemonset or "kube-system/aws-node")
    actor = Actor(client, addons=EksClient(CoreV1Api(client), cluster_name))
    record = actor.follow(ref, None)
    if record is None:
        click.echo(f"DaemonSet {ref} was never changed")
        return
    click.echo(f"DaemonSet {ref}: {_plan(record)}, each unless somebody else has set it since")
    if dry_run:
        return
    if not yes:
        click.confirm("Every aws-node will be restarted. Go on?", abort=True)
    click.echo(put_back(lambda: actor.restore(ref)).message)


def put_back(
    restore_once: Callable[[], Outcome], sleep: Callable[[float], None] = time.sleep
) -> Outcome:
    """What came of it, once EKS is through where the values go back by its add-on.

    Raises:
        ActError: it could not be done, or EKS is at it for longer than `GIVE_UP_S`.
    """
    outcome, said = restore_once(), ""
    for _ in range(int(GIVE_UP_S / LOOK_EVERY_S)):
        if outcome.kind is not OutcomeKind.UNDER_WAY:
            break
        if outcome.message != said:
            said = outcome.message
            click.echo(said)
        sleep(LOOK_EVERY_S)
        outcome = restore_once()
    if not outcome.settled:
        raise ActError(outcome.message)
    return outcome


def _ref(text: str) -> DaemonSetRef:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise InvalidInput(f"--daemonset {text!r} is no NAMESPACE/NAME: kube-system/aws-node is")
    return DaemonSetRef(namespace, name)


def _plan(record: Record) -> str:
    return ", ".join(_put_back(key, record.originals[key]) for key in sorted(record.originals))


def _put_back(key: str, entry: EnvEntry | None) -> str:
    if entry is None:
        return f"{key} removed"
    return f"{key}={entry.value}" if entry.value is not None else f"{key} from {entry.origin}"
