"""Where clients seem to be.

Purpose: let a test on one machine meet what depends on the client's address: connectors, block lists, IPv6.
Shape: `ClientAddresses.seen` turns the address of a connection into the one that the service shall see.
Failures: `ValueError` for what is no IP address. Leaves to others: what an address means (`attribution`).
"""

import ipaddress

_MOST = 10_000


class ClientAddresses:
    """The addresses that are pretended."""

    def __init__(self) -> None:
        self._for_all = ""
        self._for_one: dict[str, str] = {}

    def pretend(self, address: str, client: str = "") -> None:
        """Show clients, or one real address, at another address; an empty address ends it."""
        address = str(ipaddress.ip_address(address)) if address else ""
        if not client:
            self._for_all = address
            return
        client = str(ipaddress.ip_address(client))
        if not address:
            self._for_one.pop(client, None)
        elif len(self._for_one) < _MOST:
            self._for_one[client] = address

    def seen(self, client: str) -> str:
        """Return the address at which the service sees a client."""
        return self._for_one.get(client) or self._for_all or client

    def clear(self) -> None:
        """See everybody where they are."""
        self._for_all = ""
        self._for_one.clear()
