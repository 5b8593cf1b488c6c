"""What the activation hook is told, by the service (``hookDetails``) and by the organisation (policy)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.settings import Settings, Stricter, chosen, first_of

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
QueueName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,75}(\.fifo)?$|^[A-Za-z0-9_-]{76,80}$")]
QueuePattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*?-]{1,80}$")]


class ConsumerSettings(Settings):
    """Keys of ``hookDetails``."""

    queue: Annotated[QueueName | None, Stricter(chosen)] = Field(
        None, description="name of the queue that the service consumes; nothing is watched without it"
    )
    drain_by: Annotated[Literal["queue", "protection", "time"] | None, Stricter(chosen)] = Field(
        None,
        description="how to see that the old revision's work is done: no message of the queue in flight, no "
        "task of the revision with scale-in protection, or drainSeconds. Absent: queue where one is named, "
        "else time",
    )
    drain_seconds: Annotated[int, Stricter(max)] = Field(
        30, ge=0, le=3600, description="with drainBy time: how long the old revision's work takes at most"
    )
    drain_timeout_seconds: Annotated[int, Stricter(max)] = Field(
        900, ge=0, le=43200, description="how long to wait for the old revision's work at most"
    )
    on_drain_timeout: Annotated[Literal["refuse", "activate"], first_of("refuse", "activate")] = Field(
        "refuse",
        description="the verdict when that time is over: refuse gives the queue back to the old revision, "
        "activate lets the new one start beside what the old one still does",
    )
    hand_back_drain_seconds: Annotated[int, Stricter(max)] = Field(
        60, ge=0, le=3600, description="how long to wait for the new revision's work when it has to give back"
    )
    lease_seconds: Annotated[int, Stricter(max)] = Field(
        15,
        ge=2,
        le=3600,
        description="how long a worker may go on without a successful read of the parameter",
    )
    read_seconds: int = Field(5, ge=1, le=1800, description="how often each task reads the parameter")
    read_lag_seconds: Annotated[int, Stricter(max)] = Field(
        3,
        ge=0,
        le=300,
        description="how long a read may still find the version before; Parameter Store is eventually "
        "consistent and documents no bound",
    )
    look_seconds: int = Field(5, ge=1, le=300, description="delay between looks at the work")
    monitor_minutes: Annotated[int, Stricter(max)] = Field(
        5,
        ge=0,
        le=120,
        description="how long to watch the new revision once it consumes; 0 does not. What takes longer to "
        "show is for the alarms of the bake time",
    )
    max_dead_letters: Annotated[int, Stricter(min)] = Field(
        0, ge=0, le=1_000_000, description="messages that may reach the dead-letter queue meanwhile"
    )
    max_oldest_message_seconds: Annotated[int, Stricter(min)] = Field(
        300, ge=1, le=1_209_600, description="age of the oldest message that is never too much"
    )
    max_oldest_message_factor: Annotated[float, Stricter(min)] = Field(
        2.0, ge=1, le=100, description="how much older than in the hour before the oldest message may get"
    )
    stalled_minutes: Annotated[int, Stricter(min)] = Field(
        3,
        ge=1,
        le=60,
        description="minutes in a row with messages waiting and none deleted that are too many",
    )

    @model_validator(mode="after")
    def _a_lease_outlives_its_reads(self) -> Self:
        if self.lease_seconds < 2 * self.read_seconds:
            raise ValueError(
                f"leaseSeconds ({self.lease_seconds}) must be at least twice readSeconds "
                f"({self.read_seconds}), or one failed read stops a worker"
            )
        return self

    @model_validator(mode="after")
    def _draining_by_queue_names_one(self) -> Self:
        if self.drain_by == "queue" and self.queue is None:
            raise ValueError("drainBy is queue, but no queue is named")
        return self

    @property
    def drains_by(self) -> Literal["queue", "protection", "time"]:
        """How to see that the old revision's work is done."""
        return self.drain_by or ("queue" if self.queue else "time")


class ConsumerPolicy(ConsumerSettings):
    """Keys of ``HOOK_POLICY``: those above as limits, and some that are the organisation's alone."""

    allowed_queues: tuple[QueuePattern, ...] = Field(
        ("*",), max_length=50, description="patterns of the names of queues that hookDetails may choose from"
    )
