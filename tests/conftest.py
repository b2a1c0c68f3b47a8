"""What all tests share: property tests are not timed, so that a slow machine never fails one."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("posthouse", deadline=None)
settings.load_profile("posthouse")
