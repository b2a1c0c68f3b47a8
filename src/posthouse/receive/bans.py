"""Who guesses passwords, and what it costs them: growing delays, then a ban for a while.

Shape: `Bans` counts failures by a key (an address, an account) in memory; time is handed in as monotonic seconds. The
memory is bounded: the longest unseen key is forgotten first.
Leaves to others: refusing (``receive.listener``, ``receive.login``).

A device with an outdated password says the same wrong thing every minute and is no guesser: a failure that repeats the
last one is delayed, but not counted. So one forgotten printer does not lock out the office behind the same address.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 8.0


@dataclass(slots=True)
class _Record:
    failures: int = 0
    seen_at: float = 0.0
    banned_until: float = 0.0
    last_guess: bytes = b""


class Bans:
    """Failures of many keys."""

    def __init__(self, failures_before_ban: int, ban_for: timedelta, capacity: int = 20_000) -> None:
        self._limit, self._ban_seconds, self._capacity = failures_before_ban, ban_for.total_seconds(), capacity
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def is_banned(self, key: str, now: float) -> bool:
        """Whether the key is banned at this moment."""
        record = self._records.get(key)
        return record is not None and now < record.banned_until

    def failed(self, key: str, guess: bytes, now: float) -> float:
        """Count a failure.

        Args:
            guess: A keyed digest of what was tried, to know it again.

        Returns:
            Seconds to wait before the answer.
        """
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        if now - record.seen_at > self._ban_seconds:
            record.failures = 0
        record.seen_at = now
        if record.failures == 0 or guess != record.last_guess:
            record.failures += 1
        record.last_guess = guess
        if record.failures >= self._limit:
            record.banned_until = now + self._ban_seconds
            record.failures = 0
        if len(self._records) > self._capacity:
            self._records.popitem(last=False)
        return float(min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** max(0, record.failures - 1)))

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key that proved itself; a ban stays until its end."""
        record = self._records.get(key)
        if record is not None and record.banned_until == 0.0:
            del self._records[key]

    def __len__(self) -> int:
        return len(self._records)


@lru_cache(maxsize=4096)
def address_key(ip: str) -> str:
    """The key of a client address: of IPv6 the /64, since that is what one customer has."""
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return ip
