"""Who is let in, and to whom they may send."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from posthouse.decide.flow import Flow
from posthouse.decide.openrelay import open_relay_problems
from posthouse.decide.policy import Policy
from posthouse.mail.address import Address
from posthouse.mail.verdict import Accept, Refuse

FLOW = Flow.model_validate(
    {
        "domain": [{"name": "ours.example"}],
        "outbound": [{"name": "out", "kind": "smarthost", "hosts": ["127.0.0.1"]}],
        "inbound": [
            {"name": "office", "networks": ["192.168.0.0/16"], "recipients": "any"},
            {"name": "printer", "networks": ["192.168.7.9/32"], "senders": ["scan@ours.example"]},
            {"name": "six", "networks": ["fd00::/8"]},
            {"name": "partner", "certificates": ["mail.partner.example"], "senders": ["@partner.example"]},
            {"name": "night", "networks": ["10.0.0.0/8"], "listeners": ["night"]},
        ],
    }
)
POLICY = Policy(FLOW)


def who(ip: str, names: tuple[str, ...] = (), listener: str = "smtp") -> str | None:
    rights = POLICY.rights_for(ip, names, listener)
    return rights.principal.name if rights else None


def test_the_most_specific_network_names_the_connector() -> None:
    assert who("192.168.1.1") == "office"
    assert who("192.168.7.9") == "printer"
    assert who("fd00::1") == "six"


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_client() -> None:
    assert who("::ffff:192.168.7.9") == "printer"


def test_a_certificate_comes_before_a_network_and_may_be_a_wildcard() -> None:
    assert who("192.168.1.1", ("mail.partner.example",)) == "partner"
    assert who("203.0.113.1", ("*.partner.example",)) == "partner"
    assert who("203.0.113.1", ("*.mail.partner.example",)) is None


def test_a_connector_bound_to_a_listener_is_closed_on_others() -> None:
    assert who("10.1.1.1") is None
    assert who("10.1.1.1", listener="night") == "night"


def test_a_stranger_may_neither_send_nor_relay() -> None:
    assert who("203.0.113.1") is None
    sender, recipient = Address.parse("a@ours.example"), Address.parse("b@ours.example")
    assert isinstance(POLICY.judge_sender(None, sender), Refuse)
    assert isinstance(POLICY.judge_recipient(None, recipient), Refuse)


def test_internal_only_means_accepted_domains_only() -> None:
    printer = POLICY.rights_for("192.168.7.9", (), "smtp")
    assert isinstance(POLICY.judge_recipient(printer, Address.parse("x@ours.example")), Accept)
    refusal = POLICY.judge_recipient(printer, Address.parse("x@world.example"))
    assert isinstance(refusal, Refuse)
    assert "world.example" in refusal.reason
    assert "world.example" not in refusal.reply.text, "what the peer reads is generic"


def test_a_sender_must_be_allowed() -> None:
    printer = POLICY.rights_for("192.168.7.9", (), "smtp")
    assert isinstance(POLICY.judge_sender(printer, Address.parse("SCAN@ours.example")), Accept)
    assert isinstance(POLICY.judge_sender(printer, Address.parse("boss@ours.example")), Refuse)
    partner = POLICY.rights_for("203.0.113.1", ("mail.partner.example",), "smtp")
    assert isinstance(POLICY.judge_sender(partner, Address.parse("anyone@partner.example")), Accept)
    assert isinstance(POLICY.judge_sender(partner, Address.parse("anyone@sub.partner.example")), Refuse)


def relay_flow(*networks: str, recipients: str = "any") -> Flow:
    return Flow.model_validate(
        {"inbound": [{"name": f"n{i}", "networks": [n], "recipients": recipients} for i, n in enumerate(networks)]}
    )


@pytest.mark.parametrize(
    "networks",
    [
        ("0.0.0.0/0",),
        ("0.0.0.0/1", "128.0.0.0/1"),
        ("::/0",),
        ("2000::/3",),
        ("8.0.0.0/8",),
        tuple(f"{n}.0.0.0/16" for n in (5, 6)),
    ],
)
def test_a_flow_that_lets_the_world_relay_is_found_however_it_is_cut(networks: tuple[str, ...]) -> None:
    assert open_relay_problems(relay_flow(*networks))


@pytest.mark.parametrize(
    "networks", [("127.0.0.0/8",), ("10.0.0.0/8", "192.168.0.0/16", "fd00::/8"), ("5.6.0.0/16",), ("2001:db8::/32",)]
)
def test_private_and_small_networks_may_relay(networks: tuple[str, ...]) -> None:
    assert open_relay_problems(relay_flow(*networks)) == []


def test_the_world_may_be_let_in_for_accepted_domains() -> None:
    assert open_relay_problems(relay_flow("0.0.0.0/0", "::/0", recipients="internal")) == []


def test_a_secret_in_the_flow_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        Flow.model_validate(
            {
                "outbound": [
                    {
                        "name": "o",
                        "kind": "smarthost",
                        "hosts": ["h"],
                        "auth": {"username": "u", "password": "hunter2-in-plain"},
                    }
                ]
            }
        )
    assert "expected a reference" in str(caught.value)


def test_all_wrong_names_in_a_flow_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Flow.model_validate(
            {
                "outbound": [{"name": "o", "kind": "mx"}, {"name": "o", "kind": "mx"}],
                "route": [{"name": "r", "connectors": ["nowhere"]}],
            }
        )
    assert "'o' is defined twice" in str(caught.value)
    assert "'nowhere', which does not exist" in str(caught.value)


def with_tenant(*names: str) -> Flow:
    return Flow.model_validate(
        {
            "identity": [
                {
                    "name": "app",
                    "kind": "client_secret",
                    "tenant": "Contoso.example",
                    "client_id": "c",
                    "client_secret": "env:S",
                }
            ],
            "tenant": [{"name": name, "external_recipients_per_day": 500} for name in names],
            "outbound": [{"name": "out", "kind": "submission", "identity": "app", "mailboxes": "a@contoso.example"}],
        }
    )


def test_the_limit_of_a_tenant_counts_however_its_name_is_written() -> None:
    way = Policy(with_tenant("contoso.EXAMPLE")).ways["out"]
    assert (way.tenant, way.external_per_day) == ("contoso.example", 500)


@pytest.mark.parametrize("names", [("fabrikam.example",), ("contoso.example", "Contoso.Example")])
def test_a_limit_that_would_count_for_nothing_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match=r"counts for nothing|defined twice"):
        with_tenant(*names)
