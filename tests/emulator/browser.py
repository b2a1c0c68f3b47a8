"""A browser of a few lines: it keeps cookies, reads forms, fills them in, and shows where it is sent."""

import http.cookiejar
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path


@dataclass
class Page:
    """What came back: a page with at most one form, or the address that the browser was sent to."""

    url: str
    status: int
    text: str
    headers: Message
    sent_to: str = ""
    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, str]:
        """The parameters that the browser was sent back to the application with."""
        url = urllib.parse.urlsplit(self.sent_to)
        return dict(urllib.parse.parse_qsl(url.query or url.fragment))


class _Forms(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._page.action = values["action"]
        elif tag == "input":
            self._page.fields[values["name"]] = values.get("value", "")
        elif tag == "button":
            self._page.answers.append(values.get("value", ""))


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


class Browser:
    """One person's browser; it trusts one certification authority."""

    def __init__(self, ca: Path) -> None:
        context = ssl.create_default_context(cafile=ca)
        jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(secure_protocols=("https",)))
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(jar),
            urllib.request.ProxyHandler({}),
            _StayHere(),
        )

    def open(self, url: str, form: dict[str, str] | None = None) -> Page:
        """Go to an address, or post a form there."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            answer = self._opener.open(urllib.request.Request(url, data), timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            page = Page(url=url, status=answer.status, text=answer.read().decode(), headers=answer.headers)
        page.sent_to = page.headers.get("Location", "")
        _Forms(page).feed(page.text)
        return page

    def submit(self, page: Page, answer: str = "accept", **fields: str) -> Page:
        """Fill the page's form in, press a button."""
        assert answer in page.answers, page.text
        action = urllib.parse.urljoin(page.url, page.action)
        return self.open(action, {**page.fields, **fields, "answer": answer})

    def sign_in(self, url: str, user: str = "alice@contoso.example", password: str = "") -> Page:
        """Go to a sign-in page and give account and password; return what follows."""
        password = password or user.partition("@")[0] + "-password"
        return self.submit(self.open(url), username=user, password=password)
