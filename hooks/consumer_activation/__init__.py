"""Consumer activation: exactly one revision takes messages off the queue.

Which revision of a headless worker may take messages off the queue?
"""
