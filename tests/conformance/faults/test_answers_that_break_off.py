"""What the matrix showed once, in small: answers that break off, and ways back that can't be told apart."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine

from hooks.consumer_activation.queue import Queue
from hooks.manual_approval.handler import handler
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.faults import cut_short, fall_short
from shared.clients import client
from shared.errors import Transient, translated
from shared.hook import ROLLBACK_PATIENCE
from tests.shared.checkout import PRODUCTION, START, Context, deploy, event


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud, cloud.acting_as("hook"), time_machine.travel(START, tick=False):
        yield cloud


def test_json_that_breaks_off_may_be_whole_the_next_time(cloud: Cloud) -> None:
    cloud.faults.add(alter=cut_short)
    with pytest.raises(Transient, match="the answer can't be read"), translated("ssm:PutParameter", "/a"):
        client("ssm").put_parameter(Name="/a", Value="b", Type="String")


def test_xml_that_breaks_off_may_be_whole_the_next_time(cloud: Cloud) -> None:
    cloud.faults.add(alter=cut_short)
    with pytest.raises(Transient, match="the answer can't be read"), translated("sns:CreateTopic", "a"):
        client("sns").create_topic(Name="a")


def test_an_answer_with_nothing_in_it_is_an_answer(cloud: Cloud) -> None:
    assert client("ssm").get_parameters_by_path(Path="/none")["Parameters"] == []
    assert client("sqs").list_queues().get("QueueUrls") is None


def test_a_queue_that_says_half_of_what_was_asked_is_asked_again(cloud: Cloud) -> None:
    client("sqs").create_queue(QueueName="orders")
    cloud.faults.add(action="sqs:GetQueueAttributes", alter=fall_short, times=1)
    queue = Queue("orders")

    with pytest.raises(Transient, match="does not say 'ApproximateNumberOfMessagesNotVisible'"):
        queue.depth()
    assert (queue.depth().waiting, queue.depth().in_flight) == (0, 0)


def test_a_call_that_may_be_one_of_a_rollback_is_not_refused_at_once(cloud: Cloud) -> None:
    deploy(cloud)
    cloud.faults.add(action="ecs:*", error="AccessDeniedException")
    reply = handler(event(PRODUCTION), Context())
    assert reply["hookStatus"] == "IN_PROGRESS"
    later = event(PRODUCTION, details=reply["hookDetails"])

    # The way on is not held up for longer than a rollback would be.
    with time_machine.travel(START + ROLLBACK_PATIENCE - timedelta(seconds=1), tick=False):
        assert handler(later, Context())["hookStatus"] == "IN_PROGRESS"
    with time_machine.travel(START + ROLLBACK_PATIENCE, tick=False):
        assert handler(later, Context()) == {"hookStatus": "FAILED"}
