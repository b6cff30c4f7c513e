"""How targets reach aws-node, or how people put them there themselves."""

from __future__ import annotations

from ippolicy.account.snippets import formatted
from ippolicy.account.view import View
from ippolicy.account.words import one_line
from ippolicy.api import Method
from ippolicy.api.status import Snippets, WriterStatus
from ippolicy.decide.environment import as_env
from ippolicy.decide.method import choose_way

_REASON_LENGTH = 300


def writer_status(view: View) -> WriterStatus | None:
    """The method and why; with None, the recommended targets ready to be pasted."""
    facts, way = view.snapshot.daemon_set, view.way
    if facts is None or way is None:
        return None
    fleet = view.decision.fleet if view.decision is not None else None
    env = as_env(fleet.targets) if fleet is not None else {}
    chosen = choose_way(view.policy, facts, view.record, env)
    if chosen.method is Method.NONE:
        way = chosen
    snippets = None
    if way.method is Method.NONE and env:
        snippets = Snippets(
            helm=formatted(env, "helm"),
            addon=formatted(env, "addon"),
            terraform=formatted(env, "terraform"),
            env=formatted(env, "env"),
        )
    reason = one_line(way.reason, _REASON_LENGTH)
    return WriterStatus(method=way.method.value, reason=reason, snippets=snippets)
