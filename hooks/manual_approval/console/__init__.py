"""The approver's web page: what waits for a decision, all that is known about it, and the decision."""
