"""Every case of the folder, through the running relay: what it is, whose it is, where it goes, how the copy looks."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from cases.case_desk import Player
from cases.case_files import HERE, Case, read_case
from journeys.companies import company
from journeys.letters import Desk, open_desk, support_address
from journeys.relay import GATEWAY, free_port

CASES = [read_case(path) for path in sorted(HERE.glob("*.txt"))]

# The list of cases of the rules of mail, word for word; each is in one file at least.
ITEMS = (
    "Auto-Submitted: no",
    "Auto-Submitted: auto-replied (vacation)",
    "Precedence: List with capitals",
    "Google Group customer",
    "Exchange out-of-office without header, German and Japanese subjects",
    "bounce of a bounce",
    "NDR for an owner's copy",
    "delayed DSN",
    "DSN with two recipients, one failed",
    "DSN in ISO-2022-JP from a carrier",
    "MDN",
    "ARF",
    "mail without Message-ID twice",
    "Jira same id other body",
    "one mail to support@ To and sales@ Cc by two SMTP sessions",
    "staff mail arriving again through a group",
    "Message-ID of 82 characters in folded References",
    "reply two steps below a mail we never saw, from two people",
    "`[SR-1234]` from a stranger",
    "newsletter with In-Reply-To",
    "subject edited, same References",
    "closed 2 days / 200 days ago",
    "Reply-To list longer than 20",
    'From display name holding `"support@own" <evil@x>`',
    "two From headers",
    "own domain From with dmarc=fail",
    "forged Authentication-Results",
    "forged trail header",
    "support@ in To and Cc",
    "support@ in Bcc only",
    "owner answers only support@",
    "owner's auto-forward rule back to support@",
    "owner is in To already",
    "four owners, one bouncing",
    "owner on holiday until 8月20日",
    "customer in two companies",
    "gmail customer",
    "`abc..def.@docomo.ne.jp`",
    "body ISO-2022-JP with ①㈱",
    "Shift_JIS base64",
    "quoted-printable with LF only",
    "20 000-character HTML line",
    "S/MIME signed, PGP/MIME signed, encrypted",
    "calendar REQUEST and REPLY",
    "winmail.dat",
    "eml attached",
    "only-pdf mail",
    "empty body",
    "600 recipients",
    "45 MB",
    "banner quoted three levels deep, re-wrapped, HTML-escaped",
    "inline answers",
    "`2020/01/07 9:55、HubSpotReflectle <hubspot@reflectle.jp>のメール:`",
    "SMTPUTF8 sender",
    "CRM down",
    'CRM answers "two companies for this domain"',
)

CONFIG: dict[str, Any] = {
    "addresses": [
        support_address("support", aliases=["help@desk.test"], form_senders=["form@webforms.example"]),
        support_address("sales", language="en"),
    ],
    "gateways": [{"networks": [GATEWAY], "authserv_id": "gw.test"}],
}


def companies_of(case: Case) -> Iterator[dict[str, Any]]:
    for number, (domain, owners) in enumerate(case.companies):
        name = f"{domain.partition('.')[0]}{number or ''}"
        contacts = {"contacts": [domain]} if "@" in domain else {}
        made = company(name, domain, [("deal", "open", owners)], **contacts)
        yield made | ({"domains": []} if contacts else {})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    companies = list(chain.from_iterable(companies_of(case) for case in CASES))
    with open_desk(tmp_path_factory.mktemp("cases"), CONFIG, companies) as desk:
        yield desk


@pytest.fixture(scope="module")
def without_crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose CRM answers nobody: there is no such port."""
    directory = {"kind": "hubspot", "token": "none", "base_url": f"http://127.0.0.1:{free_port()}"}
    config = CONFIG | {"workers": 1, "crm": {"max_wait": "1s", "directory": directory}}
    with open_desk(tmp_path_factory.mktemp("without"), config, []) as desk:
        yield desk


def test_every_item_has_a_case() -> None:
    covered = {item for case in CASES for item in case.covers}

    assert [item for item in ITEMS if item not in covered] == []
    assert covered <= set(ITEMS), "a case names an item that is not in the list"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_case(case: Case, request: pytest.FixtureRequest) -> None:
    desk = request.getfixturevalue(case.desk.replace(" ", "_") or "desk")
    wrong = Player(desk, case).play()
    assert not wrong, f"{case.title}\n" + "\n".join(wrong)
