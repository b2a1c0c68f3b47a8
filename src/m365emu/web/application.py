"""The inbox as one web application.

Purpose: put the pages, the JSON API, the orders and the stream of events together. Shape: `inbox_application` builds
it from the control. Failures: none. Leaves to others: every route.
"""

from aiohttp import web

from m365emu.web.answers import errors_as_json, local_names_only
from m365emu.web.api import InboxApi
from m365emu.web.control import Control
from m365emu.web.events import Events
from m365emu.web.pages import InboxPages
from m365emu.web.state_api import StateApi
from m365emu.web.state_page import StatePages

_MOST_OCTETS = 1_048_576


def inbox_application(control: Control) -> web.Application:
    """Return the web application."""
    parts = control.parts
    app = web.Application(middlewares=[errors_as_json, local_names_only], client_max_size=_MOST_OCTETS)
    InboxApi(parts.directory, parts.store).add_to(app)
    StateApi(control).add_to(app)
    Events(parts.store, parts.journal).add_to(app)
    InboxPages(parts.directory, parts.store, parts.journal, parts.clock).add_to(app)
    StatePages(control).add_to(app)
    return app
