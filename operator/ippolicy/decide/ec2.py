"""How EC2 did lately, as the replay and the objective take it: in coarse steps.

Steps, because what is asked of the search stays the same between two of them, and so does its
answer (`ippolicy.decide.question`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, log, nan
from typing import Final

from ippolicy.facts import ApiFacts
from ippolicy.ipamd.cloud import Latency

STEPS_S: Final = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, 30.0)
SDK_TRIES: Final = 10
BUDGET_STEP: Final = 0.05
LEAST_BUDGET: Final = 0.25

_ASSIGN: Final = "AssignPrivateIpAddresses"
_CREATE: Final = "CreateNetworkInterface"
_ATTACH: Final = "AttachNetworkInterface"
_WAIT: Final = "waitForENIAndIPsAttached"  # named so in the CNI's metrics, though no API of EC2


def latency_of(ec2: Mapping[str, ApiFacts]) -> Latency:
    """The seconds that EC2 takes, by what aws-node measured (`awscni_aws_api_latency_ms`).

    Each is the mean of the calls that succeeded, at the nearest of `STEPS_S` by ratio. Attaching an
    ENI takes the call and the wait until the instance metadata shows it. What was not measured
    keeps the default of the model.
    """
    usual = Latency()
    named = (_ASSIGN, _CREATE, _ATTACH, _WAIT, "GetMetadata")
    others = [api for api in ec2 if api not in named]
    return Latency(
        assign_s=_step(_mean_s(ec2, _ASSIGN), usual.assign_s),
        create_s=_step(_mean_s(ec2, _CREATE), usual.create_s),
        attach_s=_step(_mean_s(ec2, _ATTACH) + _mean_s(ec2, _WAIT), usual.attach_s),
        other_s=_step(_mean_s(ec2, *others), usual.other_s),
    )


def budget_share(ec2: Mapping[str, ApiFacts]) -> float:
    """The share of the call budget that EC2 leaves, from 0.25 to 1, in steps of 0.05.

    It is the share of tries that EC2 served, of mutating APIs: a call that was refused for load in
    the end had failed `SDK_TRIES` times (the CNI lets the AWS SDK try so often, and counts none of
    the tries but the last), one that succeeded counts as a single try. The budget is of tries, not
    of calls.
    """
    mutating = [facts for api, facts in ec2.items() if not api.startswith("Describe")]
    calls = sum(facts.calls for facts in mutating)
    overloaded = min(calls, sum(facts.overloaded for facts in mutating))
    if not overloaded:
        return 1.0
    served = (calls - overloaded) / (calls - overloaded + SDK_TRIES * overloaded)
    return max(LEAST_BUDGET, BUDGET_STEP * int(served / BUDGET_STEP))


def _mean_s(ec2: Mapping[str, ApiFacts], *apis: str) -> float:
    """The mean over the calls of some APIs; NaN where none of them was measured."""
    measured = [(facts.calls or 1, facts.mean_s) for api in apis if (facts := ec2.get(api))]
    means = [(calls, mean_s) for calls, mean_s in measured if mean_s is not None]
    calls = sum(calls for calls, _ in means)
    return sum(calls * mean_s for calls, mean_s in means) / calls if calls else nan


def _step(seconds: float, usual_s: float) -> float:
    if isnan(seconds):
        return usual_s
    return min(STEPS_S, key=lambda step: abs(log(step / max(seconds, STEPS_S[0]))))
