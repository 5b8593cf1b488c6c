"""Telling ECS: what was decided on a PAUSE hook, and to turn a deployment back.

Nobody polls for a PAUSE hook, so whoever writes the deciding answer tells ECS, and where it could not, the
sweeper does. Several may: ECS takes the first, and all say the same, for all count the same versions.

Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html
"""

from typing import Final, Literal

from botocore.exceptions import ClientError

from hooks.manual_approval.proceeding import Proceeding
from shared.clients import client
from shared.errors import code_of, translated
from shared.lifecycle import ServiceDeploymentArn

# Always said: what is left out is CONTINUE to ECS.
_ACTIONS: Final[dict[str, Literal["CONTINUE", "ROLLBACK"]]] = {
    "approved": "CONTINUE",
    "rejected": "ROLLBACK",
}

# "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN", and
# "Continuing a service deployment is not allowed for service deployment in terminal states."
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html
_SETTLED = ("hookid is either completed", "terminal state")


def carry_out(proceeding: Proceeding) -> bool:
    """Continue the deployment, or roll it back, as was decided; tell whether it was this call that did.

    It was not where nothing is decided, the request is of no PAUSE hook, or ECS waits no longer: it was
    answered, timed out, or the deployment has ended.
    """
    action = _ACTIONS.get(proceeding.outcome)
    if not proceeding.is_pause or action is None:
        return False
    deployment = str(proceeding.deployment)
    with translated("ecs:ContinueServiceDeployment", deployment):
        try:
            client("ecs").continue_service_deployment(
                serviceDeploymentArn=deployment, hookId=proceeding.part, action=action
            )
        except ClientError as error:
            if _is_settled(error):
                return False
            raise
    return True


def _is_settled(error: ClientError) -> bool:
    message = error.response.get("Error", {}).get("Message", "").casefold()
    return code_of(error) == "ServiceDeploymentNotFoundException" or any(
        words in message for words in _SETTLED
    )


def stop(deployment: ServiceDeploymentArn) -> bool:
    """Have ECS stop a deployment and roll it back; tell whether there was one to stop.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopServiceDeployment.html
    """
    with translated("ecs:StopServiceDeployment", str(deployment)):
        try:
            # Spelt out although it is the default: ABORT would leave traffic where it is.
            client("ecs").stop_service_deployment(serviceDeploymentArn=str(deployment), stopType="ROLLBACK")
        except ClientError as error:
            if code_of(error) in {"ConflictException", "ServiceDeploymentNotFoundException"}:
                return False
            raise
    return True
