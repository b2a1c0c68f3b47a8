"""Who a message proves to be from: SPF, DKIM and DMARC, played.

Purpose: tell mail that would pass from mail that would not, without DNS or signatures: the tenant's `outside` says
which networks pass for a domain and whose signatures verify. Source: RFC 7208 2.4 (MAIL FROM, or the name in HELO for
the null sender); RFC 6376 3.5 (`d=`, `s=`); RFC 7489 3.1 (relaxed alignment) and 6.6.3 (the policy of the
organisation's domain counts below it). Shape: `prove` gives an `Evidence`. Failures: none; the input is hostile.
Leaves to others: what follows (`exchanger`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from m365emu.attribution import domain_of, in_networks
from m365emu.connectors import OutsideDomain
from m365emu.headers import Head
from m365emu.tenant import Tenant

_TAG = re.compile(r"\s*([a-z]{1,10})\s*=\s*([^;]{0,255})")
_MOST_SIGNATURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was proven.

    Attributes:
        author: the domain in From, in lower case.
        spf: MAIL FROM (or HELO) comes from where its domain says.
        dkim: at least one signature verifies.
        aligned: one of them speaks for the author's domain, so DMARC passes.
        policy: what the author's domain asks for when it does not.
    """

    author: str
    spf: bool
    dkim: bool
    aligned: bool
    policy: Literal["", "none", "quarantine", "reject"]

    @property
    def is_to_be_rejected(self) -> bool:
        """Whether the author's domain wants this message refused."""
        return self.policy == "reject" and not self.aligned


def prove(tenant: Tenant, *, client: str, hello: str, sender: str, head: Head) -> Evidence:
    """Judge a message by what its domains publish.

    Args:
        tenant: whose view of the outside counts.
        client: the address it came from.
        hello: the name in HELO or EHLO.
        sender: MAIL FROM, empty for the null sender.
        head: its header.
    """
    authors = head.addresses("from")
    author = domain_of(authors[0]) if authors else ""
    envelope = domain_of(sender) or hello.lower()
    known = tenant.outside.get(envelope)
    spf = known is not None and in_networks(client, known.spf)
    signers = [domain for domain, selector in _signatures(head) if _verifies(tenant, domain, selector)]
    aligned = (spf and _aligned(envelope, author)) or any(_aligned(signer, author) for signer in signers)
    return Evidence(author=author, spf=spf, dkim=bool(signers), aligned=aligned, policy=_policy(tenant, author))


def _signatures(head: Head) -> Iterator[tuple[str, str]]:
    for value in head.all("dkim-signature")[:_MOST_SIGNATURES]:
        tags = {match[1]: match[2].strip().lower() for part in value.split(";") if (match := _TAG.match(part))}
        yield tags.get("d", ""), tags.get("s", "")


def _verifies(tenant: Tenant, domain: str, selector: str) -> bool:
    known = tenant.outside.get(domain)
    return known is not None and ("*" in known.dkim or selector in known.dkim)


def _aligned(domain: str, author: str) -> bool:
    if not domain or not author:
        return False
    return domain == author or domain.endswith(f".{author}") or author.endswith(f".{domain}")


def _policy(tenant: Tenant, author: str) -> Literal["", "none", "quarantine", "reject"]:
    domain = author
    while "." in domain:
        known: OutsideDomain | None = tenant.outside.get(domain)
        if known is not None and known.dmarc:
            return known.dmarc
        domain = domain.partition(".")[2]
    return ""
