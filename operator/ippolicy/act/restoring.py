"""What removal puts back, entry by entry: only what is still ours to give back.

    value in force                original    done
    ---------------------------   ---------   -----------------------------------------------------
    ours alone                    absent      left out of the apply, which removes the entry
    ours alone                    recorded    applied: the literal, or the valueFrom
    ours alone                    unknown     kept as it is: the record of it was lost
    ours, and another's as well   any         kept as it is: the other wants it, too
    somebody else's               any         kept as it is: it was changed since we wrote it

"Kept" entries of which we hold the name are named in the apply without a value, since leaving them
out would remove them with the other's value in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ippolicy.act.live import Live
from ippolicy.facts import EnvEntry


@dataclass(frozen=True, slots=True)
class Restoration:
    """What to put back (None for absent), and who holds what differs and is left alone."""

    put_back: Mapping[str, EnvEntry | None]
    left: Mapping[str, str]

    def needed(self, live: Live) -> bool:
        """Whether anything in force differs from what is to be put back."""
        return any(live.entry(key) != entry for key, entry in self.put_back.items())

    def describe(self) -> str:
        """One line for a person: what is put back, and what is left alone and why."""
        back = [_put_back(key, entry) for key, entry in sorted(self.put_back.items())]
        left = [f"{key} left as {who} set it" for key, who in sorted(self.left.items())]
        return ", ".join(back + left) or "nothing of ours was left"


def restoration(live: Live, originals: Mapping[str, EnvEntry | None]) -> Restoration:
    """What restoring these originals means for the DaemonSet as it is; the table above."""
    put_back: dict[str, EnvEntry | None] = {}
    left: dict[str, str] = {}
    for key, original in originals.items():
        others = live.value_holders(key)
        if live.value_is_ours(key) and not others:
            put_back[key] = original
        elif live.entry(key) != original:
            left[key] = ", ".join(others) or "somebody else"
    return Restoration(put_back=put_back, left=left)


def _put_back(key: str, entry: EnvEntry | None) -> str:
    if entry is None:
        return f"{key} removed"
    if entry.value is None:
        return f"{key} from its valueFrom"
    return f"{key}={entry.value}"
