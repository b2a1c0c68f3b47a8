"""Requests for messages: send, draft, read, change, remove.

Purpose: the handlers of `/users/{id}/sendMail`, `/messages` and `/mailFolders`. Source: "user: sendMail", "Create
draft message", "message: send", "List messages", "Get MIME content of a message", "Update message".
Shape: `Messages` has one method for each request; who calls and which mailbox is meant was settled before.
Failures: `GraphError`. Leaves to others: judging what is sent (`sending`), attachments (`attachments`).
"""

import base64
import binascii

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.graph import errors
from m365emu.graph.access import Access, Caller
from m365emu.graph.call import Answer, Call, json_body
from m365emu.graph.composing import changed_item, new_item, read_message
from m365emu.graph.drafts import Draft
from m365emu.graph.folders import NAMES, Folders, draft_octets
from m365emu.graph.item import Item, read_item
from m365emu.graph.queries import Query
from m365emu.graph.sending import Sender
from m365emu.graph.views import FILTERABLE, PROPERTIES, View, message_key, render
from m365emu.tenant import Limits

TYPE = "microsoft.graph.message"
FULL_READ = ("Mail.Read", "Mail.ReadWrite")
"""The permissions that show bodies, MIME and attachments."""

_USUAL_PAGE, _LARGEST_PAGE = 10, 1_000


