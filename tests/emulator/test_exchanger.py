"""The MX: whose mail it is, what it refuses, and what it takes."""

import pytest
from tests.emulator.mx_talk import CONTENT, HOST, OFFICE, OWN_CONTENT, STRANGER, MxTalk

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.tenant import TenantError

SUFFIX = f"[{HOST} 2025-11-23T12:00:00.031Z "
OK = "250 2.1.5 Recipient OK"
RELAY_BY_ADDRESS = {"sender_ip_addresses": ["203.0.113.0/24"]}
RELAY_BY_NAME = {"tls_sender_certificate_name": "*.contoso.example"}


def test_mail_for_a_mailbox_is_taken_and_queued(emulator: Emulator) -> None:
    assert MxTalk(emulator).deliver() == (
        "250 2.6.0 <m@elsewhere.example> [InternalId=10000000000001, "
        "Hostname=FR0P281MB0042.DEUP281.PROD.OUTLOOK.COM] 77 bytes in 0.001, 75.195 KB/sec "
        "Queued mail for delivery -> 250 2.1.5"
    )
    (record,) = emulator.store.messages("alice@contoso.example")
    assert emulator.content(record) == CONTENT
    assert (record.authentication, record.mailbox, record.client_ip) == ("anonymous", "", STRANGER)
    assert record.folders == ["alice@contoso.example"]
    (row,) = emulator.post.trace
    assert (row.status, row.from_ip, row.recipient) == ("Delivered", STRANGER, "alice@contoso.example")


def test_authentication_is_neither_offered_nor_taken(emulator: Emulator) -> None:
    talk = MxTalk(emulator)
    assert not [line for line in talk.hello if "AUTH" in line]
    assert talk.say("AUTH LOGIN").startswith(f"504 5.7.4 Unrecognized authentication type {SUFFIX}")
    talk.encrypt()
    assert not [line for line in talk.hello if "AUTH" in line or "STARTTLS" in line]
    assert talk.say("AUTH XOAUTH2 abc=").startswith("504 5.7.4 ")


def test_direct_send_reaches_own_recipients_only(emulator: Emulator) -> None:
    talk = MxTalk(emulator)
    assert talk.deliver("printer@contoso.example", content=OWN_CONTENT).startswith("250 2.6.0 ")
    refused = talk.ask("printer@contoso.example", "someone@elsewhere.example")
    assert refused.startswith(f"550 5.7.64 TenantAttribution; Relay Access Denied {SUFFIX}")


def test_a_stranger_s_mail_for_a_domain_that_is_not_here_is_no_matter_of_attribution(emulator: Emulator) -> None:
    assert MxTalk(emulator).ask("a@elsewhere.example", "b@example.net") == "550 5.4.1 Relay Access Denied"


def test_an_outside_recipient_after_an_own_one_is_refused_alone(emulator: Emulator) -> None:
    talk = MxTalk(emulator)
    refused = talk.ask("a@elsewhere.example", "alice@contoso.example", "b@example.net")
    assert refused.startswith("550 5.7.64 TenantAttribution; ")
    assert talk.say("RCPT TO:<bob@contoso.example>") == OK


@pytest.mark.parametrize(
    ("client", "names", "connector", "sender"),
    [
        (OFFICE, (), RELAY_BY_ADDRESS, "printer@contoso.example"),
        (STRANGER, ("relay.contoso.example",), RELAY_BY_NAME, "printer@contoso.example"),
        (STRANGER, ("relay.contoso.example",), RELAY_BY_NAME, "someone@elsewhere.example"),
        (STRANGER, ("relay.contoso.example",), RELAY_BY_NAME, ""),
        (STRANGER, ("*.contoso.example",), {"tls_sender_certificate_name": "a.contoso.example"}, ""),
        (STRANGER, ("relay.isp.example",), {"tls_sender_certificate_name": "relay.isp.example"}, "x@contoso.example"),
    ],
)
def test_a_connector_that_recognises_the_client_lets_it_relay(
    emulator: Emulator, client: str, names: tuple[str, ...], connector: dict[str, object], sender: str
) -> None:
    emulator.control.patch({"connectors": {"office": connector}})
    talk = MxTalk(emulator, client)
    if names:
        talk.encrypt(*names)
    assert talk.deliver(sender, ("someone@example.net", "alice@contoso.example")).startswith("250 2.6.0 ")
    (record,) = emulator.store.messages()
    assert record.authentication == "connector:office"
    assert record.folders == ["external", "alice@contoso.example"]


