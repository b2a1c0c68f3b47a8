"""Leases of one line take turns by who brought them: the device, under the name that it gave."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.deliver.jobs import message

from posthouse.mail.ids import MessageId
from posthouse.mail.message import Lease, Waiting
from posthouse.mail.session import Principal, PrincipalKind
from posthouse.queue.lines import FairLeases

NETWORK = Principal(PrincipalKind.INBOUND_CONNECTOR, "office")


def lease(number: int, ip: str, sender: str = "scans@contoso.example") -> Lease:
    letter = message(sender=sender)
    letter = replace(letter, id=MessageId(number), session=replace(letter.session, peer_ip=ip, principal=NETWORK))
    waiting = (Waiting(0, letter.envelope.recipients[0]),)
    return Lease(message=letter, hop="m365", waiting=waiting, until=letter.expires_at)


def taken(leases: FairLeases) -> list[int]:
    return [leases.popleft().message.id for _ in range(len(leases))]


def test_devices_of_one_network_with_one_sender_take_turns() -> None:
    leases = FairLeases()
    for number in range(3):
        leases.append(lease(number, "192.0.2.1"))
    leases.append(lease(10, "192.0.2.2"))
    assert taken(leases) == [0, 10, 1, 2]


def test_programs_on_one_machine_take_turns_by_their_sender() -> None:
    leases = FairLeases()
    for number in range(2):
        leases.append(lease(number, "192.0.2.1", "shop@contoso.example"))
    leases.append(lease(10, "192.0.2.1", "alarm@contoso.example"))
    assert taken(leases) == [0, 10, 1]


def test_what_is_put_back_is_the_next_one() -> None:
    leases = FairLeases()
    for number, ip in ((0, "192.0.2.1"), (1, "192.0.2.1"), (10, "192.0.2.2")):
        leases.append(lease(number, ip))
    leases.appendleft(leases.popleft())
    assert taken(leases) == [0, 10, 1]
