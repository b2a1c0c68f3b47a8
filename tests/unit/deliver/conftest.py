"""What the tests of ``deliver`` share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.deliver.jobs import MakeWorker, new_worker

from posthouse.deliver.worker import Worker


@pytest.fixture
async def make_worker() -> AsyncIterator[MakeWorker]:
    """Makes workers and closes them."""
    made: list[Worker] = []

    def make(*patience: object, **more: object) -> Worker:
        made.append(new_worker(*patience, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for worker in made:
        worker.close()
