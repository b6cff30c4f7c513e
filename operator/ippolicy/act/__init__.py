"""The only room that writes to the cluster: ownership, records, the patch, the rollout.

`actor.Actor` is the way in. The rest, from pure to wired:

    env.py        the one function that makes env entries to be written, and refuses every trap
    live.py       a DaemonSet as just read: its facts, and who holds which part of each env entry
    ownership.py  what may be written, entry by entry
    restoring.py  what removal puts back, entry by entry
    history.py    how a record grows and how its changes come to their ends
    rollout.py    how far a rollout is, and whether it is stuck
    document.py   a record as the JSON that is kept on the cluster
    guards.py     what is checked again right before a write, and known after one that failed
    requests.py   one request to the API server, with its errors in our own words
    beside.py     a text in a ConfigMap beside each DaemonSet, written on the version that was read
    records.py    the record of a DaemonSet, kept so; tables.py its targets by group
    daemonset.py  reading and writing the DaemonSet
    eks/          the EKS add-on: its configuration values, its holders, its API
    writers/      the two ways to write, behind one interface, and how far an update has come
    ways.py       which of them is taken
    ending.py     how what was changed comes to its end: put back, left, or handed over
    pacing.py     how maxUnavailable is put back that was lowered for a rollout
    actor.py      the order of it all, so that a death at any moment loses nothing
"""

from __future__ import annotations

from ippolicy.act.actor import Actor
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.act.rollout import RolloutPhase, RolloutState, RolloutWatch, rollout_state

__all__ = [
    "Actor",
    "Outcome",
    "OutcomeKind",
    "RolloutPhase",
    "RolloutState",
    "RolloutWatch",
    "rollout_state",
]
