"""aws-node as the EKS add-on vpc-cni keeps it, on some API server, with EKS beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kubernetes.client import ApiClient, CoreV1Api

from aws_node import API, CNI_ENV, AwsNode
from ippolicy.act import Actor, Outcome
from ippolicy.act.eks.client import EksClient
from ippolicy.act.eks.values import env_of
from ippolicy.facts import Record
from ippolicy.sandbox.eks import AddonState, DaemonSetEnv, EksStandIn

UPDATE_S = 20.0


class AddonNode(AwsNode):
    """The DaemonSet of the add-on; its clock is that of EKS, too."""

    def __init__(self, api: API, eks: EksStandIn) -> None:
        super().__init__(api)
        self.eks = eks
        self.eks_client = EksClient(CoreV1Api(api.client()), eks.cluster)

    @property
    def addon(self) -> AddonState:
        """The add-on as EKS keeps it."""
        assert self.eks.addon is not None
        return self.eks.addon

    def install(self, values: str = "", *, eager: bool = True) -> None:
        """Have EKS install the add-on."""
        env = DaemonSetEnv(self.api.client(), namespace=self.namespace)
        self.eks.addon = AddonState(
            env, self.clock, values=values, defaults=CNI_ENV, eager=eager, update_s=UPDATE_S
        )
        self.create({}, manager="eks")
        self.eks.addon.create()
        self.quiet()

    def actor(self, client: ApiClient | None = None) -> Actor:
        """A new actor, as after a restart of the operator."""
        return Actor(client or self.api.client(), self.clock, self.eks_client)

    def configured(self) -> dict[str, str]:
        """The env entries of the configuration values."""
        return env_of(self.addon.values)

    def look(self) -> Record | None:
        """One pass of the operator over its open change."""
        self.quiet()
        record = self.actor().follow(self.ref, self.facts())
        self.quiet()
        return record

    def pass_time(self, seconds: float = UPDATE_S) -> None:
        """Let time go by."""
        self.clock.now_s += seconds

    def complete(self, env: Mapping[str, str | None], *, take_over: Iterable[str] = ()) -> Outcome:
        """Carry out a change and follow it to its end."""
        outcome = self.carry_out(env, take_over=take_over)
        for _ in range(3):
            self.pass_time()
            self.look()
        return outcome
