"""What a policy says about the Prometheus that knows the demand of the past."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field, StringConstraints

from ippolicy.api.quantities import Duration
from ippolicy.api.rules import UNIQUE, Part, Rule, matches, span

SECRETS_FOLDER: Final = "/var/run/secrets/ippolicy"
"""The one folder that a policy may have a token sent from: what lies there was put there by who
runs the operator, so that whoever may write policies cannot have other files sent anywhere."""

_LABEL = "[a-zA-Z_][a-zA-Z0-9_]*"
_URL = matches(
    "https?://[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[-a-zA-Z0-9._~/]*)?",
    "must be http:// or https://, a host, and a path at most, without user, password or query, such"
    " as https://prometheus.monitoring.svc:9090",
)
_TOKEN_FILE = matches(
    f"{SECRETS_FOLDER}(/[-a-zA-Z0-9_][-a-zA-Z0-9._]*)+",
    f"must be a file under {SECRETS_FOLDER}/, such as {SECRETS_FOLDER}/prometheus/token: mount the"
    " token there",
)
_REGION = matches("[a-z]{2,4}(-[a-z0-9]+){2,4}", "must be an AWS region, such as eu-west-1")
_SERVICE = matches("[a-z0-9]([-a-z0-9]*[a-z0-9])?", "must be a name for signing, such as aps")
_ROLE = matches(
    "arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[-a-zA-Z0-9+=,.@_/]+",
    "must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/prometheus-reader",
)
_MATCHER = matches(
    f'{_LABEL}(=|!=|=~|!~)"[]!#-[^-~ ]*"',
    'must be a label matcher, such as cluster="prod" (ASCII, without a backslash or a further ")',
)
_NODE_LABEL = matches(_LABEL, "must be the name of a label, such as node")


class SigV4(Part):
    """Requests signed by AWS Signature Version 4, for Amazon Managed Service for Prometheus."""

    region: Annotated[str, StringConstraints(max_length=32), _REGION]
    """AWS region of the workspace."""
    service: Annotated[str, StringConstraints(max_length=64), _SERVICE] = "aps"
    """Name of the service to sign for: aps if it is left out."""
    role_arn: Annotated[str, StringConstraints(max_length=640), _ROLE] | None = None
    """IAM role to assume first, say of the account that the workspace is in. Left out: the
    operator's own role signs."""


class Prometheus(Part):
    """A Prometheus, or what speaks its HTTP API, that has scraped aws-node."""

    RULES: ClassVar = (
        Rule(
            cel="!has(self.bearerTokenFile) || !has(self.sigV4)",
            message="one of bearerTokenFile and sigV4 must be left out: they exclude each other",
            holds=lambda asked: asked.bearer_token_file is None or asked.sig_v4 is None,
        ),
    )
    url: Annotated[str, StringConstraints(max_length=512), _URL]
    """Where it is: http:// or https://, host, port and path, to which /api/v1/query_range is added.
    Certificates are verified, and redirects are not followed. The operator sends requests there,
    with the token or signature below, so give the right to write policies only to whom you would
    trust with those."""
    bearer_token_file: Annotated[str, StringConstraints(max_length=256), _TOKEN_FILE] | None = None
    """File with a bearer token, read anew for each request. It must lie under
    /var/run/secrets/ippolicy/, where nothing lies but what you mount into the operator's pod: any
    file there can be sent to any url by whoever may write policies. Use https."""
    sig_v4: SigV4 | None = None
    """Sign requests for AWS instead."""
    matchers: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=256), _MATCHER], ...],
        Field(max_length=10),
        UNIQUE,
    ] = ()
    """Label matchers that pick this cluster's series in a Prometheus of several clusters, such as
    cluster="prod"."""
    node_label: Annotated[str, StringConstraints(max_length=128), _NODE_LABEL] | None = None
    """Label that names the node of a series, by name or address. Left out: node, and where a
    series has none, the host of instance."""
    step: Annotated[Duration, span("1s", "1h")] | None = None
    """Least time between two values asked for, from 1s to 1h. It is never shorter than the scrape
    interval. Left out: the scrape interval, or as much longer as keeps an import within 40 million
    values."""
    window: Annotated[Duration, span("1m", "720h")] | None = None
    """How far back to ask, from 1m to 720h, at most the window of demand. Left out: that window."""
