"""What all tests share.

Property tests are not timed, so that a slow machine never fails one. Programs that tests start can be interrupted, also
where a shell began the tests in the background: it lets them ignore SIGINT, and children inherit that.
"""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("posthouse", deadline=None)
settings.load_profile("posthouse")
signal.signal(signal.SIGINT, signal.default_int_handler)