@pytest.mark.parametrize(
    ("client", "names", "connector", "sender"),
    [
        (STRANGER, (), RELAY_BY_ADDRESS, "printer@contoso.example"),
        (OFFICE, (), RELAY_BY_ADDRESS, "someone@elsewhere.example"),
        (OFFICE, (), RELAY_BY_ADDRESS, ""),
        (OFFICE, (), {**RELAY_BY_ADDRESS, "enabled": False}, "printer@contoso.example"),
        (OFFICE, (), {**RELAY_BY_ADDRESS, "connector_type": "Partner"}, "printer@contoso.example"),
        (STRANGER, ("relay.elsewhere.example",), RELAY_BY_NAME, "printer@contoso.example"),
        (STRANGER, ("relay.isp.example",), {"tls_sender_certificate_name": "relay.isp.example"}, "x@elsewhere.example"),
    ],
)
def test_who_is_not_recognised_does_not_relay(
    emulator: Emulator, client: str, names: tuple[str, ...], connector: dict[str, object], sender: str
) -> None:
    emulator.control.patch({"connectors": {"office": connector}})
    talk = MxTalk(emulator, client)
    if names:
        talk.encrypt(*names)
    assert talk.ask(sender, "someone@example.net")[:9] in ("550 5.7.6", "550 5.4.1")


def test_the_certificate_is_looked_at_before_the_sender_and_the_sender_before_the_recipient(
    emulator: Emulator,
) -> None:
    other = {"id": "other", "name": "Fabrikam", "domains": ["fabrikam.example"]}
    emulator.control.patch(
        {
            "connectors": {"office": RELAY_BY_NAME},
            "others": {"fabrikam": {**other, "connectors": {"site": RELAY_BY_ADDRESS}}},
        }
    )
    talk = MxTalk(emulator, OFFICE).encrypt("relay.contoso.example")
    talk.deliver("a@fabrikam.example", ("someone@example.net",))
    assert emulator.store.messages()[0].authentication == "connector:office"
    talk = MxTalk(emulator, OFFICE)
    talk.deliver("a@fabrikam.example", ("alice@contoso.example",))
    assert emulator.store.messages()[0].authentication == "connector:site"


@pytest.mark.parametrize("network", ["203.0.0.0/23", "2001:db8::/64", "office", "203.0.113.0/33"])
def test_connectors_take_ipv4_addresses_and_ranges_up_to_24_bits(emulator: Emulator, network: str) -> None:
    with pytest.raises(TenantError, match=r"connectors\.office\.sender_ip_addresses"):
        emulator.control.patch({"connectors": {"office": {"sender_ip_addresses": [network]}}})


def test_recipients_of_two_tenants_do_not_share_a_transaction(emulator: Emulator) -> None:
    other = {"id": "other", "name": "Fabrikam", "domains": ["fabrikam.example"]}
    emulator.control.patch({"others": {"f": {**other, "mailboxes": {"x@fabrikam.example": {}}}}})
    talk = MxTalk(emulator)
    assert talk.ask("a@b.example", "alice@contoso.example", "x@fabrikam.example") == "452 4.5.3 Too many recipients"
    talk.say("RSET")
    assert talk.ask("a@b.example", "x@fabrikam.example", "alice@contoso.example").startswith("452 4.5.3 ")


def test_beyond_two_hundred_recipients_of_a_domain_the_rest_waits(emulator: Emulator) -> None:
    emulator.control.patch({"limits": {"mx_recipients_per_domain": 2}})
    names = [f"{name}@contoso.example" for name in ("alice", "bob", "shared")]
    assert MxTalk(emulator).ask("a@b.example", *names) == "452 4.5.3 Too many recipients"


