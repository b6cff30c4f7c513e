"""Objects of the API that only some clusters have, read now and then where they matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from ippolicy.errors import ClusterUnavailable
from ippolicy.facts import SourceState
from ippolicy.kube import UNREADABLE
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.transport import Transport

T = TypeVar("T")

ENI_CONFIGS = "/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs"
CILIUM_CONFIG = "/api/v1/namespaces/{namespace}/configmaps/cilium-config"
VPC_CNI_CONFIG = "/api/v1/namespaces/{namespace}/configmaps/amazon-vpc-cni"
_NOT_FOUND, _FORBIDDEN = 404, 403


_WINDOWS_TARGETS = ("warm-ip-target", "minimum-ip-target", "warm-prefix-target")
WINDOWS_IPAM = frozenset(
    {
        "enable-windows-ipam",
        "enable-windows-prefix-delegation",
        *_WINDOWS_TARGETS,
        *(f"windows-{key}" for key in _WINDOWS_TARGETS),
    }
)
"""Keys of the ConfigMap that the VPC resource controller reads for Windows nodes."""


class _EniConfigSpec(msgspec.Struct):
    subnet: str = ""


class _EniConfig(msgspec.Struct):
    spec: _EniConfigSpec = msgspec.field(default_factory=_EniConfigSpec)


class _EniConfigs(msgspec.Struct):
    items: list[_EniConfig] | None


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] | None = None


_ENI_CONFIGS = msgspec.json.Decoder(_EniConfigs)
_CONFIG_MAP = msgspec.json.Decoder(_ConfigMap)


def read_eni_configs(body: bytes) -> frozenset[str]:
    """Ids of the subnets that a list of ENIConfigs names; raises one of UNREADABLE."""
    items = _ENI_CONFIGS.decode(body).items or ()
    return frozenset(item.spec.subnet for item in items if item.spec.subnet)


def read_config_map(body: bytes) -> Mapping[str, str]:
    """The data of a ConfigMap; raises one of UNREADABLE."""
    return _CONFIG_MAP.decode(body).data or {}


def read_windows_ipam(body: bytes) -> Mapping[str, str]:
    """The settings of Windows IPAM in a ConfigMap; raises msgspec.DecodeError."""
    data = read_config_map(body)
    return {key: value for key, value in data.items() if key in WINDOWS_IPAM}


class Lookup(Generic[T]):
    """One path of the API, read every `ec2_subnets_interval_s` for as long as it is wanted.

    `value` is `absent` while it is not wanted, was never read, or does not exist, such as objects
    of a CRD that is not installed; a failure leaves it as it was. `state` is None while it is not
    wanted. `permission` names the right to it, as RBAC does.
    """

    def __init__(
        self,
        api: Transport,
        read: Callable[[bytes], T],
        absent: T,
        permission: str,
        settings: ObserveSettings,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.value = absent
        self.state: SourceState | None = None
        self._api = api
        self._read = read
        self._absent = absent
        self._permission = permission
        self._settings = settings
        self._clock = clock
        self._path: str | None = None
        self._asked_at_s = float("-inf")

    async def refresh(self, path: str | None) -> None:
        """Read `path` if that is due; None when nothing is wanted."""
        if path != self._path:
            self._path, self.value, self._asked_at_s = path, self._absent, float("-inf")
            self.state = None if path is None else SourceState(None)
        interval_s = self._settings.ec2_subnets_interval_s
        if path is None or 0 <= self._clock() - self._asked_at_s < interval_s:
            return
        self._asked_at_s = self._clock()
        try:
            self.value = self._read(
                await self._api.get_bytes(path, timeout_s=self._settings.api_timeout_s)
            )
        except ClusterUnavailable as error:
            if error.status != _NOT_FOUND:
                self._failed(str(error), forbidden=error.status == _FORBIDDEN)
                return
            self.value = self._absent
        except UNREADABLE as error:
            self._failed(f"{path} cannot be read ({error}): check what answers there")
            return
        self.state = SourceState(self._clock())

    def _failed(self, error: str, *, forbidden: bool = False) -> None:
        succeeded_at_s = self.state.succeeded_at_s if self.state is not None else None
        self.state = SourceState(succeeded_at_s, error, self._permission if forbidden else None)
