"""Messages to people, on the SNS topic of the function's environment variable ``NOTIFICATION_TOPIC_ARN``."""

from collections.abc import Mapping

from shared.clients import client
from shared.errors import translated

TOPIC_VARIABLE = "NOTIFICATION_TOPIC_ARN"

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html: ASCII, fewer than 100 characters, no line
# breaks or control characters.
MAX_SUBJECT_CHARACTERS = 99


def notify(subject: str, message: str, environment: Mapping[str, str]) -> bool:
    """Publish a message, and tell whether there is a topic to publish on."""
    topic = environment.get(TOPIC_VARIABLE, "")
    if not topic:
        return False
    line = " ".join(subject.encode("ascii", "replace").decode().split())[:MAX_SUBJECT_CHARACTERS]
    with translated("sns:Publish", topic):
        client("sns").publish(TopicArn=topic, Subject=line, Message=message)
    return True
