"""Whether a change repays the restarts that it costs."""

from __future__ import annotations

from ippolicy.api import IPPolicy
from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.objective import LEAST_DELAYED_LIMIT
from ippolicy.decide.restart import REPAID_WITHIN_S, RESTART_S, change_calls
from ippolicy.decide.types import Prediction, Reason, Recommendation


def worth_gate(policy: IPPolicy, advice: Recommendation, *, nodes: int) -> Stop | None:
    """Whether a change is steady if it holds fewer addresses, and repays its restarts."""
    saved = advice.present.usually_held - advice.predicted.usually_held
    if saved < 0 and not advice.present_meets:
        # Growth that demand asks for does not wait.
        return None if advice.meets else _no_nearer(policy, advice)
    if advice.meets and not advice.present_meets:
        return _unsteady(policy, advice)
    return (
        _unsteady(policy, advice) or _too_small(policy, advice) or _too_dear(policy, advice, nodes)
    )


def _unsteady(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    change = policy.spec.change
    observed_s = advice.evidence.observed_s
    if observed_s >= change.stabilization.seconds:
        return None
    return Stop(
        Reason.STABILIZING,
        f"fewer addresses are advised, watched for {observed_s:.0f} s of "
        f"change.stabilization {change.stabilization}",
    )


def _no_nearer(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    """Whether targets that keep the limits no more than those in force are hardly nearer."""
    now, then = (_excess(policy, advice, one) for one in (advice.present, advice.predicted))
    least = policy.spec.change.min_saving
    # Targets in force that are within the limits are left for another cause: a bound, a trap.
    if now is None or then is None or now <= 0 or then <= now * (1 - least.fraction):
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"no targets keep the limits of the objective, and it would be {now - then:.1%} of a limit "
        f"nearer than {now:.1%} beyond: change.minSaving is {least} of that",
    )


def _excess(policy: IPPolicy, advice: Recommendation, one: Prediction) -> float | None:
    """How far beyond a limit it is, as a share of that limit; below 0 within both."""
    delayed, calls = one.delayed_share, one.ec2_calls_per_minute
    if delayed is None or calls is None:
        return None
    limit = policy.spec.objective.delayed_starts_limit
    late = (delayed - limit) / max(limit, LEAST_DELAYED_LIMIT)
    return max(late, calls / _calls_limit(policy, advice) - 1.0)


def _too_small(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    """Whether it saves too little, in the mean over the day in which its rollout is.

    A node that is restarted in the middle of the rollout saves nothing until then. A schedule has
    the rollouts of its day in it.
    """
    present, least = advice.present.usually_held, policy.spec.change.min_saving
    wait_s = 0.0 if advice.plan is not None else advice.rollout_s / 2
    left = max(0.0, 1.0 - wait_s / REPAID_WITHIN_S)
    saved = left * (present - advice.predicted.usually_held)
    share = saved / present if present else 0.0
    if share > 0 and share >= least.fraction:
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"it would save {saved:.0f} of {present:.0f} addresses ({share:.1%}), "
        f"change.minSaving is {least}",
    )


def _too_dear(policy: IPPolicy, advice: Recommendation, nodes: int) -> Stop | None:
    """Whether its rollout, spread over a day, breaks a limit that the settings in force keep."""
    predicted, objective = advice.predicted, policy.spec.objective
    if advice.plan is not None or not advice.present_meets or not advice.meets:
        return None
    if predicted.delayed_share is None or predicted.ec2_calls_per_minute is None:
        return None
    own = change_calls(nodes=nodes, enis=advice.present.enis, enis_then=predicted.enis)
    calls = predicted.ec2_calls_per_minute + own / REPAID_WITHIN_S * 60
    limit = _calls_limit(policy, advice)
    if calls > limit:
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"with its {own} EC2 calls to restart every aws-node and resize its pool, spread over "
            f"a day, it would make {calls:.0f} calls a minute: the limit is {limit:g}",
        )
    delayed = predicted.delayed_share + (
        RESTART_S / REPAID_WITHIN_S if advice.evidence.arrivals else 0.0
    )
    if delayed > objective.delayed_starts_limit:
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"with the {RESTART_S:.0f} s that each restart takes, spread over a day, {delayed:.3%} "
            f"of starts would wait: the limit is {objective.delayed_starts_limit:.3%}",
        )
    return None


def _calls_limit(policy: IPPolicy, advice: Recommendation) -> float:
    limit = policy.spec.objective.ec2_calls_per_minute_limit
    return limit if advice.calls_limit is None else advice.calls_limit
