"""The queue and the bucket between the load test hook and a generator, as ``template.yaml`` makes them."""

from functools import cache

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.functions import TEMPLATE, deployed, environment
from rehearsal.lambda_functions import statements_in
from rehearsal.model import JsonObject
from rehearsal.template import Template


def variables() -> dict[str, str]:
    """Return ``LOAD_QUEUE_URL`` and ``LOAD_BUCKET``, for the hook and for generators alike."""
    known = environment(deployed()["LoadTestFunction"])
    return {name: known[name] for name in ("LOAD_QUEUE_URL", "LOAD_BUCKET")}


def make(cloud: Cloud) -> None:
    """Create both."""
    named = variables()
    cloud.identity(user="admin", policies=[ALLOW_ALL])
    cloud.client("sqs", user="admin").create_queue(
        QueueName=named["LOAD_QUEUE_URL"].rpartition("/")[2], Attributes={"FifoQueue": "true"}
    )
    cloud.client("s3", user="admin").create_bucket(Bucket=named["LOAD_BUCKET"])


@cache
def generator_policy() -> tuple[JsonObject, ...]:
    """Return the statements of what the template lets a generator's task role do."""
    [policy] = [
        one
        for one in Template.read(TEMPLATE).resources("AWS::IAM::ManagedPolicy")
        if one.logical_id == "LoadGeneratorPolicy"
    ]
    return tuple(statements_in(policy.properties["PolicyDocument"]))
