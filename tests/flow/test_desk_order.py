"""What a settlement asks of the outside desk."""

from dataclasses import replace
from pathlib import Path

import pytest

from flow.desk_samples import NOW, SUPPORT, an_answer, decide, rulebook_of
from supportrelay.core.directory import DirectoryAnswer
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.ports import DeskOrder, Settlement
from supportrelay.core.ticket import Stage
from supportrelay.core.token import sign_probe
from supportrelay.flow.examples import _office
from supportrelay.flow.office import Rulebook
from supportrelay.flow.settlement import settlement_of


class Directory:
    """Everybody is Acme's."""

    async def find(self, customer: Mailbox) -> DirectoryAnswer:
        return an_answer()

    async def deal(self, deal_id: str) -> None:
        return None

    async def owners(self) -> frozenset[str]:
        return frozenset()


@pytest.fixture
def rulebook(tmp_path: Path) -> Rulebook:
    return rulebook_of(tmp_path, Directory())


def at_desk(book: Rulebook, log: str, kind: str = "hubspot") -> Rulebook:
    return replace(book, desk=replace(book.desk, desk_kind=kind, desk_log=log))


async def settlement(book: Rulebook, **mail: str) -> Settlement:
    office = _office(book, NOW)
    assigned = await decide(book, **mail)  # type: ignore[arg-type]
    return settlement_of(office, book, assigned, queue_id="q", lease=office.lease(), now=NOW)


INBOUND = {"sender": "bob@acme.example"}
OUTBOUND = {"sender": "zoe@desk.test", "to": "bob@acme.example", "cc": SUPPORT}
NOTE = {"sender": "zoe@desk.test"}
BCC = {"sender": "zoe@desk.test", "to": "bob@acme.example"}
ABSENCE = {"sender": "bob@acme.example", "fields": "Auto-Submitted: auto-replied\r\n"}


@pytest.mark.parametrize(
    ("mail", "log", "order"),
    [
        pytest.param(INBOUND, "all", DeskOrder(Stage.NEW, True), id="inbound"),
        pytest.param(INBOUND, "inbound", DeskOrder(Stage.NEW, True), id="inbound-of-inbound"),
        pytest.param(INBOUND, "none", DeskOrder(Stage.NEW, False), id="inbound-not-logged"),
        pytest.param(OUTBOUND, "all", DeskOrder(Stage.CLOSED, True), id="outbound"),
        pytest.param(OUTBOUND, "inbound", DeskOrder(Stage.CLOSED, False), id="outbound-of-inbound"),
        pytest.param(NOTE, "inbound", DeskOrder(Stage.NEW, False), id="a-note-opens"),
        pytest.param(BCC, "all", None, id="no-ticket-no-order"),
        pytest.param(ABSENCE, "all", None, id="automatic-mail-opens-nothing"),
    ],
)
async def test_what_a_mail_asks_of_the_desk(
    rulebook: Rulebook, mail: dict[str, str], log: str, order: DeskOrder | None
) -> None:
    made = await settlement(at_desk(rulebook, log), **mail)

    assert made.desk == order
    assert made.accepted_at == NOW
    assert (await settlement(at_desk(rulebook, log, "builtin"), **mail)).desk is None


async def test_a_probe_leaves_no_trace_there(rulebook: Rulebook) -> None:
    office = _office(rulebook, NOW)
    mark = sign_probe(office.keys[0], "it@desk.test", int(NOW.timestamp() // 86400))

    probe = await settlement(at_desk(rulebook, "all"), fields=f"X-Supportrelay-Probe: {mark}\r\n")

    assert [one.recipient for one in probe.deliveries] == ["it@desk.test"]
    assert (probe.opening is not None, probe.desk) == (True, None)
    forged = await settlement(at_desk(rulebook, "all"), fields="X-Supportrelay-Probe: 1; a@b; 00\r\n")
    assert forged.desk is not None
