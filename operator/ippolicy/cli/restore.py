"""`ippolicy restore`: put the originals back by hand, where the operator can no longer."""

from __future__ import annotations

import click

from ippolicy import kube
from ippolicy.act import Actor
from ippolicy.errors import ActError
from ippolicy.facts import DaemonSetRef


@click.command(
    epilog="""\b
Examples:
  ippolicy restore
  ippolicy restore --namespace kube-system --name aws-node --context staging
"""
)
@click.option(
    "--namespace", "-n", default="kube-system", show_default=True, help="Of the DaemonSet."
)
@click.option("--name", default="aws-node", show_default=True, help="Of the DaemonSet.")
@click.option("--context", help="Context of the kubeconfig.")
def restore(namespace: str, name: str, context: str | None) -> None:
    """Put back the env that aws-node had before the first change.

    For when the operator is gone or may not write. With a policy in mode Apply and an operator
    that runs, the targets would be set again: delete the policy instead.
    """
    configuration = kube.load_configuration(context=context)
    outcome = Actor(kube.api_client(configuration)).restore(DaemonSetRef(namespace, name))
    if not outcome.settled:
        raise ActError(outcome.message)
    click.echo(outcome.message)
