"""Routes are chosen in Exchange's order: address, exact domain, accepted domains, ``*.domain``, ``*``."""

from __future__ import annotations

import pytest

from posthouse.decide.flow import AcceptedDomain, Flow, RouteSettings
from posthouse.decide.outbound import Mx, Smarthost
from posthouse.decide.routing import Router
from posthouse.mail.address import Address
from posthouse.mail.route import NoRoute, Route


def smarthost(name: str) -> Smarthost:
    return Smarthost(name=name, hosts=("127.0.0.1",))


def route(name: str, *recipients: str, connectors: tuple[str, ...] = (), **conditions: object) -> RouteSettings:
    return RouteSettings(name=name, recipients=recipients, connectors=connectors or (name,), **conditions)  # type: ignore[arg-type]


FLOW = Flow(
    domain=(AcceptedDomain(name="ours.example"), AcceptedDomain(name="group.example", subdomains=True)),
    outbound=tuple(
        smarthost(n) for n in ("all", "accepted", "suffix", "long-suffix", "exact", "address", "big", "boss")
    ),
    route=(
        route("all", "*"),
        route("suffix", "*.example.net"),
        route("long-suffix", "*.deep.example.net"),
        route("accepted", "accepted"),
        route("big", "partner.example", larger_than=1000),
        route("exact", "partner.example", "ours.example"),
        route("address", "vip@ours.example"),
        route("boss", "special.example", senders=("boss@ours.example",)),
    ),
)


def where(recipient: str, sender: str | None = "a@ours.example", inbound: str = "", size: int = 10) -> str:
    answer = Router(FLOW).route(Address.parse(sender) if sender else None, Address.parse(recipient), inbound, size)
    return answer.name if isinstance(answer, Route) else "none"


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("vip@ours.example", "address"),
        ("VIP@ours.example", "address"),
        ("bob@ours.example", "exact"),
        ("bob@partner.example", "exact"),
        ("bob@group.example", "accepted"),
        ("bob@sales.group.example", "accepted"),
        ("bob@a.example.net", "suffix"),
        ("bob@a.deep.example.net", "long-suffix"),
        ("bob@example.net", "all"),
        ("bob@elsewhere.example", "all"),
    ],
)
def test_the_most_specific_recipient_condition_wins(recipient: str, expected: str) -> None:
    assert where(recipient) == expected


def test_a_route_whose_other_conditions_do_not_hold_is_passed_over() -> None:
    assert where("bob@partner.example", size=5000) == "big"
    assert where("bob@partner.example", size=1000) == "exact"
    assert where("x@special.example", sender="boss@ours.example") == "boss"
    assert where("x@special.example", sender="clerk@ours.example") == "all"
    assert where("x@special.example", sender=None) == "all"


def test_a_route_for_one_inbound_connector_is_closed_to_others() -> None:
    flow = Flow(
        outbound=(smarthost("a"),), route=(route("printers-only", "*", connectors=("a",), inbound=("printers",)),)
    )
    recipient = Address.parse("x@y.example")
    assert isinstance(Router(flow).route(None, recipient, "printers", 1), Route)
    answer = Router(flow).route(None, recipient, "web", 1)
    assert isinstance(answer, NoRoute)
    assert "x@y.example" in answer.reason


def test_the_only_connector_carries_everything_when_there_are_no_routes() -> None:
    answer = Router(Flow(outbound=(smarthost("only"),))).route(None, Address.parse("a@b.example"), "", 1)
    assert isinstance(answer, Route)
    assert (answer.connectors, answer.hop) == (("only",), "only")


def test_mx_delivery_has_a_waiting_line_for_each_domain() -> None:
    router = Router(Flow(outbound=(Mx(name="internet"),)))
    hops = {router.route(None, Address.parse(f"x@{d}"), "", 1).hop for d in ("a.example", "b.example")}  # type: ignore[union-attr]
    assert hops == {"internet/a.example", "internet/b.example"}


def test_a_list_of_connectors_waits_in_a_line_of_its_own() -> None:
    flow = Flow(
        outbound=(smarthost("first"), smarthost("second")),
        route=(route("pair", "a.example", connectors=("first", "second")), route("single", "*", connectors=("first",))),
    )
    pair = Router(flow).route(None, Address.parse("x@a.example"), "", 1)
    single = Router(flow).route(None, Address.parse("x@b.example"), "", 1)
    assert isinstance(pair, Route)
    assert isinstance(single, Route)
    assert pair.connectors == ("first", "second")
    assert pair.hop != single.hop