def test_unknown_recipients_are_refused_at_the_edge_unless_the_domain_is_relayed_on(emulator: Emulator) -> None:
    talk = MxTalk(emulator)
    refused = talk.ask("a@b.example", "nobody@contoso.example")
    assert refused.startswith(f"550 5.4.1 Recipient address rejected: Access denied. AS(201806281) {SUFFIX}")
    assert talk.say("RCPT TO:<alice+tag@contoso.example>") == OK
    emulator.control.patch({"internal_relay_domains": ["contoso.example"]})
    assert talk.say("RCPT TO:<nobody@contoso.example>") == OK


def test_reject_direct_send_refuses_own_senders_that_no_connector_knows(emulator: Emulator) -> None:
    emulator.control.patch({"switches": {"reject_direct_send": True}})
    refused = MxTalk(emulator).ask("printer@contoso.example", "alice@contoso.example")
    assert refused.startswith(
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization "
        f"from unauthorized sources {SUFFIX}"
    )
    assert MxTalk(emulator).ask("someone@elsewhere.example", "alice@contoso.example") == OK
    assert MxTalk(emulator).ask("", "alice@contoso.example") == OK
    for kind in ("OnPremises", "Partner"):
        emulator.control.patch({"connectors": {"office": {**RELAY_BY_ADDRESS, "connector_type": kind}}})
        assert MxTalk(emulator, OFFICE).ask("printer@contoso.example", "alice@contoso.example") == OK


@pytest.mark.parametrize(
    ("restriction", "client", "names", "refused"),
    [
        ({"restrict_domains_to_ip_addresses": True, **RELAY_BY_ADDRESS}, STRANGER, (), True),
        ({"restrict_domains_to_ip_addresses": True, **RELAY_BY_ADDRESS}, OFFICE, (), False),
        (
            {"restrict_domains_to_certificate": True, "tls_sender_certificate_name": "mx.partner.example"},
            OFFICE,
            ("mx.other.example",),
            True,
        ),
        (
            {"restrict_domains_to_certificate": True, "tls_sender_certificate_name": "mx.partner.example"},
            STRANGER,
            ("mx.partner.example",),
            False,
        ),
    ],
)
def test_a_partner_connector_restricts_its_sender_domains(
    emulator: Emulator, restriction: dict[str, object], client: str, names: tuple[str, ...], refused: bool
) -> None:
    partner = {"connector_type": "Partner", "sender_domains": ["*.partner.example", "partner.example"], **restriction}
    emulator.control.patch({"connectors": {"partner": partner}})
    talk = MxTalk(emulator, client).encrypt(*names)
    reply = talk.ask("a@sub.partner.example", "alice@contoso.example")
    assert reply.startswith("550 5.7.51 TenantInboundAttribution; There is a partner connector") == refused
    talk.say("RSET")
    assert talk.ask("a@elsewhere.example", "alice@contoso.example") == OK


@pytest.mark.parametrize("kind", ["Partner", "OnPremises"])
def test_a_connector_may_require_tls(emulator: Emulator, kind: str) -> None:
    emulator.control.patch(
        {"connectors": {"office": {**RELAY_BY_ADDRESS, "connector_type": kind, "require_tls": True}}}
    )
    talk = MxTalk(emulator, OFFICE)
    refusal = "454 4.7.0 Failed to establish appropriate TLS channel: Access Denied"
    assert talk.ask("printer@contoso.example", "alice@contoso.example") == refusal
    talk.say("RSET")
    assert talk.encrypt().ask("printer@contoso.example", "alice@contoso.example") == OK


def test_a_compromised_connector_is_blocked(emulator: Emulator) -> None:
    emulator.control.patch({"connectors": {"office": {**RELAY_BY_ADDRESS, "blocked": True}}})
    reply = MxTalk(emulator, OFFICE).ask("printer@contoso.example", "alice@contoso.example")
    assert reply.startswith(f"550 5.7.711 Access denied, bad inbound connector. AS(2204) {SUFFIX}")


