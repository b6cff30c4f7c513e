"""Where commands get a bundle from: a file, or the operator of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click

from ippolicy import kube
from ippolicy.cli.progress import progress
from ippolicy.decide.bundle import Bundle, read
from ippolicy.decide.bundle_limits import MAX_BYTES
from ippolicy.errors import ClusterUnavailable, InvalidInput

_TIMEOUT_S: Final = 60.0

Command = TypeVar("Command", bound=Callable[..., Any])


def source_options(command: Command) -> Command:
    """A bundle file, or the service of the operator in a cluster."""
    for option in (
        click.option("--context", help="Context of the kubeconfig."),
        click.option(
            "--service",
            default="ippolicy-operator:http",
            show_default=True,
            metavar="NAME[:PORT]",
            help="Service of the operator, and its port by name or number.",
        ),
        click.option(
            "--namespace",
            "-n",
            default="kube-system",
            show_default=True,
            help="Of the operator's service.",
        ),
        click.option(
            "--bundle",
            "bundle_file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Read this bundle instead of asking the operator of a cluster.",
        ),
    ):
        command = option(command)
    return command


def from_file(path: Path) -> Bundle:
    """The bundle in a file, gzip'd or not.

    Raises:
        InvalidInput: the file cannot be read, or holds no bundle.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path} has more than {MAX_BYTES} bytes: it is no bundle")
        document = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    return read(document)


def from_cluster(policy: str | None, *, service: str, namespace: str, context: str | None) -> bytes:
    """The bundle of `policy`, or of the only one, as the operator serves it.

    Raises:
        InvalidInput: the operator knows no such policy, or several and none was named.
        ClusterUnavailable: it cannot be asked.
    """
    configuration = kube.load_configuration(context=context)
    base = f"/api/v1/namespaces/{quote(namespace)}/services/{quote(service, safe=':')}/proxy"

    async def ask() -> bytes:
        api = kube.AsyncApi(configuration)
        try:
            known = await api.get_json(f"{base}/bundles", timeout_s=_TIMEOUT_S)
            name = _one_of(known, policy)
            return await api.get_bytes(
                f"{base}/bundles/{quote(name)}", timeout_s=_TIMEOUT_S, max_bytes=MAX_BYTES
            )
        finally:
            await api.close()

    with progress("asking the operator for its last decision"):
        try:
            return asyncio.run(ask())
        except ClusterUnavailable as error:
            raise _explained(error, service, namespace) from error


def _one_of(known: Any, policy: str | None) -> str:
    names = known.get("policies") if isinstance(known, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput("the service is not an operator of this version: see --service")
    if policy is None and len(names) == 1:
        return str(names[0])
    if policy in names:
        return str(policy)
    told = ", ".join(names) or "none, so wait for its first pass"
    wanted = "which policy?" if policy is None else f"nothing was decided on policy {policy}."
    raise InvalidInput(f"{wanted} The operator has decided on: {told}")


def _explained(error: ClusterUnavailable, service: str, namespace: str) -> ClusterUnavailable:
    name = service.partition(":")[0]
    causes = {
        403: f"you may not get services/proxy of {name} in {namespace}: ask for that right",
        404: f"no service {namespace}/{service}, or one that is no operator: see --service and "
        "--namespace",
        503: f"service {namespace}/{service} has no operator that is ready: look at its pod",
    }
    cause = causes.get(error.status or 0)
    if cause is None:
        return error
    return ClusterUnavailable(f"the operator cannot be asked: {cause}", status=error.status)
