"""The ways by which values reach aws-node, behind one interface.

writer.py     what every writer can do, and what it finds, plans and answers
daemonset.py  env entries of the DaemonSet by server-side apply
addon.py      env entries in the configuration values of the EKS add-on
updates.py    how far an update of the EKS add-on is, and the way back from one that failed
"""

from __future__ import annotations

from ippolicy.act.writers.writer import Found, Plan, Sent, Undone, Writer

__all__ = ["Found", "Plan", "Sent", "Undone", "Writer"]
