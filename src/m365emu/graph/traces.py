"""The message trace.

Purpose: the handlers of `/admin/exchange/tracing/messageTraces`. Source: "List messageTraces", "exchangeMessageTrace:
getDetailsByRecipient", Get-MessageTraceV2 (at most 10 days in a query, 90 days back, 48 hours without dates; rows
appear after 5 to 10 minutes), "Microsoft Graph service-specific throttling limits" (100 requests in 5 minutes).
That Graph's window without dates is the cmdlet's, and the sentences of the refusals, are not confirmed.
Shape: `Traces` reads the transport's rows; what is younger than the limit `trace_delay_seconds` is not there yet.
Failures: `GraphError`. Leaves to others: writing rows (`post`).
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.graph import errors
from m365emu.graph.access import Caller
from m365emu.graph.call import Answer, Call
from m365emu.graph.filters import moment
from m365emu.graph.queries import Query
from m365emu.graph.throttle import Throttle
from m365emu.hosts import FrontEnd
from m365emu.post import Post, TraceRow

TYPE = "microsoft.graph.exchangeMessageTrace"
_USUAL_PAGE, _LARGEST_PAGE = 1_000, 5_000
_USUAL_SPAN, _LONGEST_SPAN, _OLDEST = timedelta(hours=48), timedelta(days=10), timedelta(days=90)
_BOUND = re.compile(r"receivedDateTime\s+(ge|gt|le|lt)\s+'?([0-9][0-9T:.Z+-]*)", re.IGNORECASE)

PROPERTIES: dict[str, Callable[[TraceRow], object]] = {
    "id": lambda row: row.id,
    "senderAddress": lambda row: row.sender,
    "recipientAddress": lambda row: row.recipient,
    "messageId": lambda row: row.message_id,
    "receivedDateTime": lambda row: row.received,
    "subject": lambda row: row.subject,
    "size": lambda row: row.size,
    "fromIP": lambda row: row.from_ip,
    "toIP": lambda row: row.to_ip,
    "status": lambda row: row.status[:1].lower() + row.status[1:],
}
_FILTERABLE = tuple(name for name in PROPERTIES if name != "size")


class Traces:
    """Answers requests about the trace."""

    def __init__(self, *, directory: Directory, post: Post, throttle: Throttle, clock: Clock) -> None:
        self._directory = directory
        self._post = post
        self._throttle = throttle
        self._clock = clock

    async def listing(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET …/messageTraces."""
        self._count(caller)
        query = Query.read(
            call, names=PROPERTIES, filterable=_FILTERABLE, type_name=TYPE, usual=_USUAL_PAGE, most=_LARGEST_PAGE
        )
        start, end = self._span(call.query.get("$filter", ""))
        rows = [row for row in self._rows(caller) if start <= row.received <= end]
        page = query.page(
            call,
            reversed(rows),
            lambda row, name: PROPERTIES[name](row),
            lambda row: _shown(row, query.select),
            token="$skiptoken",
        )
        context = f"{call.root}/$metadata#admin/exchange/tracing/messageTraces"
        return Answer(json={"@odata.context": context, **page})

    async def details(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET …/messageTraces/{id}/getDetailsByRecipient(recipientAddress='…')."""
        self._count(caller)
        name, _, recipient = call.params["argument"].partition("=")
        if name.lower() != "recipientaddress":
            raise errors.invalid_query("The parameter 'recipientAddress' is required.")
        wanted, recipient = call.params["trace"].lower(), recipient.lower()
        row = next((r for r in self._rows(caller) if r.id == wanted and r.recipient.lower() == recipient), None)
        server = FrontEnd(service=caller.tenant.service, session_id="").mailbox_server
        return Answer(json={"value": _details(row, server) if row is not None else []})

    def _count(self, caller: Caller) -> None:
        self._throttle.trace(caller.tenant.id, self._clock.now(), caller.tenant.limits)

    def _rows(self, caller: Caller) -> list[TraceRow]:
        visible = self._clock.now() - timedelta(seconds=caller.tenant.limits.trace_delay_seconds)
        oldest = self._clock.now() - _OLDEST
        return [
            row for row in self._post.trace if row.tenant_id == caller.tenant.id and oldest <= row.received <= visible
        ]

    def _span(self, text: str) -> tuple[datetime, datetime]:
        """Return the span that a filter's dates mean; raises `GraphError` when it is too long or too old."""
        now = self._clock.now()
        bounds = [(operator.lower(), found) for operator, date in _BOUND.findall(text) if (found := moment(date))]
        ends = [found for operator, found in bounds if operator in ("le", "lt")]
        starts = [found for operator, found in bounds if operator in ("ge", "gt")]
        end = min(ends, default=now)
        start = max(starts, default=end - _USUAL_SPAN)
        if end - start > _LONGEST_SPAN:
            raise errors.GraphError(400, "BadRequest", "The time range must not be longer than 10 days.")
        if start < now - _OLDEST:
            raise errors.GraphError(400, "BadRequest", "The start date must not be older than 90 days.")
        return start, end


def _shown(row: TraceRow, select: tuple[str, ...]) -> dict[str, object]:
    return {name: PROPERTIES[name](row) for name in select or PROPERTIES}


def _details(row: TraceRow, server: str) -> list[dict[str, object]]:
    """Return the events of one recipient; the sentences of the first two are Microsoft's, the others are not known."""
    events = {
        "Delivered": ("Deliver", "The message was successfully delivered."),
        "Failed": ("Fail", row.detail or "The message could not be delivered."),
        "Pending": ("Defer", row.detail or "The message is waiting for another try."),
        "Expanded": ("Expand", "The message was sent to the members of a group."),
        "FilteredAsSpam": ("Deliver", "The message was delivered to the Junk Email folder."),
        "Quarantined": ("Fail", "The message was put into quarantine."),
    }
    event, description = events.get(row.status, ("Defer", row.detail))
    received = ("Receive", f"Message received by: {server}")
    return [
        {
            "@odata.type": "#microsoft.graph.exchangeMessageTraceDetail",
            "id": row.id,
            "messageId": row.message_id,
            "dateTime": row.received + timedelta(seconds=later),
            "event": name,
            "action": "",
            "description": text,
            "data": "",
        }
        for later, (name, text) in enumerate((received, (event, description)))
    ]
