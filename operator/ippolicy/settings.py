"""Every setting of the operator, in one place: name, default, meaning.

A setting `scrape_interval` is the environment variable `IPPOLICY_SCRAPE_INTERVAL` and the flag
`--scrape-interval` of `ippolicy run`; the flag wins. KUBECONFIG, AWS_REGION, AWS_ENDPOINT_URL and
the AWS credential chain are honoured by the clients themselves and are not repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ippolicy.api.quantities import Duration, Share
from ippolicy.errors import InvalidSetting

PREFIX = "IPPOLICY_"


class Settings(BaseModel):
    """Settings of one operator process; all have defaults fit for a cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval: Duration = Field(
        default=Duration("15s"),
        description="Time between two passes of observe, decide, act, account.",
    )
    http_host: str = Field(
        default="0.0.0.0",  # noqa: S104  (a pod is reached on its own address)
        min_length=1,
        description="Address that /metrics, /healthz and /readyz, and the webhook, listen on.",
    )
    http_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0 = any."
    )
    list_page_size: int = Field(
        default=500, ge=10, le=10_000, description="Objects a page when listing nodes and pods."
    )
    watch_timeout: Duration = Field(
        default=Duration("5m"), description="Longest life of one watch before it is opened anew."
    )
    watch_backoff_max: Duration = Field(
        default=Duration("30s"),
        description="Longest wait before a lost watch or list is tried again.",
    )
    api_timeout: Duration = Field(
        default=Duration("15s"), description="Timeout of one request to the Kubernetes API."
    )
    scrape_interval: Duration = Field(
        default=Duration("30s"), description="Time between two readings of one aws-node."
    )
    scrape_timeout: Duration = Field(default=Duration("5s"), description="Timeout of one reading.")
    scrape_concurrency: int = Field(
        default=64, ge=1, le=1024, description="Readings under way at once."
    )
    scrape_port: int = Field(
        default=61678, ge=1, le=65535, description="Port of aws-node's metrics."
    )
    scrape_via: Literal["direct", "proxy"] = Field(
        default="direct",
        description="Read aws-node at its host address, or through the API server's pod proxy.",
    )
    choice: Literal["rule", "replay"] = Field(
        default="replay",
        description="How targets are chosen: replay = a search that replays demand through the "
        "model of ipamd, which takes half a minute to compile where no image brought it along; "
        "rule = quantiles of demand.",
    )
    min_coverage: Share = Field(
        default=Share("80%"),
        description="Share of aws-node pods that must have been read for a write to be made.",
    )
    facts_max_age: Duration = Field(
        default=Duration("3m"),
        description="Age at which nodes, pods and readings are too old to write on.",
    )
    ec2_subnets_interval: Duration = Field(
        default=Duration("1m"), description="Time between two DescribeSubnets."
    )
    ec2_instances_interval: Duration = Field(
        default=Duration("5m"), description="Time between two DescribeInstances of known nodes."
    )
    ec2_interfaces_interval: Duration = Field(
        default=Duration("5m"),
        description="Time between two lists of the ENIs in the subnets, 1000 ENIs a call.",
    )
    ec2_reservations_interval: Duration = Field(
        default=Duration("30m"),
        description="Time between two GetSubnetCidrReservations of one subnet.",
    )
    ec2_calls_per_minute: int = Field(
        default=60, ge=1, le=6000, description="EC2 calls that the operator may make a minute."
    )
    ec2_timeout: Duration = Field(
        default=Duration("10s"), description="Timeout of one EC2 request."
    )
    cluster_name: str = Field(
        default="",
        description="Name of the EKS cluster, by which its add-on is read and updated; empty = as "
        "the nodes' label alpha.eksctl.io/cluster-name or the tags of their instances say.",
    )
    status_interval: Duration = Field(
        default=Duration("1m"),
        description="Longest time that changed figures wait to be put into status.",
    )
    rollout_stuck_after: Duration = Field(
        default=Duration("10m"),
        description="Time without progress after which a rollout is called stuck.",
    )
    checkpoint_interval: Duration = Field(
        default=Duration("5m"),
        description="Time between two checkpoints of the demand seen; a restart loses no more.",
    )
    restore_give_up_after: Duration = Field(
        default=Duration("10m"),
        description="Time after which a policy being deleted goes, even if its originals could "
        "not be restored; `ippolicy restore` then does it by hand.",
    )
    lease_namespace: str = Field(
        default="",
        description="Namespace of the Lease that one of several operators holds and acts by; "
        "empty = there is only this one.",
    )
    lease_name: str = Field(
        default="ippolicy-operator",
        pattern="^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
        description="Name of that Lease.",
    )
    lease_holder: str = Field(
        default="", description="What this operator calls itself in the Lease; empty = hostname."
    )
    lease_duration: Duration = Field(
        default=Duration("12s"),
        description="Time after which the Lease of an operator that fell silent is taken; 1s or "
        "more.",
    )
    webhook_service: str = Field(
        default="",
        pattern="^([a-z]([-a-z0-9]*[a-z0-9])?)?$",
        max_length=63,
        description="Service in lease_namespace by which the API server asks about new aws-node "
        "pods; empty = it does not.",
    )
    webhook_port: int = Field(
        default=9443,
        ge=1,
        le=65535,
        description="Port of this Service, and of the operators behind it.",
    )
    webhook_certificates: Literal["own", "cert-manager"] = Field(
        default="own", description="Who makes and renews the webhook's certificate."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level of log lines."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="Log lines as JSON or text; auto = text on a terminal."
    )

    @field_validator("lease_duration")
    @classmethod
    def _of_a_second(cls, value: Duration) -> Duration:
        if value.seconds < 1:
            raise ValueError("must be 1s or more: a Lease counts whole seconds")
        return value


def load(environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment and from flags (field name -> text), flags first.

    Raises InvalidSetting naming every unusable value at once, and any unknown IPPOLICY_ variable.
    """
    given = {
        key.removeprefix(PREFIX).lower(): value
        for key, value in environ.items()
        if key.startswith(PREFIX)
    }
    given |= flags or {}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(_problem(e["loc"], e["msg"], given) for e in error.errors())
        raise InvalidSetting(f"unusable settings: {problems}") from error


def _problem(location: tuple[int | str, ...], message: str, given: Mapping[str, str]) -> str:
    name = str(location[0]) if location else "?"
    if name not in Settings.model_fields:
        return f"{PREFIX}{name.upper()} is not a setting (see ippolicy run --help)"
    return f"{PREFIX}{name.upper()}={given.get(name)!r}: {message}"
