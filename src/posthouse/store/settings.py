"""Settings of the store: ``[store]`` in posthouse.toml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from posthouse.mail.settings import Settings, Size


class StoreSettings(Settings):
    """Where mail is kept."""

    directory: Path = Field(
        default=Path("data"), description="Directory of the database and the spool, relative to the file."
    )
    inline: Size = Field(default=256 * 1024, description="Content up to this size is kept inside the database.")
    free_space_floor: Size = Field(
        default=512 * 1024 * 1024, description="Below this much free disk space new mail is answered 452 4.3.1."
    )
