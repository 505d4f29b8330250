"""Every row of DESIGN section 2, through the running daemon with the builtin CRM (the rows: `desk_rows`)."""

from typing import Any

import pytest

from journeys.desk_rows import ALL, ROWS, SUPPORT, Row, play
from journeys.relay import Relay, mail
from smtp_sink import ThreadedSink


class Builtin:
    """Companies, deals and tickets in the relay's own store."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    def set_owners(self, deal: str, owners: tuple[str, ...]) -> None:
        self.relay.run("crm", "owners", deal, *owners)

    def settle(self) -> None:
        self.relay.settle()

    def check(self, tickets: list[dict[str, Any]]) -> None:
        """The relay's own board is the board."""


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_row_of_the_desk(row: Row, relay: Relay, sink: ThreadedSink) -> None:
    play(row, Builtin(relay), sink)


def test_a_fifth_owner_is_refused(relay: Relay) -> None:
    people = [f"{name}@staff.test" for name in ("ann", "ben", "cho", "dan", "eve")]
    answer = relay.run("crm", "owners", "five", *people, expect=1)
    assert "four" in answer.err or "4" in answer.err


def test_an_absent_owner_gives_way_to_allmember(relay: Relay, sink: ThreadedSink) -> None:
    relay.run("absent", "eve@staff.test", "--until", "2099-01-01")
    before = len(sink.messages)
    octets = mail(sender="a@absent.example", to=SUPPORT, subject="is anybody there", message_id="<abs1@mail.example>")
    relay.send(octets, "a@absent.example", [SUPPORT])
    relay.settle()
    assert [m.recipients for m in sink.messages[before:]] == [(ALL,)]
    relay.run("absent", "eve@staff.test", "--back")
    before = len(sink.messages)
    octets = mail(sender="a@absent.example", to=SUPPORT, subject="and now", message_id="<abs2@mail.example>")
    relay.send(octets, "a@absent.example", [SUPPORT])
    relay.settle()
    assert [m.recipients for m in sink.messages[before:]] == [("eve@staff.test",)]
