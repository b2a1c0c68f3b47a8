"""A sender as a scenario wishes for: it keeps within the limits, tries seldom, and looks before it sends twice.

It stands for any good program in the tests of scenarios. It speaks to the hosts without a network, to Entra and
Graph by HTTPS, on a clock that it moves itself, from one due message to the next.
"""

import asyncio
import base64
import heapq
import ssl
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.emulator.browser import Browser
from tests.emulator.talk import Talk, b64, bearer

from m365emu.client_certificates import client_certificates
from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.scenario import Load, read_duration
from m365emu.smtp.session import Session

PAUSE = timedelta(minutes=30)
DAY = timedelta(days=1)
LONGEST = timedelta(days=40)
FINAL = ("550 5.7.68", "550 5.5.105")
"""Refusals that patience does not cure."""


@dataclass(order=True)
class Letter:
    due: datetime
    number: int
    sender: str = field(compare=False)
    recipient: str = field(compare=False)
    tries: int = field(default=0, compare=False)

    @property
    def message_id(self) -> str:
        return f"<{self.number}@patient.example>"

    @property
    def octets(self) -> bytes:
        people = f"From: {self.sender}\r\nTo: {self.recipient}\r\n"
        return f"{people}Message-ID: {self.message_id}\r\nSubject: {self.number}\r\n\r\nHello\r\n".encode()