def test_a_banned_address_is_told_at_rcpt_not_earlier(emulator: Emulator) -> None:
    emulator.control.patch({"blocked_addresses": [STRANGER]})
    talk = MxTalk(emulator)
    assert talk.say("MAIL FROM:<a@b.example>") == "250 2.1.0 Sender OK"
    assert talk.say("RCPT TO:<alice@contoso.example>").startswith(
        f"550 5.7.606 Access denied, banned sending IP [{STRANGER}]. To request removal from this list please visit "
        "https://sender.office.com/ and follow the directions. For more information please go to  "
        f"http://go.microsoft.com/fwlink/?LinkID=526655 (AS16012609) {SUFFIX}"
    )


def test_mail_for_another_region_is_sent_elsewhere(emulator: Emulator) -> None:
    emulator.control.patch({"switches": {"region_mismatch": True}})
    reply = MxTalk(emulator).ask("a@b.example", "alice@contoso.example")
    assert reply.startswith(f"451 4.4.62 Mail sent to the wrong Office 365 region. {SUFFIX}")


def test_a_client_that_calls_itself_by_this_server_s_name_is_refused(emulator: Emulator) -> None:
    talk = MxTalk(emulator, hello="fr2deu01ft042.mail.protection.outlook.com")
    assert talk.say("MAIL FROM:<a@b.example>") == "550 5.7.506 Access Denied, Bad HELO"


def test_more_mail_than_an_address_is_trusted_with_has_to_wait(emulator: Emulator, clock: ManualClock) -> None:
    emulator.control.patch(
        {"limits": {"mx_messages_per_minute": 2}, "connectors": {"office": RELAY_BY_ADDRESS}},
    )
    talk = MxTalk(emulator)
    assert [talk.deliver()[:9], talk.deliver()[:9]] == ["250 2.6.0"] * 2
    refused = talk.ask("a@b.example", "alice@contoso.example")
    assert refused.startswith(f"451 4.7.500 Server busy. Please try again later from [{STRANGER}]. (AS761) {SUFFIX}")
    assert MxTalk(emulator, "198.51.100.10").ask("a@b.example", "alice@contoso.example") == OK
    office = MxTalk(emulator, OFFICE)
    for _ in range(4):
        assert office.deliver("p@contoso.example")[:9] == "250 2.6.0"


@pytest.mark.parametrize("client", ["2001:db8::7"])
def test_ipv6_needs_an_open_domain_a_name_and_proof(emulator: Emulator, client: str) -> None:
    def ask() -> str:
        return MxTalk(emulator, client).ask("a@b.example", "alice@contoso.example")

    assert ask() == "550 5.7.510 Access denied, [contoso.example] does not accept email over IPv6"
    emulator.control.patch({"switches": {"ipv6": True}})
    assert ask() == f"550 5.7.25 Access denied, the sending IPv6 address [{client}] must have a reverse DNS record"
    emulator.control.patch({"reverse_names": {client: "mail.b.example"}})
    assert MxTalk(emulator, client).deliver("a@b.example") == (
        f"450 4.7.26 Access denied, a message sent over IPv6 [{client}] must pass either SPF or DKIM validation, "
        "this message is not signed"
    )
    emulator.control.patch({"outside": {"b.example": {"spf": ["2001:db8::/64"]}}})
    assert MxTalk(emulator, client).deliver("a@b.example").startswith("250 2.6.0 ")


SIGNED = b"DKIM-Signature: v=1; a=rsa-sha256; d=mail.bank.example; s=one; b=xyz\r\n"


