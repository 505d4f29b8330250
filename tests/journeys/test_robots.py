"""Too much automatic mail is held for a person, at any worker; people's mail never is (RULES 2A.5)."""

from collections.abc import Iterator
from itertools import count

import pytest

from journeys.companies import company
from journeys.letters import Desk, open_desk, support_address
from journeys.relay import mail
from smtp_sink import Received

SUPPORT, ALL = "support@desk.test", "all-support@desk.test"
_number = count()
_COMPANIES = [company(f"acme{n}", f"acme{n}.example", [("deal", "open", [f"own{n}@staff.test"])]) for n in range(9)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    config = {"addresses": [support_address("support")], "workers": 2, "robots": {"same": ["2/30m"]}}
    with open_desk(tmp_path_factory.mktemp("robots"), config, _COMPANIES) as desk:
        yield desk


def robots_mail(sender: str, subject: str, *, body: str, **headers: str) -> bytes:
    return mail(
        sender=sender,
        to=SUPPORT,
        subject=subject,
        message_id=f"<robot.{next(_number)}@mail.example>",
        body=body,
        headers={"Auto-Submitted": "auto-generated"} | headers,
    )


def send(desk: Desk, sender: str, times: int, *, body: str = "number {n}", **headers: str) -> list[list[Received]]:
    return [
        desk.post(robots_mail(sender, f"alarm {n}", body=body.format(n=n), **headers), sender, SUPPORT)
        for n in range(times)
    ]


def held(desk: Desk, sender: str) -> list[str]:
    return [m["queue_id"] for m in desk.relay.ask("queue.list") if m["reverse_path"] == sender]


def test_a_robot_that_writes_all_the_time_is_held_and_released_by_hand(desk: Desk) -> None:
    sender = "bot@acme0.example"

    arrived = send(desk, sender, 12)

    assert [len(one) for one in arrived] == [1] * 10 + [0, 0]
    first, second = held(desk, sender)
    life = desk.relay.ask("queue.show", queue_id=second)
    assert life["state"] == "held"
    assert "disposition.too_much_automatic" in [reason["code"] for reason in life["decision"]["reasons"]]
    assert any("rate" in c["why"].get("why", "") for c in life["changes"] if c["what"] == "message.held")

    before = len(desk.sink.messages)
    desk.relay.ask("queue.release", queue_id=first)
    desk.relay.settle()
    assert [one.recipients for one in desk.sink.messages[before:]] == [("own0@staff.test",)]
    assert held(desk, sender) == [second]


def test_the_same_mail_again_and_again_is_held_sooner(desk: Desk) -> None:
    sender = "bot@acme1.example"
    arrived = [desk.post(robots_mail(sender, "alarm", body="The disk is full."), sender, SUPPORT) for _ in range(5)]

    assert [len(one) for one in arrived] == [1, 1, 0, 0, 0]  # as this desk wants it


def test_people_are_never_held_for_writing_much(desk: Desk) -> None:
    sender = "ann@acme2.example"

    arrived = send(desk, sender, 13, **{"Auto-Submitted": "no"})

    assert [len(one) for one in arrived] == [1] * 13


def test_people_of_a_robots_company_are_heard_while_it_is_held(desk: Desk) -> None:
    send(desk, "bot@acme3.example", 11)

    assert len(send(desk, "ann@acme3.example", 1, **{"Auto-Submitted": "no"})[0]) == 1


def test_another_help_desk_answers_as_many_tickets_as_it_likes(desk: Desk) -> None:
    """It has one address for all of them, and people write what it sends."""
    sender = "helpdesk@acme5.example"

    for n in range(13):
        id_ = f"<many.tickets.{n}@mail.example>"
        ask = mail(sender="ann@acme5.example", to=SUPPORT, subject=f"case {n} of many", message_id=id_)
        desk.post(ask, "ann@acme5.example", SUPPORT)
        answer = robots_mail(sender, f"Re: case {n} of many", body=f"It is {n}.", **{"In-Reply-To": id_})
        assert len(desk.post(answer, sender, SUPPORT)) == 1


def test_a_robot_in_a_ticket_is_held_whichever_address_it_answers_from(desk: Desk) -> None:
    """Two help desks that answer each other: the other side's addresses change, the ticket does not (RULES 2A)."""
    first = mail(
        sender="ann@acme4.example", to=SUPPORT, subject="two help desks", message_id=(id_ := "<two.desks@mail.example>")
    )
    desk.post(first, "ann@acme4.example", SUPPORT)

    for n in range(12):
        sender = f"case{n}@acme4.example"
        octets = robots_mail(sender, "Re: two help desks", body=f"We got it, {n}.", **{"In-Reply-To": id_})
        desk.post(octets, sender, SUPPORT)

    assert desk.ticket("two help desks")["messages"] == 11
    assert sum(bool(held(desk, f"case{n}@acme4.example")) for n in range(12)) == 2
