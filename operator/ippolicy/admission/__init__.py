"""The mutating webhook that gives each aws-node pod the targets of its node's group, at birth.

`server.WebhookServer` is the way in. From pure to wired:

    review.py         what is read of an AdmissionReview
    tables.py         the tables in force; `decide.births` has what is in one
    mutate.py         review and table -> JSON patch, or the reason to let the pod through as it is
    certificates.py   the webhook's own CA and serving certificate, and when which is renewed
    configuration.py  the MutatingWebhookConfiguration
    server.py         HTTPS, in a thread of its own

Nothing here reads or writes the cluster: `act.webhook` does, for whoever wires the two.
"""

from __future__ import annotations

from ippolicy.admission.mutate import Answer, Places, Verdict, answer
from ippolicy.admission.server import WebhookServer
from ippolicy.admission.tables import Tables

__all__ = [
    "Answer",
    "Places",
    "Tables",
    "Verdict",
    "WebhookServer",
    "answer",
]
