"""Entra, put together: every endpoint of the token authority.

Purpose: build the parts of `entra` and give them to a web server. Source: the addresses are those of the Microsoft
identity platform, version 2.0. Shape: `Authority.add_to` adds the routes for HTTPS, under the tenant's id, one of its
domains, `common` or `organizations`; `add_managed_identity_to` the one route for plain HTTP.
Failures: `OSError` for key files that cannot be used. Leaves to others: everything else (`entra`).
"""

from pathlib import Path

from aiohttp import web

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.entra.accounts import Accounts
from m365emu.entra.administration import Administration
from m365emu.entra.clients import Clients
from m365emu.entra.conclusion import Conclusions
from m365emu.entra.consents import Consents
from m365emu.entra.grants import Grants
from m365emu.entra.issue import Issuer
from m365emu.entra.managed_identity import ManagedIdentity
from m365emu.entra.refresh_tokens import RefreshTokens
from m365emu.entra.requests import MOST_OCTETS
from m365emu.entra.seal import Seal
from m365emu.entra.sign_in import SignIns
from m365emu.entra.sign_in_routes import SignInRoutes
from m365emu.entra.token_endpoint import TokenEndpoint
from m365emu.entra.token_routes import TokenRoutes
from m365emu.faults import Faults
from m365emu.limits import Lockout
from m365emu.statistics import Statistics
from m365emu.tokens import TokenMaker


class Authority:
    """The token authority.

    Attributes:
        refresh_tokens: revokes them on order.
        consents: what users consented to.
        endpoint: judges token requests, without HTTP.
        sign_ins: leads people through the pages, without HTTP.
    """

    def __init__(
        self,
        *,
        home: Path,
        directory: Directory,
        tokens: TokenMaker,
        lockout: Lockout,
        faults: Faults,
        statistics: Statistics,
        clock: Clock,
    ) -> None:
        """Build it; its keys stand in the directory `home`."""
        seal = Seal(home / "seal-key")
        self.refresh_tokens = RefreshTokens(home / "refresh-tokens.json", seal, lambda: tokens.key_id, clock.now)
        self.consents = Consents()
        clients, accounts = Clients(directory, clock), Accounts(directory, lockout, clock)
        grants = Grants(clock.now)
        issuer = Issuer(
            tokens=tokens,
            clients=clients,
            accounts=accounts,
            consents=self.consents,
            refresh_tokens=self.refresh_tokens,
            seal=seal,
            clock=clock,
        )
        self.endpoint = TokenEndpoint(
            clients=clients,
            accounts=accounts,
            grants=grants,
            refresh_tokens=self.refresh_tokens,
            issuer=issuer,
            clock=clock,
        )
        conclusions = Conclusions(
            accounts=accounts,
            consents=self.consents,
            administration=Administration(directory),
            grants=grants,
            issuer=issuer,
            seal=seal,
            clock=clock,
        )
        self.sign_ins = SignIns(clients=clients, accounts=accounts, conclusions=conclusions, seal=seal, clock=clock)
        self._pages = SignInRoutes(self.sign_ins, grants, statistics)
        self._managed_identity = ManagedIdentity(directory, issuer, statistics, clock)
        self._tokens = TokenRoutes(
            directory=directory,
            tokens=tokens,
            clients=clients,
            grants=grants,
            endpoint=self.endpoint,
            faults=faults,
            statistics=statistics,
            clock=clock,
        )

    def application(self) -> web.Application:
        """Return a web application with nothing but these routes."""
        app = web.Application(client_max_size=MOST_OCTETS)
        self.add_to(app)
        return app

    def add_to(self, app: web.Application) -> None:
        """Add the routes for HTTPS."""
        self._tokens.add_to(app)
        self._pages.add_to(app)

    def add_managed_identity_to(self, app: web.Application) -> None:
        """Add the metadata endpoint, which clients ask over plain HTTP."""
        self._managed_identity.add_to(app)
