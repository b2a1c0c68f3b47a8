"""The pages that a person sees: sign-in, second factor, consent, device code.

Purpose: plain HTML that works without scripts and loads nothing from elsewhere, so that a person and a browser test
can use it alike. Source: the order of the steps is Entra's, the words and looks are not.
Shape: functions that make HTML of values; every value is escaped. Each page is one form; the hidden field `flow`
carries what was settled so far, the buttons are named `answer`.
Failures: none. Leaves to others: what follows (`sign_in`), HTTP (`authority`).
"""

from collections.abc import Iterable, Mapping
from html import escape

from m365emu.entra.errors import EntraError

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; background: #f2f2f2; color: #1b1b1b; margin: 0 }
main { background: #fff; max-width: 27rem; margin: 4rem auto; padding: 2rem 2.5rem; box-shadow: 0 2px 6px #0003 }
h1 { font-size: 1.4rem; margin: 0 0 .5rem } label { display: block; margin-top: 1rem }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .45rem; border: 1px solid #666 }
button { font: inherit; margin: 1.5rem .5rem 0 0; padding: .4rem 1.6rem; border: 1px solid #0067b8 }
button[value=accept] { background: #0067b8; color: #fff } button[value=cancel] { background: #fff; color: #0067b8 }
.error { color: #b00020; overflow-wrap: anywhere } .note { color: #555 } .number { font-size: 2rem }
li, dd { overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } main { background: #222 }
.error { color: #ff8a80 } .note { color: #aaa } input { background: #111; color: #eee }
button[value=cancel] { background: #222; color: #7ab8f5 } }
"""

PERMISSIONS = {
    "SMTP.Send": "Send mail from your mailbox using SMTP AUTH",
    "Mail.Send": "Send mail as you",
    "Mail.Send.Shared": "Send mail on behalf of others",
    "Mail.Read": "Read your mail",
    "Mail.ReadWrite": "Read and write your mail",
    "User.Read": "Sign you in and read your profile",
    "offline_access": "Keep the access that you gave it",
}
"""Delegated permissions in plain words; others are shown by their name."""


def sign_in_page(action: str, flow: str, application: str, hint: str, error: EntraError | None) -> str:
    """Return the page that asks for account and password."""
    wrong = f'<p class="error" role="alert">AADSTS{error.number}: {escape(error.sentence)}</p>' if error else ""
    focus_account, focus_password = ("", " autofocus") if hint else (" autofocus", "")
    return _form_page(
        "Sign in",
        action,
        {"flow": flow},
        f"""<p class="note">to continue to {escape(application)}</p>{wrong}
<label>Account <input name="username" type="text" inputmode="email" autocomplete="username" required
maxlength="320" value="{escape(hint)}"{focus_account}></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required
maxlength="256"{focus_password}></label>{_BUTTONS.format(accept="Sign in")}""",
    )


def number_page(action: str, flow: str, user: str, number: str, wrong: bool) -> str:
    """Return the page that stands for a second factor: it shows the number that an authenticator would."""
    again = '<p class="error" role="alert">That was another number.</p>' if wrong else ""
    return _form_page(
        "Verify your identity",
        action,
        {"flow": flow},
        f"""<p class="note">{escape(user)}</p>{again}
<p>An authenticator would show this number: <strong class="number" id="number">{escape(number)}</strong></p>
<label>Number <input name="number" inputmode="numeric" autocomplete="one-time-code" required maxlength="12"
autofocus></label>{_BUTTONS.format(accept="Verify")}""",
    )


def consent_page(action: str, flow: str, application: str, user: str, permissions: Iterable[str], device: bool) -> str:
    """Return the page that asks for consent, or whether a device is meant to sign in."""
    items = "".join(
        f"<li>{escape(PERMISSIONS.get(name, name))} <small>({escape(name)})</small></li>" for name in permissions
    )
    asks = f"<p>It would like to:</p><ul>{items}</ul>" if items else ""
    title = f"Sign in to {application} on another device?" if device else "Permissions requested"
    warning = '<p class="note">Accept only if you started this yourself.</p>' if device else ""
    return _form_page(
        title,
        action,
        {"flow": flow},
        f"""<p class="note">{escape(user)}</p><p><strong>{escape(application)}</strong></p>{asks}{warning}
{_BUTTONS.format(accept="Accept")}""",
    )


def organisation_page(
    action: str, flow: str, application: str, user: str, organisation: str, permissions: Iterable[str]
) -> str:
    """Return the page on which an administrator consents for everybody."""
    items = "".join(f"<li>{escape(name)}</li>" for name in permissions)
    return _form_page(
        "Permissions requested",
        action,
        {"flow": flow},
        f"""<p class="note">{escape(user)}</p><p><strong>{escape(application)}</strong> asks for these permissions in
the whole of {escape(organisation)}:</p><ul>{items}</ul>{_BUTTONS.format(accept="Accept")}""",
    )


def approval_page(action: str, flow: str, application: str, user: str, permissions: Iterable[str]) -> str:
    """Return the page that says that only an administrator can consent."""
    items = "".join(f"<li>{escape(name)}</li>" for name in permissions)
    return _form_page(
        "Need admin approval",
        action,
        {"flow": flow},
        f"""<p class="note">{escape(user)}</p><p><strong>{escape(application)}</strong> needs permissions that only an
administrator can grant (AADSTS90094):</p><ul>{items}</ul>
<button name="answer" value="cancel">Return to the application without granting consent</button>""",
    )


def device_code_page(user_code: str, wrong: bool) -> str:
    """Return the page that asks for the code which a device shows."""
    again = '<p class="error" role="alert">That code did not work. Check the code and try again.</p>' if wrong else ""
    return _form_page(
        "Enter code",
        "/devicelogin",
        {},
        f"""<p class="note">Enter the code that your app or device shows.</p>{again}
<label>Code <input name="user_code" autocomplete="off" required maxlength="32" value="{escape(user_code)}"
autofocus></label><button name="answer" value="accept">Next</button>""",
    )


def message_page(title: str, text: str) -> str:
    """Return a page that only says something."""
    return _page(title, f"<p>{escape(text)}</p>")


def error_page(error: EntraError, description: str) -> str:
    """Return the page for a request that cannot even be sent back to where it came from."""
    body = f'<p class="error" role="alert">{escape(description)}</p>'
    return _page(f"Sign in: AADSTS{error.number}", body)


def posted_page(uri: str, fields: Mapping[str, str], nonce: str) -> str:
    """Return the page that hands an answer on as a form (response_mode=form_post)."""
    script = f'<script nonce="{escape(nonce)}">document.forms[0].submit()</script>'
    return _form_page("Working", uri, fields, "<button>Continue</button>") + script


_BUTTONS = """
<button name="answer" value="accept">{accept}</button>
<button name="answer" value="cancel" formnovalidate>Cancel</button>"""


def _form_page(title: str, action: str, hidden: Mapping[str, str], body: str) -> str:
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    return _page(title, f'<form method="post" action="{escape(action)}">{fields}{body}</form>')


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - m365emu</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
