"""A worker process that writes down each message it has handled.

    python logging_worker.py LOG REVISION PARAMETER QUEUE_URL

One JSON object a line, appended in one write, so that any number of workers may share the file.
"""

import json
import os
import sys
import time

import activation_gate

HANDLING_SECONDS = 0.02


def main() -> None:
    path, revision, parameter, url = sys.argv[1:]
    log = os.open(path, os.O_WRONLY | os.O_APPEND)

    def handle(message: activation_gate.Message) -> None:
        time.sleep(HANDLING_SECONDS)
        line = {
            "id": message.body,
            "revision": revision,
            "epoch": message.epoch,
            "receives": message.receive_count,
            # By the queue's own clock: when it first gave the message out.
            "taken": int(message.attributes["ApproximateFirstReceiveTimestamp"]),
        }
        os.write(log, f"{json.dumps(line)}\n".encode())

    gate = activation_gate.ActivationGate(parameter, revision=revision)
    activation_gate.SqsConsumer(url, handle, gate, concurrency=4, visibility_seconds=10, wait_seconds=1).run()


if __name__ == "__main__":
    main()
