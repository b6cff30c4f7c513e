"""Does what the operator would do in the story, at once and without a thought.

The first argument says how it behaves: `good`, or `ends` without a change.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

API = "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node"
POLICY = "/apis/ippolicy.dev/v1alpha1/ippolicies/default"


def main(behaviour: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("stand-in at", os.environ["IPPOLICY_HTTP_PORT"], flush=True)
    if behaviour == "ends":
        sys.exit(3)
    config = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
    server = config["clusters"][0]["cluster"]["server"]
    env = [{"name": "WARM_IP_TARGET", "value": "2"}, {"name": "MINIMUM_IP_TARGET", "value": "20"}]
    containers = [{"name": "aws-node", "env": env}]
    applied = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    patch(f"{server}{API}?fieldManager=stand-in", applied, "application/apply-patch+yaml")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "Idle",
        "message": "no change is under way",
        "observedGeneration": 1,
        "lastTransitionTime": now,
    }
    status = {"status": {"conditions": [condition]}}
    while not patch(f"{server}{POLICY}/status", status, "application/merge-patch+json"):
        time.sleep(0.05)
    while True:
        time.sleep(1)


def patch(url: str, body: object, content_type: str) -> bool:
    request = Request(
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": content_type},
        method="PATCH",
    )
    try:
        with urlopen(request, timeout=5) as response:
            return bool(response.status < 300)
    except OSError:  # the policy may not be there yet
        return False


main(sys.argv[1])
