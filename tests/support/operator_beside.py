"""An operator that does nothing but have a webhook: tests stop it, kill it, and ask the webhook.

    python operator_beside.py CERTIFICATE-AND-KEY

prints the port, and the id of the webhook's process.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ippolicy.admission import WebhookProcess
from ippolicy.admission.certificates import Identity
from ippolicy.decide.births.table import PolicyTable
from reviews import AWS_NODE, LEAN, PLACES


async def _run(identity: Identity) -> None:
    server = WebhookProcess(host="127.0.0.1", port=0)
    server.answer_by({AWS_NODE: PolicyTable("default", groups={"batch": LEAN})})
    server.place(AWS_NODE, PLACES)
    await server.start(identity)
    print(server.port, server.pid, flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    pem = Path(sys.argv[1]).read_bytes()
    asyncio.run(_run(Identity(certificate=pem, key=pem)))
