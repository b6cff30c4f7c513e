"""With updateStrategy OnDelete a change waits for the user's own restarts."""

from __future__ import annotations

from worlds import AWS_NODE, SOON, World, changed, condition, wait_until_applied

PODS = "/api/v1/namespaces/kube-system/pods"
ON_DELETE = {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}}


def test_a_change_waits_for_the_restarts_of_the_user_and_names_who_lacks_it(world: World) -> None:
    with world() as sandbox:
        sandbox.run(sandbox.client.patch(AWS_NODE, ON_DELETE))
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(lambda: changed(sandbox), "the change to be written")
        waits = condition(sandbox, "Progressing", "True", "0 of 3 pods updated")
        sandbox.wait(waits, "the change to wait")
        progressing = sandbox.conditions()["Progressing"]
        assert progressing["reason"] == "RolloutBlocked"
        assert "updateStrategy OnDelete: restart the other pods yourself" in progressing["message"]
        assert "; not yet on " in progressing["message"]
        assert sandbox.conditions()["Degraded"]["status"] == "False"
        pods = sandbox.run(sandbox.client.get(PODS))["items"]
        for pod in pods:
            if pod["metadata"]["name"].startswith("aws-node-"):
                sandbox.run(sandbox.client.delete(f"{PODS}/{pod['metadata']['name']}"))
        wait_until_applied(sandbox)
