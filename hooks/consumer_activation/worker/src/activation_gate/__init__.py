"""Let one revision of an Amazon ECS queue worker receive at a time.

>>> from activation_gate import ActivationGate, SqsConsumer  # doctest: +SKIP
>>> with ActivationGate.from_environment() as gate:  # doctest: +SKIP
...     SqsConsumer(queue_url, handle, gate).run()
"""

from activation_gate.gate import ActivationGate
from activation_gate.lease import Lease, Reading
from activation_gate.parameter import Parameter, ReadError
from activation_gate.protection import TaskProtection
from activation_gate.queue import Message, QueueError
from activation_gate.revision import RevisionError, own_revision
from activation_gate.sqs import SqsConsumer
from activation_gate.state import Garbage, State, parse
from activation_gate.telemetry import Metrics, log_as_json

__all__ = [
    "ActivationGate",
    "Garbage",
    "Lease",
    "Message",
    "Metrics",
    "Parameter",
    "QueueError",
    "ReadError",
    "Reading",
    "RevisionError",
    "SqsConsumer",
    "State",
    "TaskProtection",
    "log_as_json",
    "own_revision",
    "parse",
]
