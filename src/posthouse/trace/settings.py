"""Settings of the trace: ``[trace]`` and ``[protocol_log]`` in posthouse.toml."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from posthouse.mail.settings import Duration, Settings, Size


class RetentionSettings(Settings):
    """How long what is over is kept. Waiting mail is never removed."""

    keep: Duration = Field(
        default=timedelta(days=90), ge=timedelta(hours=1), description="Age at which messages leave the trace."
    )
    keep_content: Duration = Field(
        default=timedelta(hours=1), description="How long the content of a message stays after its last recipient."
    )


class ProtocolLogSettings(Settings):
    """Where the SMTP protocol log is written; listeners and connectors switch it on. The bounds are Exchange's."""

    directory: Path = Field(default=Path("log"), description="Directory of the files, relative to the file.")
    max_file: Size = Field(default=10_000_000, ge=10_000, description="Size at which a new file begins.")
    max_age: Duration = Field(
        default=timedelta(days=30), ge=timedelta(days=1), description="Age at which files are removed."
    )
    max_directory: Size = Field(
        default=250_000_000, ge=100_000, description="Size of all files of one direction; the oldest go first."
    )
    flush_every: Duration = Field(
        default=timedelta(seconds=1), gt=timedelta(0), description="How long lines may wait in memory."
    )
