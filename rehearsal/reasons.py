"""``statusReason`` in ECS's own words where they are published; in brackets where they are not.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html
"""

_ROLLED_BACK = "Service deployment rolled back because"

NO_CANDIDATE = "No rollback candidate was found to run the rollback."
CIRCUIT_BREAKER = f"{_ROLLED_BACK} the circuit breaker threshold was exceeded."
STOPPED_BY_USER = "[Service deployment rolled back because StopServiceDeployment was called.]"
ABORTED_BY_USER = "[Service deployment stopped because StopServiceDeployment was called.]"
SUPERSEDED = "[Service deployment stopped because a newer deployment of the service started.]"
ROLLBACK_HOOK_FAILED = "[Rollback failed.]"


def hook_failed(stage: str, problem: str) -> str:
    """Say that a hook of *stage* failed; *problem* is one of the sentences below."""
    return f"{_ROLLED_BACK} {stage} lifecycle hook(s) failed. {problem}"


def returned_failed(target: str) -> str:
    return f"Lifecycle hook target {target} returned FAILED status."


def no_status(target: str) -> str:
    return f"ECS was unable to parse the response from {target} due to HookStatus must not be null"


def unknown_status(target: str, status: str) -> str:
    return f"[ECS was unable to parse the response from {target}: {status[:40]!r} is no hook status]"


def not_invoked(target: str, cause: str) -> str:
    return f"ECS was unable to invoke hook target {target} due to {cause}"


def not_assumed(role: str) -> str:
    return f"ECS was unable to assume role {role}"


def timed_out(target: str) -> str:
    return f"[Lifecycle hook target {target} was still IN_PROGRESS at its time-out.]"


def pause_timed_out(stage: str) -> str:
    return f"{_ROLLED_BACK} {stage} pause hook timed out."


def pause_rejected(stage: str) -> str:
    return f"[{_ROLLED_BACK} the {stage} pause hook was answered ROLLBACK.]"


def alarm(names: str) -> str:
    return f"[{_ROLLED_BACK} CloudWatch alarms went off: {names}.]"
