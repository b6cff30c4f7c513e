"""Does what the operator would do in the story, at once and without a thought.

The first argument says how it behaves: `good`, or `ends` without a change.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

API = "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node"
POLICY = "/apis/ippolicy.dev/v1alpha1/ippolicies/default"


def main(behaviour: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stderr.write(f"stand-in at {os.environ['IPPOLICY_HTTP_PORT']}\n")
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
    patch(server, f"{API}?fieldManager=stand-in", applied, "application/apply-patch+yaml")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "Idle",
        "message": "no change is under way",
        "observedGeneration": 1,
        "lastTransitionTime": now,
    }
    status = {"status": {"observedGeneration": 1, "observedTime": now, "conditions": [condition]}}
    while not patch(server, f"{POLICY}/status", status, "application/merge-patch+json"):
        time.sleep(0.05)
    while True:
        time.sleep(1)


def patch(server: str, path: str, body: object, content_type: str) -> bool:
    connection = HTTPConnection(server.removeprefix("http://"), timeout=5)
    connection.request("PATCH", path, json.dumps(body), {"Content-Type": content_type})
    response = connection.getresponse()
    answer = response.read().decode()
    connection.close()
    if response.status == 404:  # the policy is not there yet
        return False
    if response.status >= 300:
        sys.exit(answer)
    return True


main(sys.argv[1])
