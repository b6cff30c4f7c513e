"""Outside of its windows a policy writes nothing, and says when the next one opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from described import described, reads
from worlds import SOON, World, targets, wait_until_applied

HOUR = timedelta(hours=1)


def test_a_change_waits_for_the_window_that_the_condition_names(world: World) -> None:
    with world() as sandbox:
        before, generation = targets(sandbox), sandbox.daemonset_generation()
        opens = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 12 * HOUR
        change = {**SOON["change"], "urgent": "Never"}
        later = {"cron": f"0 {opens.hour} * * *", "duration": "1h"}
        sandbox.operator.start()
        sandbox.apply_policy({**SOON, "change": {**change, "windows": [later]}})
        waits = reads(
            sandbox,
            "Applied False OutsideWindow no window of change.windows is open: the next opens "
            f"{opens:%Y-%m-%d %H:%M} UTC",
        )
        sandbox.wait(waits, "the wait, and its end")
        assert (targets(sandbox), sandbox.daemonset_generation()) == (before, generation)

        since = datetime.now(UTC) - HOUR
        now = {"cron": f"{since.minute} {since.hour} * * *", "duration": "2h"}
        sandbox.apply_policy({**SOON, "change": {**change, "windows": [later, now]}})
        wait_until_applied(sandbox)
        assert sandbox.daemonset_generation() == generation + 1
        # Pods that a rollout has just restarted are nothing to warn of.
        assert "LadderChanged GrowOnly" not in described(sandbox)
        assert "CoverageLow" not in described(sandbox)
        assert "aws-node pods could be read" not in described(sandbox)
