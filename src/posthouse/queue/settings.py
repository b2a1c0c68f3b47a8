"""Settings of the queue: ``[queue]`` in posthouse.toml."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field, model_validator

from posthouse.mail.settings import Duration, Settings


class RetryStep(Settings):
    """So many attempts with this interval between them."""

    times: int = Field(ge=1, le=1000, description="Number of attempts.")
    every: Duration = Field(description="Interval.")


class QueueSettings(Settings):
    """How long mail waits and how often it is tried. The defaults are Exchange's."""

    retry: tuple[RetryStep, ...] = Field(
        default=(RetryStep(times=4, every=timedelta(minutes=1)), RetryStep(times=6, every=timedelta(minutes=5))),
        description="First retries.",
    )
    then_every: Duration = Field(default=timedelta(minutes=15), description="Interval after the first retries.")
    jitter_percent: int = Field(default=10, ge=0, le=50, description="Random spread of each interval.")
    expire_after: Duration = Field(default=timedelta(hours=24), description="Age at which a message is bounced.")
    delay_notice_after: Duration = Field(
        default=timedelta(hours=4), description="Age at which the sender is told of a delay."
    )
    lease_for: Duration = Field(
        default=timedelta(minutes=30),
        description="How long a node that no longer answers keeps the mail it was attempting.",
    )
    max_open: int = Field(
        default=1_000_000, ge=100, description="Waiting copies above which new mail is answered 452 4.3.1."
    )
    in_memory: int = Field(default=2000, ge=10, description="Fresh messages kept in memory for immediate delivery.")
    in_memory_octets: int = Field(default=64 * 1024 * 1024, ge=1, description="Octets of those.")
    max_received: int = Field(default=30, ge=5, le=200, description="Received fields above which a message is a loop.")
    postmaster: str = Field(default="", description="Sender name of notices; default postmaster@hostname.")

    @model_validator(mode="after")
    def _notice_before_expiry(self) -> QueueSettings:
        if self.delay_notice_after >= self.expire_after:
            raise ValueError("delay_notice_after must be shorter than expire_after")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often the queue looks at what no event tells it, in seconds; tests of whole months look less often."""

    due: float = 1.0
    room: float = 2.0
    expire: float = 5.0
    verify: float = 15.0
    retire: float = 30.0
