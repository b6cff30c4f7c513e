"""The pool manager's arithmetic: `ippolicy.ipamd.targets` for compiled code.

The table at the head of `targets` says which target rules; here are its numbers for one state.
"""

from __future__ import annotations

from ippolicy.ipamd.fast.state import (
    ASSIGNED,
    CIDRS,
    I64,
    MAX_PODS,
    MINIMUM_IP,
    PREFIXES,
    SIZE,
    SLOTS,
    TOTAL,
    UNUSED,
    WARM_ENI,
    WARM_IP,
    WARM_PREFIX,
)


def counts_addresses(node: I64) -> bool:
    """Whether WARM_IP_TARGET or MINIMUM_IP_TARGET rule."""
    return bool(node[WARM_IP] != 0 or node[MINIMUM_IP] != 0)


def short(node: I64) -> int:
    """CIDRs that the pool lacks for WARM_IP and MINIMUM_IP."""
    missing = max(node[WARM_IP] - (node[TOTAL] - node[ASSIGNED]), node[MINIMUM_IP] - node[TOTAL], 0)
    return int(-(-missing // node[SIZE]))


def surplus(node: I64) -> int:
    """CIDRs that shrinking would give back."""
    if not counts_addresses(node):
        return int(max(node[UNUSED] - node[WARM_PREFIX], 0)) if node[PREFIXES] else 0
    if node[PREFIXES]:
        warm = -(-(node[ASSIGNED] + node[WARM_IP]) // node[SIZE])
        minimum = -(-node[MINIMUM_IP] // node[SIZE])
        return int(max(min(node[UNUSED], node[CIDRS] - max(warm, minimum)), 0))
    spare = max(node[TOTAL] - node[ASSIGNED] - node[WARM_IP], 0)
    return int(max(min(spare, node[TOTAL] - node[MINIMUM_IP]), 0))


def too_low(node: I64) -> bool:
    """Whether the pool must grow."""
    if node[TOTAL] >= node[MAX_PODS]:
        return False
    if counts_addresses(node):
        return short(node) > 0
    available = node[TOTAL] - node[ASSIGNED]
    warm = node[WARM_PREFIX] if node[PREFIXES] else node[WARM_ENI]
    unit = node[SIZE] if node[PREFIXES] else node[SLOTS]
    return bool(available < unit * warm or (warm == 0 and available == 0))


def wanted(node: I64) -> int:
    """CIDRs that growth asks one ENI for."""
    if counts_addresses(node):
        return max(1, short(node)) if node[PREFIXES] else short(node)
    return int(max(1, node[WARM_PREFIX] - node[UNUSED])) if node[PREFIXES] else int(node[SLOTS])


def new_eni_brings(node: I64) -> int:
    """CIDRs that a new ENI is made with; none is made for 0."""
    return min(wanted(node), int(node[SLOTS]))


def may_free(node: I64, available: int, idle_eni: bool) -> bool:
    """Whether ipamd looks for an ENI to free, given what was available when the pass began."""
    if counts_addresses(node):
        return True
    warm = node[WARM_PREFIX] if node[PREFIXES] else node[WARM_ENI]
    if available >= (warm + 1) * node[SLOTS] * node[SIZE]:
        return True
    return bool(node[PREFIXES]) and idle_eni