class PatientSender:
    def __init__(self, emulator: Emulator, clock: ManualClock, load: Load, http: aiohttp.ClientSession) -> None:
        self.emulator, self.clock, self.load, self.http = emulator, clock, load, http
        self.tls = ssl.create_default_context(cafile=emulator.ca)
        self.gave_up: list[str] = []
        self._token: tuple[str, datetime] | None = None
        self._refresh_token = ""
        self._paused_until = clock.now()
        self._minute: dict[str, deque[datetime]] = defaultdict(deque)
        self._day: dict[str, deque[datetime]] = defaultdict(deque)
        self._turn = 0
        start, over = clock.now(), read_duration(load.over)
        self._outbox = [
            Letter(
                due=start + over * n / max(1, load.messages),
                number=n,
                sender=load.senders[n % len(load.senders)],
                recipient=load.recipients[n % len(load.recipients)],
            )
            for n in range(load.messages)
        ]
        heapq.heapify(self._outbox)

    async def run(self) -> None:
        """Send everything, or find out that it cannot be sent."""
        if self.load.way == "device-code":
            await self._sign_in("relay@contoso.example")
        end = self.clock.now() + LONGEST
        while self._outbox and self.clock.now() < end:
            letter = heapq.heappop(self._outbox)
            moment = max(letter.due, self._paused_until)
            if moment > self.clock.now():
                self.clock.advance(moment - self.clock.now())
            mailbox = self._mailbox(letter)
            wait = self._wait(mailbox, letter)
            if wait:
                self._later(letter, wait)
                continue
            reply = await self._send(letter, mailbox)
            self._settle(letter, mailbox, reply)

    def _settle(self, letter: Letter, mailbox: str, reply: str) -> None:
        if reply.startswith(("250", "202")):
            return
        if not reply or reply.startswith("504"):
            if not self._was_sent(letter, mailbox):
                self._later(letter, PAUSE)
            return
        letter.tries += 1
        if reply.startswith(FINAL) or letter.tries > 200:
            self.gave_up.append(reply)
            return
        self._token = None if reply.startswith("535 5.7.3 ") else self._token
        self._paused_until = self.clock.now() + (timedelta(minutes=1) if reply.startswith("451") else PAUSE)
        heapq.heappush(self._outbox, letter)

    def _later(self, letter: Letter, wait: timedelta) -> None:
        letter.due = self.clock.now() + wait
        heapq.heappush(self._outbox, letter)

    def _was_sent(self, letter: Letter, mailbox: str) -> bool:
        sent = self.emulator.store.messages(f"{mailbox}/sent")
        return any(record.message_id == letter.message_id for record in sent)

    def _mailbox(self, letter: Letter) -> str:
        """Return the mailbox to send with: a pool takes turns."""
        pool = [a for a in self.emulator.tenant.mailboxes if a.startswith("devices0")]
        if pool:
            self._turn += 1
            return pool[self._turn % len(pool)]
        return letter.sender if self.load.way in ("graph", "hve") else "relay@contoso.example"

    def _wait(self, mailbox: str, letter: Letter) -> timedelta:
        """Return how long to wait so that no limit is exceeded, and count the message if it need not."""
        now, limits = self.clock.now(), self.emulator.tenant.limits
        windows = [
            (
                self._minute[mailbox],
                timedelta(minutes=1),
                min(limits.messages_per_minute, limits.mx_messages_per_minute),
            ),
            (self._day[mailbox], DAY, limits.recipients_per_day),
        ]
        if self.load.way == "graph":
            windows[0] = (self._minute[mailbox], timedelta(minutes=10), limits.graph_requests_per_10_minutes)
        if not letter.recipient.endswith("@contoso.example"):
            windows.append((self._day["external"], DAY, self.emulator.tenant.external_recipients_per_day))
        for used, length, limit in windows:
            while used and used[0] <= now - length:
                used.popleft()
            if len(used) >= limit:
                return used[0] + length - now
        for used, _, _ in windows:
            used.append(now)
        return timedelta()

    async def _send(self, letter: Letter, mailbox: str) -> str:
        if self.load.way in ("direct", "relay"):
            return self._send_to_mx(letter)
        if self.load.way in ("password", "hve"):
            credential = self.emulator.tenant.mailboxes[mailbox].password
            return self._submit(letter, mailbox, [f"AUTH LOGIN {b64(mailbox)}", b64(credential)])
        token = await self._access_token()
        if token is None:
            return "450 no token"
        if self.load.way == "graph":
            return await self._send_by_graph(letter, mailbox, token)
        return self._submit(letter, mailbox, [f"AUTH XOAUTH2 {bearer(mailbox, token)}"])

    def _submit(self, letter: Letter, mailbox: str, logon: list[str]) -> str:
        talk = Talk(self.emulator).encrypt()
        reply = ""
        for line in logon:
            reply = talk.say(line)
        if not reply.startswith("235 "):
            talk.session.lost()
            return reply
        return _transact(talk.session, mailbox, letter)

    def _send_to_mx(self, letter: Letter) -> str:
        client = self.emulator.control.parts.addresses.seen("192.0.2.7")
        session = self.emulator.exchanger.new_session(client)
        session.open()
        session.take_output()
        session.receive(b"EHLO client.example\r\n")
        session.take_output()
        return _transact(session, letter.sender, letter)

    async def _access_token(self) -> str | None:
        if self._token is not None and self.clock.now() < self._token[1]:
            return self._token[0]
        if self.load.way == "device-code":
            return await self._refreshed()
        url = f"{self.emulator.authority}/oauth2/v2.0/token"
        graph = self.load.way == "graph"
        form = {
            "grant_type": "client_credentials",
            "client_id": self.emulator.client_id,
            "scope": f"https://{'graph.microsoft.com' if graph else 'outlook.office365.com'}/.default",
            **(
                self._assertion(url)
                if self.load.way == "certificate"
                else {"client_secret": self.emulator.client_secret}
            ),
        }
        async with self.http.post(url, data=form, ssl=self.tls) as answer:
            if answer.status != 200:
                return None
            body = await answer.json()
        self._token = body["access_token"], self.clock.now() + timedelta(seconds=body["expires_in"] - 300)
        return self._token[0]

    async def _ask(self, endpoint: str, **form: str) -> dict[str, Any]:
        form |= {"client_id": self.emulator.endpoints()["public_client_id"]}
        async with self.http.post(
            f"{self.emulator.authority}/oauth2/v2.0/{endpoint}", data=form, ssl=self.tls
        ) as answer:
            body: dict[str, Any] = await answer.json()
        return body

    async def _sign_in(self, user: str) -> None:
        """Show a code, and be the person who types it in elsewhere."""
        flow = await self._ask("devicecode", scope="https://outlook.office.com/SMTP.Send offline_access")
        await asyncio.to_thread(self._be_a_person, flow, user, self.emulator.tenant.mailboxes[user].password)
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        self._take(await self._ask("token", grant_type=grant, device_code=flow["device_code"]))

    def _be_a_person(self, flow: dict[str, Any], user: str, password: str) -> None:
        browser = Browser(self.emulator.ca)
        page = browser.submit(browser.open(flow["verification_uri"]), user_code=flow["user_code"])
        page = browser.submit(page, username=user, password=password)
        while "accept" in page.answers:
            page = browser.submit(page)

    async def _refreshed(self) -> str | None:
        """Use the refresh token; when it is dead, only a person can help, and nobody asks again."""
        if not self._refresh_token:
            return None
        body = await self._ask("token", grant_type="refresh_token", refresh_token=self._refresh_token)
        if body.get("error") == "invalid_grant":
            self.gave_up.append(body["error_description"])
            self._refresh_token = ""
            return None
        return self._take(body)

    def _take(self, body: dict[str, Any]) -> str:
        self._refresh_token = body["refresh_token"]
        self._token = body["access_token"], self.clock.now() + timedelta(seconds=body["expires_in"] - 300)
        return self._token[0]

    def _assertion(self, url: str) -> dict[str, str]:
        files = client_certificates(self.emulator.control.parts.home)
        certificate = x509.load_pem_x509_certificate(files.app.read_bytes())
        thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        now = int(self.clock.now().timestamp())
        client_id = self.emulator.client_id
        claims = {
            "aud": url,
            "iss": client_id,
            "sub": client_id,
            "jti": str(uuid.uuid4()),
            "nbf": now,
            "exp": now + 300,
        }
        key = RSAKey.import_key(files.app_key.read_bytes())
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "PS256", "x5t#S256": thumbprint}, claims, key, algorithms=["PS256"]),
        }

    async def _send_by_graph(self, letter: Letter, mailbox: str, token: str) -> str:
        url = f"{self.emulator.graph}/users/{mailbox}/sendMail"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}
        async with self.http.post(url, data=base64.b64encode(letter.octets), headers=headers, ssl=self.tls) as answer:
            return f"{answer.status} {(await answer.text())[:200]}"


def _transact(session: Session, sender: str, letter: Letter) -> str:
    """Send one message and hang up; return the last reply, empty when the connection broke."""
    for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{letter.recipient}>", "DATA"):
        session.receive(line.encode() + b"\r\n")
        reply = session.take_output().decode()
        if not reply.startswith(("250", "354")):
            session.lost()
            return reply
    session.receive(letter.octets + b".\r\n")
    reply = session.take_output().decode()
    session.lost()
    return reply
