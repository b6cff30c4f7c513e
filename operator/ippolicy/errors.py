"""Every error this project raises, in one tree.

    IPPolicyError
    ├── InvalidSetting         a setting of the operator or a flag cannot be used
    ├── InvalidPolicy          an IPPolicy cannot be read; the API server should have refused it
    ├── InvalidInput           a file or an argument given to a command cannot be used
    │   └── InvalidBundle      a bundle of a decision's inputs cannot be made or read
    ├── ModelError             the ipamd model was asked for something that cannot be
    │   └── EntryPointRefused  aws-node's entry point would exit 1 with this environment
    ├── CertificatesUnreadable  the webhook's Secret is not what was written
    ├── CorruptCheckpoint      a checkpoint of demand is not what was written
    ├── NewerCheckpoint        a checkpoint of demand is of a newer operator
    ├── SourceError            a source of facts did not answer, or answered nonsense
    │   ├── ClusterUnavailable the Kubernetes API
    │   ├── ScrapeFailed       the metrics port of one aws-node
    │   ├── EC2Unavailable     EC2, with the missing permission where that is the cause
    │   └── PrometheusUnavailable  the Prometheus that a policy names
    ├── OutOfOffice            another operator holds the Lease; this one must end
    ├── ActError               a change could not be made; nothing was half written
    │   ├── DaemonSetMissing   spec.daemonSetRef names nothing
    │   ├── FieldConflict      another manager owns an env entry
    │   ├── FactsChanged       what was decided on is no longer what is there
    │   ├── RecordUnreadable   the record of originals cannot be trusted
    │   ├── CallFailed         the API server refused a request, or gave no answer (act.requests)
    │   ├── NoEffect           a write was taken and changed nothing (act.guards)
    │   └── UpdateFailed       EKS failed to update its add-on (act.writers.updates)
    └── SandboxError           the embedded sandbox could not be set up

Each message is one line and names the thing, the cause and the fix.
"""

from __future__ import annotations


class IPPolicyError(Exception):
    """Base of all errors of this project; `str(error)` is one line fit for a person."""


class InvalidSetting(IPPolicyError):
    """A setting of the operator, or a flag, cannot be used."""


class OutOfOffice(IPPolicyError):
    """Another operator may act now, and this one may not any more."""


class InvalidPolicy(IPPolicyError):
    """An IPPolicy object does not have the shape its CRD promises."""


class InvalidInput(IPPolicyError):
    """A file or an argument given to a command cannot be used."""


class InvalidBundle(InvalidInput):
    """A bundle of a decision's inputs cannot be made, or read back."""


class ModelError(IPPolicyError):
    """The ipamd model was asked for something that cannot be."""


class EntryPointRefused(ModelError):
    """aws-node's entry point exits 1 with this environment (vpc-cni: `validateEnvVars`)."""


class CertificatesUnreadable(IPPolicyError):
    """The Secret with the webhook's certificates cannot be used."""


class CorruptCheckpoint(IPPolicyError):
    """A checkpoint of demand is not what was written, and is dropped."""


class NewerCheckpoint(IPPolicyError):
    """A checkpoint of demand is of a version that this operator does not know."""


class SourceError(IPPolicyError):
    """A source of facts did not answer in time, or answered nonsense."""


class ClusterUnavailable(SourceError):
    """The Kubernetes API did not give what was asked for.

    `status` is the HTTP status, where there was an answer; `retry_after_s` what the server asked
    to wait; `reason` a stable word for metrics.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        reason: str = "unavailable",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.reason = reason


class ScrapeFailed(SourceError):
    """The metrics of one aws-node could not be read; `reason` is a stable word for metrics."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class EC2Unavailable(SourceError):
    """EC2 did not answer; `permission` names the IAM action that is missing, if that is why."""

    def __init__(self, message: str, *, reason: str, permission: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.permission = permission


class PrometheusUnavailable(SourceError):
    """Prometheus did not answer what was asked; `reason` is a stable word for metrics.

    `too_much` says that less asked at once may be answered; `passing` that the same may be, in a
    while, and `retry_after_s` after which, if the server said so.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        too_much: bool = False,
        passing: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.too_much = too_much
        self.passing = passing
        self.retry_after_s = retry_after_s


class ActError(IPPolicyError):
    """A change could not be made; nothing was half written."""


class DaemonSetMissing(ActError):
    """The DaemonSet that the policy names is not there."""


class FieldConflict(ActError):
    """Another field manager owns env entries that the change would set.

    `owners` maps env key -> manager name.
    """

    def __init__(self, message: str, *, owners: dict[str, str]) -> None:
        super().__init__(message)
        self.owners = owners


class FactsChanged(ActError):
    """What the change was decided on is no longer there; decide again."""


class RecordUnreadable(ActError):
    """The record of the original values exists but cannot be trusted."""


class SandboxError(IPPolicyError):
    """The embedded sandbox could not be set up or driven."""
