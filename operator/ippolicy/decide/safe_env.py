"""What the env of aws-node may never become, whichever way it is set.

aws-node reads its environment once, at start. So the whole resulting environment is judged, not
the change: with a bad combination pods stay without addresses, or aws-node does not start at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ippolicy.api import EnvKey
from ippolicy.errors import ActError
from ippolicy.facts import EnvEntry
from ippolicy.ipamd import PoolSettings, check_entry_point

TARGET_KEYS = frozenset(key.value for key in EnvKey)

_COUNT = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_PREFIX_DELEGATION = "ENABLE_PREFIX_DELEGATION"


def check_values(wanted: Mapping[str, str | None]) -> None:
    """Refuse to set anything but warm targets, to anything but counts; None stands for removed.

    Raises:
        ActError: names the key, and what it may be.
    """
    for key, value in wanted.items():
        if key not in TARGET_KEYS:
            known = ", ".join(sorted(TARGET_KEYS))
            raise ActError(f"{key} is not a warm target: only {known} are written")
        if value is not None and not _COUNT.fullmatch(value):
            raise ActError(f"{key}={value!r} is not a count: only whole numbers from 0 are written")


def check_start(result: Mapping[str, EnvEntry]) -> None:
    """Refuse an environment with which the container's entry point would, or might, exit 1.

    Raises:
        EntryPointRefused: names the entries.
    """
    env = _literals(result)
    check_entry_point(env)
    flag = result.get(_PREFIX_DELEGATION)
    if flag is not None and flag.value is None:  # it may be on: nobody here can tell
        check_entry_point(env | {_PREFIX_DELEGATION: "true"})


def check_growth(result: Mapping[str, EnvEntry]) -> None:
    """Refuse an environment with which a node never grows past MINIMUM_IP_TARGET.

    Raises:
        ActError: tells the fix.
    """
    targets = PoolSettings.from_env(_literals(result)).targets
    if targets.minimum_ip > 0 and targets.warm_ip == 0:
        raise ActError(
            f"MINIMUM_IP_TARGET={targets.minimum_ip} without WARM_IP_TARGET would leave pods above "
            "it without addresses for ever: set WARM_IP_TARGET to at least 1"
        )


def _literals(env: Mapping[str, EnvEntry]) -> dict[str, str]:
    return {key: entry.value for key, entry in env.items() if entry.value is not None}
