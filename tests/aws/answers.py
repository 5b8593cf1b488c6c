"""What a hook answered last, and what it left in its log."""

import json
from typing import Any

from rehearsal.runtime import Invocation
from tests.shared.checkout import assert_valid


class Answers:
    """Keeps what ECS keeps between calls, and reads the record of the last one."""

    details: Any
    log: list[str]

    def heard(self, invocation: Invocation) -> dict[str, Any]:
        """Take a valid reply, with the ``hookDetails`` that the next call gets."""
        assert invocation.error is None, invocation.error
        assert_valid(invocation.reply)
        self.log = invocation.log_lines
        reply: dict[str, Any] = invocation.reply
        if "hookDetails" in reply:
            self.details = reply["hookDetails"]
        return reply

    @property
    def record(self) -> dict[str, Any]:
        """The last call's decision record."""
        [line] = [line for line in self.log if '"decision_record"' in line]
        found: dict[str, Any] = json.loads(line)["decision_record"]
        return found

    @property
    def reason(self) -> str:
        return str(self.record["verdict"]["reason"])

    @property
    def said(self) -> str:
        """The last call's log, as text."""
        return "\n".join(str(json.loads(line).get("message")) for line in self.log if line.startswith("{"))
