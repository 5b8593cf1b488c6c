"""A hook function as CodeDeploy wants it: an example of what you have, and what stays as it is.

It asks green, behind the test listener, for its health, and tells CodeDeploy what it found.
"""

import os
import urllib.error
import urllib.request

import boto3

codedeploy = boto3.client("codedeploy")


def handler(event: dict[str, str], _context: object) -> None:
    """Validate the replacement task set at AfterAllowTestTraffic."""
    try:
        # The address is the operator's own, in the function's environment.
        with urllib.request.urlopen(os.environ["TEST_URL"], timeout=10) as answer:  # noqa: S310
            healthy = answer.status == 200
    except urllib.error.URLError:
        healthy = False

    codedeploy.put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status="Succeeded" if healthy else "Failed",
    )
