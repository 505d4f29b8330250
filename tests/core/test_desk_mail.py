"""A mail as the outside desk shall have it."""

from dataclasses import replace

import pytest

from contracts.store_samples import T0
from core.desk_samples import CUSTOMER, SUPPORT, mail
from supportrelay.core.crm_ports import ClaimedDeskTicket, DeskWork
from supportrelay.core.desk_mail import desk_mail, desk_opening, opening_stage
from supportrelay.core.reading import attachment_sizes
from supportrelay.core.ticket import Stage

WORK = DeskWork(1, "q1", T0, Stage.NEW, records=True, moves=True, direction="inbound")
CLAIMED = ClaimedDeskTicket(
    ticket_id=12,
    key="ab" * 32,
    external_id="",
    is_begun=False,
    written_stage_id="",
    written_at=None,
    stage=Stage.CLOSED,
    subject="Line 3 is down",
    customer=CUSTOMER,
    company_id="1,2",
    deal_id="10,11",
    owners=("ann@staff.test",),
    priority="high",
    address="support",
    work=(WORK,),
)


def test_a_ticket_is_made_where_its_first_work_wants_it() -> None:
    assert opening_stage(CLAIMED) == Stage.NEW, "the mirror is ahead"
    assert opening_stage(replace(CLAIMED, work=(replace(WORK, moves=False, stage=None),))) == Stage.CLOSED
    assert opening_stage(replace(CLAIMED, work=(), stage=Stage.WAITING)) == Stage.WAITING
    assert opening_stage(replace(CLAIMED, work=(), stage=Stage.OTHER)) == Stage.NEW, "nobody can be put there"


def test_a_ticket_begins_with_the_first_mails_own_words() -> None:
    facts = mail(f"Kunde <{CUSTOMER}>", body="Please help.\r\n\r\n> quoted\r\n" + "")

    opening = desk_opening(CLAIMED, facts, has_directory_ids=True)
    assert (opening.text, opening.customer_name, opening.label) == ("Please help.", "Kunde", "SR-12")
    assert (opening.company_id, opening.deal_ids) == ("1", ("10", "11"))
    assert len(desk_opening(CLAIMED, mail(body="x" * 9000), has_directory_ids=True).text) == 2000
    only_quoted = desk_opening(CLAIMED, mail(body="> quoted\r\n"), has_directory_ids=True)
    assert only_quoted.text == "> quoted"
    nothing = desk_opening(CLAIMED, None, has_directory_ids=False)
    assert (nothing.text, nothing.customer_name, nothing.company_id, nothing.deal_ids) == ("", "", "", ())


@pytest.mark.parametrize(
    ("direction", "is_inbound"),
    [
        ("inbound", True),
        ("unproven", True),
        ("automatic", True),
        ("report", True),
        ("outbound", False),
        ("note", False),
    ],
)
def test_whose_side_a_mail_is_from(direction: str, is_inbound: bool) -> None:
    logged = desk_mail(replace(WORK, direction=direction), mail(cc="Bob <bob@x.example>"), (), CUSTOMER)

    assert logged.is_inbound == is_inbound
    assert (logged.at, logged.customer, logged.text.strip()) == (T0, CUSTOMER, "Please help.")
    assert (logged.from_, logged.to, logged.cc) == (
        ((CUSTOMER, ""),),
        ((SUPPORT, ""),),
        (("bob@x.example", "Bob"),),
    )


SEVERAL = (
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nSee.\r\n'
    b"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\nAwQ=\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\n\r\n12345678\r\n--b--\r\n"
)


def test_attachments_have_names_and_sizes() -> None:
    assert attachment_sizes(SEVERAL) == (("a.pdf", 5), ("", 8))
    assert attachment_sizes(b"Subject: x\r\n\r\nhello\r\n") == ()


@pytest.mark.parametrize("cut", range(0, len(SEVERAL), 7))
def test_sizes_of_a_mail_that_was_cut_off_raise_nothing(cut: int) -> None:
    assert all(size >= 0 for _, size in attachment_sizes(SEVERAL[:cut]))
