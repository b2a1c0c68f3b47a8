"""Bad configurations, and what a person reads about them: ``tests/golden/bad_config``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posthouse.config import ConfigurationRefused, load

GOLDEN = Path(__file__).parents[1] / "golden" / "bad_config"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def refusal(directory: Path) -> str:
    with pytest.raises(ConfigurationRefused) as caught:
        load(directory)
    return "".join(f"{problem}\n" for problem in (*caught.value.errors, *caught.value.warnings))


@pytest.mark.parametrize("case", CASES)
def test_a_bad_configuration_is_refused_with_every_error_at_once(case: str) -> None:
    said = refusal(GOLDEN / case)
    expected = GOLDEN / case / "expected.txt"
    if os.environ.get("POSTHOUSE_WRITE_GOLDEN"):
        expected.write_text(said)
    assert said == expected.read_text()


@pytest.mark.parametrize("case", CASES)
def test_no_planted_secret_is_ever_repeated(case: str) -> None:
    assert "PLANTED" not in refusal(GOLDEN / case)
    assert "12345678" not in refusal(GOLDEN / case)