class Messages:
    """Answers requests about messages."""

    def __init__(self, *, directory: Directory, access: Access, folders: Folders, sender: Sender, clock: Clock) -> None:
        self._directory = directory
        self._access = access
        self._folders = folders
        self._sender = sender
        self._clock = clock
        self._leaving: set[str] = set()

    async def send_mail(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """POST /users/{id}/sendMail."""
        save_copy = True
        if call.content_type == "text/plain":
            item = await self._mime_item(call, caller, mailbox)
        else:
            body = await json_body(call, self._limits(mailbox).graph_request_octets)
            save_copy = _truth(body.get("saveToSentItems", True))
            if "message" not in body:
                raise errors.unreadable_body("The parameter 'Message' is required and was not given.")
            item = self._json_item(caller, mailbox, body["message"])
        await self._sender.send(call, caller, mailbox, item, save_copy=save_copy)
        return Answer(status=202)

    async def create(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """POST /users/{id}/messages: a draft."""
        if call.params.get("folder", "drafts").lower() != "drafts":
            self._folders.name(call.params["folder"])
        if call.content_type == "text/plain":
            item = await self._mime_item(call, caller, mailbox)
        else:
            body = await json_body(call, self._limits(mailbox).graph_request_octets)
            item = self._json_item(caller, mailbox, body)
        draft = self._folders.drafts.add(mailbox, item, self._clock.now(), self._limits(mailbox).stored_octets)
        return self._shown(call, mailbox, self._folders.view_of(draft), status=201)

    async def send_draft(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """POST /users/{id}/messages/{id}/send."""
        draft = self._folders.draft(mailbox, call.params["message"])
        if draft.id in self._leaving:
            raise errors.item_not_found()
        self._leaving.add(draft.id)
        try:
            await self._sender.send(call, caller, mailbox, draft.item, save_copy=True)
        finally:
            self._leaving.discard(draft.id)
        self._folders.drafts.remove(draft)
        return Answer(status=202)

    async def change(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """PATCH /users/{id}/messages/{id}: anything of a draft, isRead of another message."""
        body = await json_body(call, self._limits(mailbox).graph_request_octets)
        found = self._folders.find(mailbox, call.params["message"])
        message = read_message(body)
        if isinstance(found, Draft):
            item = changed_item(found.item, message, takes_message_id=_takes_message_id(caller))
            self._folders.drafts.change(found, item, self._clock.now(), self._limits(mailbox).stored_octets)
        elif set(body) - {"isRead", "categories", "flag", "inferenceClassification"}:
            self._folders.draft(mailbox, call.params["message"])
        elif "isRead" in body:
            self._folders.mark(mailbox, found[0], is_read=_truth(body["isRead"]))
        return self._shown(call, mailbox, self._folders.view(mailbox, call.params["message"]))

    async def remove(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """DELETE /users/{id}/messages/{id}."""
        self._folders.remove(mailbox, call.params["message"])
        return Answer(status=204)

    async def listing(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /users/{id}/messages and /users/{id}/mailFolders/{id}/messages."""
        folder = self._folders.name(call.params["folder"]) if "folder" in call.params else None
        query = Query.read(
            call,
            names=PROPERTIES,
            filterable=FILTERABLE,
            type_name=TYPE,
            usual=_USUAL_PAGE,
            most=_LARGEST_PAGE,
        )
        basic = self._is_basic(caller, mailbox)
        page = query.page(
            call,
            self._folders.messages(mailbox, folder),
            lambda view, name: FILTERABLE[name](view),
            lambda view: render(view, query.select, basic=basic),
        )
        return Answer(json={"@odata.context": _context(call, mailbox, ""), **page})

    async def get(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /users/{id}/messages/{id}."""
        view = self._folders.view(mailbox, call.params["message"], self._folder(call))
        return self._shown(call, mailbox, view, basic=self._is_basic(caller, mailbox))

    async def mime(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /users/{id}/messages/{id}/$value."""
        found = self._folders.find(mailbox, call.params["message"], self._folder(call))
        if isinstance(found, Draft):
            return Answer(octets=draft_octets(found), content_type="text/plain")
        return Answer(file=self._folders.file(found[0]), content_type="text/plain")

    async def folders(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /users/{id}/mailFolders."""
        return Answer(json={"value": [self._folder_shown(mailbox, name) for name in NAMES]})

    async def folder(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /users/{id}/mailFolders/{id}."""
        return Answer(json=self._folder_shown(mailbox, self._folders.name(call.params["folder"])))

    async def _mime_item(self, call: Call, caller: Caller, mailbox: str) -> Item:
        encoded = await call.read(self._limits(mailbox).graph_request_octets)
        try:
            octets = base64.b64decode(bytes(encoded.translate(None, b" \t\r\n")), validate=True)
        except binascii.Error as error:
            raise errors.mime_not_base64() from error
        if not octets:
            raise errors.mime_not_base64()
        self._sender.check_mime(caller, octets)
        item = read_item(octets)
        if item is None:
            raise errors.mime_invalid()
        keeps = caller.tenant.assumptions.graph_keeps_message_id
        return self._sender.completed(caller, mailbox, item, keeps_message_id=keeps)

    def _json_item(self, caller: Caller, mailbox: str, value: object) -> Item:
        item = new_item(read_message(value), self._clock.now(), takes_message_id=_takes_message_id(caller))
        return self._sender.completed(caller, mailbox, item, keeps_message_id=True)

    def _shown(self, call: Call, mailbox: str, view: View, *, status: int = 200, basic: bool = False) -> Answer:
        query = Query.read(call, names=PROPERTIES, filterable=FILTERABLE, type_name=TYPE, usual=1, most=_LARGEST_PAGE)
        body = {"@odata.context": _context(call, mailbox, "/$entity"), **render(view, query.select, basic=basic)}
        return Answer(status=status, json=body)

    def _folder_shown(self, mailbox: str, name: str) -> dict[str, object]:
        count = self._folders.count(mailbox, name)
        unread = 0
        if name == "inbox":
            unread = sum(not view.is_read for view in self._folders.messages(mailbox, name))
        return {
            "id": message_key("", name),
            "displayName": NAMES[name],
            "parentFolderId": message_key("", "msgfolderroot"),
            "childFolderCount": 0,
            "unreadItemCount": unread,
            "totalItemCount": count,
            "isHidden": False,
        }

    def _folder(self, call: Call) -> str | None:
        return self._folders.name(call.params["folder"]) if "folder" in call.params else None

    def _is_basic(self, caller: Caller, mailbox: str) -> bool:
        return not self._access.permits(caller, mailbox, FULL_READ)

    def _limits(self, mailbox: str) -> Limits:
        return self._directory.limits_of(mailbox)


def _takes_message_id(caller: Caller) -> bool:
    return caller.tenant.assumptions.graph_takes_internet_message_id


def _truth(value: object) -> bool:
    """Read a truth value, also one that was written as text, as the documentation's own examples do."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise errors.unreadable_body("Cannot convert the literal to the expected type 'Edm.Boolean'.")
    return value


def _context(call: Call, mailbox: str, end: str) -> str:
    return f"{call.root}/$metadata#users('{mailbox.replace('@', '%40')}')/messages{end}"