@pytest.mark.parametrize(
    ("outside", "fields", "sender", "passes"),
    [
        ({"bank.example": {"dmarc": "reject"}}, b"", "a@bank.example", False),
        ({"bank.example": {"dmarc": "quarantine"}}, b"", "a@bank.example", True),
        ({"bank.example": {"dmarc": "reject", "spf": ["198.51.100.0/24"]}}, b"", "a@bank.example", True),
        ({"bank.example": {"dmarc": "reject", "spf": ["192.0.2.0/24"]}}, b"", "a@bank.example", False),
        ({"bank.example": {"dmarc": "reject"}, "b.example": {"spf": [STRANGER]}}, b"", "a@b.example", False),
        ({"bank.example": {"dmarc": "reject"}, "mail.bank.example": {"dkim": ["one"]}}, SIGNED, "", True),
        ({"bank.example": {"dmarc": "reject"}, "mail.bank.example": {"dkim": ["two"]}}, SIGNED, "", False),
        ({"bank.example": {"dmarc": "reject", "dkim": ["*"]}}, SIGNED, "", False),
    ],
)
def test_dmarc_is_honoured(
    emulator: Emulator, outside: dict[str, object], fields: bytes, sender: str, passes: bool
) -> None:
    emulator.control.patch({"outside": outside})
    content = fields + b"From: Bank <teller@bank.example>\r\n\r\nHello\r\n"
    reply = MxTalk(emulator).deliver(sender, content=content)
    if passes:
        assert reply.startswith("250 2.6.0 ")
    else:
        assert reply.startswith(
            "550 5.7.509 Access denied, sending domain [BANK.EXAMPLE] does not pass DMARC verification "
            f"and has a DMARC policy of reject. {SUFFIX}"
        )


def test_the_policy_of_a_domain_counts_below_it_and_can_be_left_unheard(emulator: Emulator) -> None:
    emulator.control.patch({"outside": {"bank.example": {"dmarc": "reject"}}})
    content = b"From: teller@news.bank.example\r\n\r\nHello\r\n"
    assert "[NEWS.BANK.EXAMPLE]" in MxTalk(emulator).deliver(content=content)
    emulator.control.patch({"switches": {"honor_dmarc": False}})
    assert MxTalk(emulator).deliver(content=content).startswith("250 2.6.0 ")


def test_a_message_that_came_through_too_many_servers_is_in_a_loop(emulator: Emulator) -> None:
    hop = b"Received: from a.example by b.example; Sun, 23 Nov 2025 12:00:00 +0000\r\n"
    assert MxTalk(emulator).deliver(content=hop * 30 + CONTENT).startswith("250 2.6.0 ")
    reply = MxTalk(emulator).deliver(content=hop * 31 + CONTENT)
    assert reply.startswith(f"554 5.4.14 Hop count exceeded - possible mail loop ATTR34 {SUFFIX}")


@pytest.mark.parametrize("content", [b"Subject: no author\r\n\r\n", b"From: The printer\r\n\r\n", b"\r\nbody\r\n"])
def test_a_message_needs_an_author(emulator: Emulator, content: bytes) -> None:
    assert MxTalk(emulator).deliver(content=content) == (
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant"
    )


def test_a_message_in_parts_is_not_put_together(emulator: Emulator) -> None:
    content = b"Content-Type: message/partial; id=1; number=1\r\n" + CONTENT
    assert MxTalk(emulator).deliver(content=content) == ("554 5.6.1 Messages of type message/partial are not supported")


def test_the_size_that_is_advertised_is_the_limit(emulator: Emulator) -> None:
    emulator.control.patch({"limits": {"advertised_octets": 500}})
    refusal = "552 5.3.4 Message size exceeds fixed maximum message size"
    assert MxTalk(emulator).deliver(content=CONTENT + b"x" * 500 + b"\r\n") == refusal
    assert MxTalk(emulator).say("MAIL FROM:<a@b.example> SIZE=501") == refusal


def test_chunks_are_taken_here_as_well(emulator: Emulator) -> None:
    talk = MxTalk(emulator)
    assert talk.ask("a@b.example", "alice@contoso.example") == OK
    reply = talk.send(f"BDAT {len(CONTENT)} LAST\r\n".encode() + CONTENT)
    assert reply[-1].startswith("250 2.6.0 <m@elsewhere.example> [InternalId=")
