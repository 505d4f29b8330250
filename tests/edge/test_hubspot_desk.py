"""HubSpot's board: what is written there, call by call, and what happens when it says no."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.desk_boards import SETTINGS, HubSpotBoard, a_mail, an_opening, hubspot_desk, running_double
from edge.gate_fake import GateFake
from edge.http_stub import Asked, HttpStub, say
from edge.hubspot_samples import T0, an_account
from hubspot_double.process import HubSpotDouble
from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.core.outside import Mover
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.contacts import ContactIds, Contacts
from supportrelay.edge.crm.hubspot.desk import HubSpotDesk
from supportrelay.edge.crm.hubspot.mails import LONGEST_TEXT
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.tickets import TicketReading, mover
from supportrelay.i18n import Catalogue

ACME = {
    "name": "Acme",
    "domain": "acme.example",
    "contacts": ["taro@acme.example"],
    "deals": [{"name": "Big one", "stage": "open"}, {"name": "Small one", "stage": "open"}],
}


@pytest.fixture(scope="module")
def double() -> Iterator[HubSpotDouble]:
    with running_double() as started:
        yield started


@pytest.fixture(scope="module")
def ids(double: HubSpotDouble) -> dict[str, dict[str, str]]:
    return double.seed({"companies": [ACME]})


@pytest.fixture(params=["2026-03", "legacy"])
async def board(request: pytest.FixtureRequest, double: HubSpotDouble) -> AsyncIterator[HubSpotBoard]:
    async with hubspot_desk(double, request.param, timeout_s=2.0) as made:
        yield made


def linked(board: HubSpotBoard, external_id: str) -> dict[str, dict[str, list[int]]]:
    found: dict[str, dict[str, list[int]]] = board.double.ticket(external_id)["associations"]
    return found


def properties(board: HubSpotBoard, external_id: str) -> dict[str, str]:
    found: dict[str, str] = board.double.ticket(external_id)["properties"]
    return found


# --- making ---------------------------------------------------------------------------------------------------------


async def test_a_ticket_is_made_with_all_that_belongs_to_it(
    board: HubSpotBoard, ids: dict[str, dict[str, str]]
) -> None:
    opening = an_opening(
        customer="taro@acme.example",
        company_id=ids["companies"]["Acme"],
        deal_ids=(ids["deals"]["Big one"], ids["deals"]["Small one"]),
        owners=("nobody@relay.test", "gone@relay.test", "mori@relay.test", "ann@relay.test"),
        priority="high",
        subject="火事\r\n  です",
        text="a\0b\r\nc",
    )
    made = await board.desk.open(opening)

    values = properties(board, made.external_id)
    assert {name: values[name] for name in ("subject", "content", "hs_ticket_priority", "hs_pipeline")} == {
        "subject": "火事 です",
        "content": "ab\nc",
        "hs_ticket_priority": "HIGH",
        "hs_pipeline": "0",
    }
    (mori,) = [one["id"] for one in board.double.owners() if one["email"] == "mori@relay.test"]
    assert values["hubspot_owner_id"] == mori
    there = linked(board, made.external_id)
    assert 16 in there["contacts"][ids["contacts"]["taro@acme.example"]]
    assert 26 in there["companies"][ids["companies"]["Acme"]]
    assert sorted(there["deals"]) == sorted(opening.deal_ids)
    assert board.ids.get("taro@acme.example") == ids["contacts"]["taro@acme.example"]


async def test_a_known_customers_new_ticket_costs_two_calls_and_a_later_mail_three(board: HubSpotBoard) -> None:
    """ISSUES B 4: counted at HubSpot, not by us."""
    await board.desk.open(an_opening(customer="taro@acme.example"))
    before = board.last_call()
    made = await board.desk.open(an_opening(customer="taro@acme.example"))
    await board.desk.record(made.external_id, a_mail(customer="taro@acme.example"), is_repeat=False)
    assert board.calls(before) == ["POST tickets", "POST emails"]

    before = board.last_call()
    await board.desk.current(made.external_id)
    await board.desk.move(made.external_id, Stage.CLOSED)
    await board.desk.record(made.external_id, a_mail(customer="taro@acme.example"), is_repeat=False)
    assert board.calls(before) == ["GET tickets/{id}", "PATCH tickets/{id}", "POST emails"]


async def test_a_contact_is_made_when_there_is_none(board: HubSpotBoard) -> None:
    address = f"new-{board.last_call()}@beta.example"
    made = await board.desk.open(an_opening(customer=address, customer_name="山田 太郎"))

    (contact,) = linked(board, made.external_id)["contacts"]
    (record,) = [one for one in board.double.records("contacts") if one["id"] == contact]
    values = record["properties"]
    assert (values["email"], values["firstname"], values["lastname"]) == (address, "太郎", "山田")
    before = board.last_call()
    await board.desk.open(an_opening(customer=address))
    assert board.calls(before) == ["POST tickets"]


async def test_a_contact_that_somebody_made_meanwhile_is_taken_from_the_refusal(board: HubSpotBoard) -> None:
    """hubspot-api-php#59: the id stands in the sentence only."""
    board.double.fault("status", method="GET", path="/contacts/", status=404, times=1)
    made = await board.desk.open(an_opening(customer="taro@acme.example"))

    (contact,) = linked(board, made.external_id)["contacts"]
    (record,) = [one for one in board.double.records("contacts") if one["id"] == contact]
    assert record["properties"]["email"] == "taro@acme.example"


async def test_a_refusal_that_does_not_tell_the_id_is_followed_by_another_look(board: HubSpotBoard) -> None:
    body = {"status": "error", "category": "CONFLICT", "message": "Contact already exists."}
    board.double.fault("status", method="GET", path="/contacts/", status=404, times=1)
    board.double.fault("status", method="POST", path="/contacts$", status=409, body=body, times=1)
    made = await board.desk.open(an_opening(customer="taro@acme.example"))

    assert len(linked(board, made.external_id)["contacts"]) == 1


async def test_an_address_that_hubspot_refuses_costs_the_contact_and_not_the_ticket(
    board: HubSpotBoard, capfd: pytest.CaptureFixture[str]
) -> None:
    body = {
        "status": "error",
        "category": "VALIDATION_ERROR",
        "message": "Property values were not valid: Email address bad.@carrier.example is invalid",
    }
    board.double.fault("status", method="POST", path="/contacts$", status=400, body=body)
    made = await board.desk.open(an_opening(customer="bad.@carrier.example"))

    assert "contacts" not in linked(board, made.external_id)
    logged = capfd.readouterr()
    assert "desk.contact_refused" in logged.out + logged.err
    assert "bad.@carrier" not in logged.out + logged.err


@pytest.mark.parametrize("length", [255, 256, 400])
async def test_a_long_subject_and_text_are_cut(board: HubSpotBoard, length: int) -> None:
    made = await board.desk.open(an_opening(subject="🔥" * length, text="🔥" * 70_000))
    values = properties(board, made.external_id)

    assert values["subject"] == "🔥" * 127
    assert values["content"] == "🔥" * 32_768


async def test_a_ticket_without_subject_is_called_by_its_label(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening(subject=" \0", text="", priority="whatever"))

    assert made.subject == "SR-12"
    assert "hs_ticket_priority" not in properties(board, made.external_id)


@pytest.mark.parametrize("how", ["close", "reset", "hang", "500"])
async def test_a_lost_answer_makes_no_second_ticket(board: HubSpotBoard, how: str) -> None:
    """RELIABILITY F19: it was made, and nobody here knows."""
    opening = an_opening()
    fault = board.double.fault("lost", method="POST", path="/tickets$", how=how, times=1)
    with pytest.raises(CrmDown):
        await board.desk.open(opening)
    assert board.double.hits(fault) == 1

    found, again = await board.desk.find(opening.key), await board.desk.open(opening)
    assert found is not None
    assert found.external_id == again.external_id
    assert board.count(opening.key) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(None, id="as HubSpot says it"),
        pytest.param((409, {"status": "error", "category": "CONFLICT", "message": "exists"}), id="409"),
        pytest.param((400, {"status": "error"}), id="400 without words"),
    ],
)
async def test_a_taken_key_leads_to_its_ticket_whatever_the_refusal_says(
    board: HubSpotBoard, refusal: tuple[int, Any] | None
) -> None:
    opening = an_opening()
    first = await board.desk.open(opening)
    if refusal:
        board.double.fault("status", method="POST", path="/tickets$", status=refusal[0], body=refusal[1], times=1)
    before = board.last_call()

    assert (await board.desk.open(opening)).external_id == first.external_id
    assert board.calls(before) == ["POST tickets", "GET tickets/{id}"]


async def test_a_key_of_a_deleted_ticket_leads_to_it_so_that_its_end_is_noticed(board: HubSpotBoard) -> None:
    opening = an_opening()
    first = await board.desk.open(opening)
    board.double.delete("tickets", first.external_id)
    body = {
        "status": "error",
        "category": "VALIDATION_ERROR",
        "errors": [{"code": "CONFLICTING_UNIQUE_VALUE", "context": {"propertyName": ["relay_thread_key"]}}],
    }
    board.double.fault("status", method="POST", path="/tickets$", status=400, body=body, times=1)
    again = await board.desk.open(opening)

    assert again.external_id == first.external_id
    assert await board.desk.current(again.external_id) is None


async def test_a_key_that_is_taken_by_nobody_is_asked_for_again_later(board: HubSpotBoard) -> None:
    body = {"status": "error", "category": "VALIDATION_ERROR", "message": "CONFLICTING_UNIQUE_VALUE"}
    board.double.fault("status", method="POST", path="/tickets$", status=400, body=body)
    with pytest.raises(CrmDown, match="key is taken"):
        await board.desk.open(an_opening())


async def test_a_bad_piece_costs_only_itself(
    board: HubSpotBoard, ids: dict[str, dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    """A deal that was deleted since the directory was asked refuses the whole request."""
    opening = an_opening(
        customer="taro@acme.example",
        company_id=ids["companies"]["Acme"],
        deal_ids=("99999999", ids["deals"]["Big one"]),
        owners=("ann@relay.test",),
        priority="LOW",
    )
    made = await board.desk.open(opening)

    values, there = properties(board, made.external_id), linked(board, made.external_id)
    assert (values["content"], values["hs_ticket_priority"]) == ("Help!", "LOW")
    assert values["hubspot_owner_id"]
    assert 26 in there["companies"][ids["companies"]["Acme"]]
    assert list(there["deals"]) == [ids["deals"]["Big one"]]
    assert list(there["contacts"]) == [ids["contacts"]["taro@acme.example"]]
    logged = "".join(capfd.readouterr())
    assert "desk.opened_bare" in logged
    assert "desk.part_refused" in logged
    assert board.count(opening.key) == 1


async def test_a_company_that_cannot_be_primary_is_associated_plainly(
    board: HubSpotBoard, ids: dict[str, dict[str, str]]
) -> None:
    board.double.fault("status", method="POST", path="/tickets$", status=400, times=1)
    board.double.fault("status", method="PUT", path="/associations/companies/", status=400, times=1)
    before = board.last_call()
    made = await board.desk.open(an_opening(company_id=ids["companies"]["Acme"]))

    assert 339 in linked(board, made.external_id)["companies"][ids["companies"]["Acme"]]
    assert board.calls(before)[-2:] == [
        "PUT tickets/{id}/associations/companies/{id}",
        "PUT tickets/{id}/associations/default/companies/{id}",
    ]


async def test_a_contact_that_is_gone_is_forgotten(board: HubSpotBoard) -> None:
    board.ids.put("taro@acme.example", "99999999")
    made = await board.desk.open(an_opening(customer="taro@acme.example"))

    assert "contacts" not in linked(board, made.external_id)
    assert board.ids.get("taro@acme.example") == ""


async def test_a_ticket_is_not_lost_when_hubspot_goes_down_while_the_rest_is_added(board: HubSpotBoard) -> None:
    opening = an_opening(deal_ids=("99999999",))
    board.double.fault("status", method="PATCH", path="/tickets/", status=503)
    made = await board.desk.open(opening)

    assert made.key == opening.key


async def test_a_pipeline_that_begins_with_its_first_stage_gets_its_ticket_there(board: HubSpotBoard) -> None:
    board.double.set(first_stages={"0": ["1"]})
    try:
        made = await board.desk.open(an_opening(stage=Stage.CLOSED))
    finally:
        board.double.set(first_stages={})

    assert made.stage == Stage.NEW
    assert (await board.desk.move(made.external_id, Stage.CLOSED)).stage == Stage.CLOSED


async def test_what_hubspot_does_not_take_at_all_is_refused_in_its_words(board: HubSpotBoard) -> None:
    """2026-09: an admin may require a property of every new ticket."""
    body = {
        "status": "error",
        "category": "VALIDATION_ERROR",
        "message": "Required properties are missing",
        "errors": [{"code": "REQUIRED_FIELD", "context": {"propertyName": ["contract_no"]}}],
    }
    board.double.fault("status", method="POST", path="/tickets$", status=400, body=body)
    with pytest.raises(CrmRefusal, match="contract_no") as refused:
        await board.desk.open(an_opening())

    assert (refused.value.http_status, refused.value.category) == (400, "VALIDATION_ERROR")


async def test_a_missing_scope_is_not_taken_for_a_mistake_in_the_request(board: HubSpotBoard) -> None:
    """F21: once more with less would burn calls and change nothing."""
    board.double.fault("status", method="POST", path="/tickets$", status=403)
    before = board.last_call()
    with pytest.raises(CrmDown):
        await board.desk.open(an_opening())

    assert board.calls(before) == ["POST tickets"]


# --- reading and moving ---------------------------------------------------------------------------------------------


async def test_stages_are_known_by_their_ids(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    board.double.hand_move(made.external_id, "3")
    current = await board.desk.current(made.external_id)

    assert current is not None
    assert (current.stage, current.stage_id) == (Stage.WAITING, "3")


async def test_a_ticket_in_another_pipeline_is_elsewhere_and_a_move_brings_it_back(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    name = f"p{board.last_call()}"
    stages = [{"id": f"{name}1", "label": "One", "ticketState": "OPEN"}]
    board.double.seed({"pipelines": {"tickets": [{"id": name, "label": name, "stages": stages}]}})
    board.double.hand_move(made.external_id, f"{name}1")
    current = await board.desk.current(made.external_id)

    assert current is not None
    assert current.stage == Stage.OTHER
    assert (await board.desk.move(made.external_id, Stage.NEW)).stage == Stage.NEW
    assert properties(board, made.external_id)["hs_pipeline"] == "0"


async def test_a_move_that_the_rules_forbid_is_refused_with_their_words(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    board.double.set(forbidden_moves=[{"pipeline": "0", "from": "1", "to": "4"}])
    try:
        with pytest.raises(CrmRefusal) as refused:
            await board.desk.move(made.external_id, Stage.CLOSED)
    finally:
        board.double.set(forbidden_moves=[])

    assert refused.value.http_status == 400
    assert refused.value.cause


async def test_a_workflows_move_is_no_persons(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    board.double.set_properties("tickets", made.external_id, {"hs_pipeline_stage": "4"}, source="AUTOMATION_PLATFORM")
    current = await board.desk.current(made.external_id)

    assert current is not None
    assert [move.by for move in current.moves] == [Mover.AUTOMATION, Mover.PROGRAM]


@pytest.mark.parametrize(
    "entry",
    [
        ({"sourceType": "CRM_UI"}, Mover.PERSON),
        ({"sourceType": "CRM_UI_BULK_ACTION", "updatedByUserId": 1}, Mover.PERSON),
        ({"sourceType": "MOBILE_IOS"}, Mover.PERSON),
        ({"sourceType": "mobile_android"}, Mover.PERSON),
        ({"sourceType": "INTEGRATION", "updatedByUserId": 1}, Mover.PROGRAM),
        ({"sourceType": "API"}, Mover.PROGRAM),
        ({"sourceType": "WORKFLOWS"}, Mover.AUTOMATION),
        ({"sourceType": "AUTOMATION_PLATFORM", "updatedByUserId": 1}, Mover.AUTOMATION),
        ({"sourceType": "HELP_DESK", "updatedByUserId": 1}, Mover.PERSON),
        ({"sourceType": "HELP_DESK"}, Mover.UNKNOWN),
        ({"sourceType": None}, Mover.UNKNOWN),
        ({}, Mover.UNKNOWN),
    ],
    ids=str,
)
def test_who_moved_it_is_read_from_the_source(entry: tuple[dict[str, Any], Mover]) -> None:
    assert mover(entry[0]) == entry[1]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"id": "1"},
        {"id": "1", "properties": {"hs_pipeline_stage": "1"}},
        {"id": None, "properties": {"hs_pipeline_stage": "1", "hs_lastmodifieddate": "2026-11-22T00:00:00Z"}},
        {"id": "1", "properties": [], "updatedAt": "2026-11-22T00:00:00Z"},
        {"id": "1", "properties": {"hs_pipeline_stage": 1}, "updatedAt": "2026-11-22T00:00:00Z"},
    ],
    ids=str,
)
def test_a_record_without_id_stage_or_time_is_no_ticket(record: Any) -> None:
    assert TicketReading(SETTINGS).ticket(record) is None


@pytest.mark.parametrize(
    ("pipeline", "stage_id", "meaning"),
    [
        pytest.param("0", "1", Stage.NEW, id="ours"),
        pytest.param("", "4", Stage.CLOSED, id="not told"),
        pytest.param("7", "1", Stage.OTHER, id="another pipeline"),
        pytest.param("0", "17", Stage.OTHER, id="not mapped"),
    ],
)
def test_what_a_stage_means_depends_on_the_pipeline(pipeline: str, stage_id: str, meaning: Stage) -> None:
    assert TicketReading(SETTINGS).stage(pipeline, stage_id) == meaning


@pytest.mark.parametrize(
    ("written", "expected_s"),
    [pytest.param(None, 1, id="searches go by the property"), pytest.param(Stage.NEW, 2, id="a write is the later")],
)
def test_of_two_times_the_one_that_is_compared_counts(written: Stage | None, expected_s: int) -> None:
    record = {
        "id": "7",
        "properties": {"hs_pipeline_stage": "1", "hs_lastmodifieddate": "2026-11-22T10:00:01Z"},
        "updatedAt": "2026-11-22T10:00:02Z",
    }
    ticket = TicketReading(SETTINGS).ticket(record, written=written)

    assert ticket is not None
    assert ticket.updated_at == T0 + timedelta(seconds=expected_s)


def test_a_history_in_any_order_and_with_holes_is_read_newest_first() -> None:
    entries: list[Any] = [
        {"value": "1", "timestamp": "2026-11-22T00:00:00Z"},
        {"value": "4", "timestamp": 1_795_400_000_000, "sourceType": "CRM_UI", "sourceId": "userId:1"},
        {"value": None, "timestamp": "2026-11-22T00:00:02Z"},
        {"value": "2", "timestamp": "soon"},
        "nonsense",
    ]
    record = {
        "id": 7,
        "properties": {"hs_pipeline_stage": "4"},
        "updatedAt": "2026-11-23T00:00:00Z",
        "propertiesWithHistory": {"hs_pipeline_stage": entries},
    }
    ticket = TicketReading(SETTINGS).ticket(record)

    assert ticket is not None
    assert [(move.stage_id, move.by, move.who) for move in ticket.moves] == [
        ("4", Mover.PERSON, "userId:1"),
        ("1", Mover.UNKNOWN, ""),
    ]


@pytest.mark.parametrize("kind", ["html", "empty", "cut", "deep", "types"])
async def test_garbage_is_never_taken_for_a_deleted_ticket(board: HubSpotBoard, kind: str) -> None:
    """It would put a living conversation into the trash."""
    made = await board.desk.open(an_opening())
    board.double.fault(kind, path="/tickets/")
    with pytest.raises(CrmDown):
        await board.desk.current(made.external_id)
    board.double.clear_faults()
    board.double.fault(kind, path="/tickets/batch/read")
    with suppress(CrmDown):  # not to know is just as well
        assert await board.desk.gone([made.external_id]) == frozenset()


async def test_a_part_of_a_batch_that_failed_is_asked_for_again_by_id(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    body = {
        "status": "COMPLETE",
        "results": [],
        "numErrors": 1,
        "errors": [{"status": "error", "category": "INTERNAL_ERROR", "message": "try again"}],
        "startedAt": "2026-11-22T00:00:00Z",
        "completedAt": "2026-11-22T00:00:00Z",
    }
    board.double.fault("status", path="/tickets/batch/read", status=207, body=body)

    assert await board.desk.gone([made.external_id]) == frozenset()


# --- mails ----------------------------------------------------------------------------------------------------------


async def test_a_mail_is_logged_with_its_people_on_ticket_and_contact(
    board: HubSpotBoard, ids: dict[str, dict[str, str]]
) -> None:
    made = await board.desk.open(an_opening(customer="taro@acme.example"))
    mail = a_mail(customer="taro@acme.example", attachments=(("photo.jpg", 2048),))
    await board.desk.record(made.external_id, mail, is_repeat=False)

    (email,) = board.emails(made.external_id)
    values = email["properties"]
    assert values["hs_email_text"] == ("Help!\n\nAttachments:\n- photo.jpg (2 KB)\nMessage-ID: <a@customer.example>")
    assert json.loads(values["hs_email_headers"])["from"]["email"] == "jane@customer.example"
    assert (values["hs_email_direction"], values["hs_email_status"]) == ("INCOMING_EMAIL", "SENT")
    assert email["associations"] == {
        "tickets": {made.external_id: [224]},
        "contacts": {ids["contacts"]["taro@acme.example"]: [198]},
    }


async def test_a_giant_mail_fits(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    await board.desk.record(made.external_id, a_mail(text="🔥" * 1_000_000), is_repeat=False)

    (email,) = board.emails(made.external_id)
    text = email["properties"]["hs_email_text"]
    assert len(text.encode("utf-16-le")) // 2 <= LONGEST_TEXT
    assert text.endswith("Message-ID: <a@customer.example>")


async def test_a_contact_that_is_gone_does_not_keep_a_mail_from_being_logged(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    board.ids.put("jane@customer.example", "99999999")
    await board.desk.record(made.external_id, a_mail(), is_repeat=False)

    (email,) = board.emails(made.external_id)
    assert email["properties"]["hs_email_text"].startswith("Help!")
    assert board.ids.get("jane@customer.example") == ""


async def test_a_mail_that_is_not_taken_as_it_is_is_logged_in_plain_words(
    board: HubSpotBoard, capfd: pytest.CaptureFixture[str]
) -> None:
    made = await board.desk.open(an_opening())
    board.double.fault("status", method="POST", path="/emails$", status=400, times=1)
    await board.desk.record(made.external_id, a_mail(), is_repeat=False)

    (email,) = board.emails(made.external_id)
    text = email["properties"]["hs_email_text"]
    assert "Help!" not in text
    assert text.endswith("\n\nMessage-ID: <a@customer.example>")
    assert "desk.mail_logged_in_part" in "".join(capfd.readouterr())


@pytest.mark.parametrize("how", ["close", "500"])
async def test_a_mail_whose_answer_was_lost_is_not_logged_twice(board: HubSpotBoard, how: str) -> None:
    made = await board.desk.open(an_opening())
    board.double.fault("lost", method="POST", path="/emails$", how=how, times=1)
    with pytest.raises(CrmDown):
        await board.desk.record(made.external_id, a_mail(), is_repeat=False)
    await board.desk.record(made.external_id, a_mail(), is_repeat=True)

    assert board.mails(made.external_id) == ["Printer on fire"]


async def test_a_repeat_looks_through_many_mails(board: HubSpotBoard) -> None:
    made = await board.desk.open(an_opening())
    board.double.set(association_page=50)
    for number in range(120):
        mail = a_mail(at=a_mail().at + timedelta(seconds=number), subject=f"Mail {number}")
        await board.desk.record(made.external_id, mail, is_repeat=False)
    for number in (0, 60, 119):
        mail = a_mail(at=a_mail().at + timedelta(seconds=number), subject=f"Mail {number}")
        await board.desk.record(made.external_id, mail, is_repeat=True)

    assert len(board.mails(made.external_id)) == 120


# --- changes --------------------------------------------------------------------------------------------------------


async def test_hundreds_of_changes_are_read_page_by_page_without_a_hole(board: HubSpotBoard) -> None:
    first = await board.desk.open(an_opening())
    made = [
        str(board.double.make("tickets", {"subject": f"{n}", "hs_pipeline": "0", "hs_pipeline_stage": "1"})["id"])
        for n in range(450)
    ]
    before = board.last_call()
    told = await board.desk.changed(first.updated_at)

    assert {one.external_id for one in told.tickets} >= set(made)
    assert told.is_whole
    assert board.calls(before) == ["POST tickets/search"] * 3
    assert told.until == max(first.updated_at, told.tickets[-1].updated_at - timedelta(minutes=5))


async def test_more_than_a_thousand_changes_are_read_in_several_goes() -> None:
    async with HttpStub(lambda asked: say(200, a_page(asked.json, 2500))) as stub, a_desk(stub) as desk:
        one = await desk.changed(T0)
        two = await desk.changed(one.until)
        three = await desk.changed(two.until)

    assert [one.is_whole, two.is_whole, three.is_whole] == [False, False, True]
    found = [ticket.external_id for told in (one, two, three) for ticket in told.tickets]
    assert len(set(found)) == 2500
    assert len(stub.asked) == 13  # each begins with the last ticket of the one before


def a_page(asked: dict[str, Any], total: int) -> dict[str, Any]:
    """Of tickets that changed a second apart, what a search from some instant on shows."""
    (since,) = [one["value"] for one in asked["filterGroups"][0]["filters"] if one["operator"] == "GTE"]
    first = (int(since) - int(T0.timestamp() * 1000)) // 1000
    results = [a_record(n, T0 + timedelta(seconds=n)) for n in range(first, min(first + 200, total))]
    return {"total": total - first, "results": results}


async def test_a_bulk_edit_of_one_instant_is_read_whole() -> None:
    """Hundreds with one and the same time: only a cursor leads through them."""

    def answer(asked: Asked) -> bytes:
        first = int(asked.json.get("after", "0"))
        page: dict[str, Any] = {"total": 450, "results": [a_record(n) for n in range(first, min(first + 200, 450))]}
        if first < 400:
            page["paging"] = {"next": {"after": str(first + 200)}}
        return say(200, page)

    async with HttpStub(answer) as stub, a_desk(stub) as desk:
        told = await desk.changed(T0)

    assert (len(told.tickets), told.is_whole, told.until) == (450, True, T0)


async def test_a_short_page_is_the_last_one_only_when_hubspot_says_so() -> None:
    def answer(_asked: Asked) -> bytes:
        following = {"paging": {"next": {"after": "2"}}} if len(stub.asked) < 3 else {}
        return say(
            200, {"results": [a_record(n, T0 + timedelta(seconds=n)) for n in range(len(stub.asked) * 2)], **following}
        )

    async with HttpStub(answer) as stub, a_desk(stub) as desk:
        told = await desk.changed(T0)

    assert (len(told.tickets), told.is_whole) == (6, True)


async def test_a_search_that_goes_round_in_circles_ends() -> None:
    page = {"total": 999, "results": [a_record(n) for n in range(200)], "paging": {"next": {"after": "200"}}}
    async with HttpStub(lambda _: say(200, page)) as stub, a_desk(stub) as desk:
        told = await desk.changed(T0)

    assert len(stub.asked) == 50
    assert not told.is_whole
    assert told.until > T0


def a_record(number: int, changed_at: datetime = T0) -> dict[str, Any]:
    at = changed_at.isoformat()
    values = {"hs_pipeline": "0", "hs_pipeline_stage": "1", "hs_lastmodifieddate": at}
    return {"id": str(700_000 + number), "properties": values, "createdAt": at, "updatedAt": at, "archived": False}


@asynccontextmanager
async def a_desk(stub: HttpStub) -> AsyncIterator[HubSpotDesk]:
    async def no_owner(_address: str) -> str:
        return ""

    account = an_account(stub.url, searches_per_s=100_000, calls_per_10s=1_000_000)
    client = HubSpotClient(account, GateFake(), now=lambda: datetime.now(UTC))
    paths = Paths("2026-03")
    desk = HubSpotDesk(
        client, paths, SETTINGS, Contacts(client, paths, ContactIds(lambda: T0)), no_owner, Catalogue("en")
    )
    yield desk
    await desk.aclose()


async def test_tickets_of_another_pipeline_are_none_of_ours(board: HubSpotBoard) -> None:
    first = await board.desk.open(an_opening())
    name = f"q{board.last_call()}"
    stages = [{"id": f"{name}1", "label": "One", "ticketState": "OPEN"}]
    board.double.seed({"pipelines": {"tickets": [{"id": name, "label": name, "stages": stages}]}})
    board.double.hand_move(first.external_id, f"{name}1")
    told = await board.desk.changed(first.updated_at)

    assert first.external_id not in {one.external_id for one in told.tickets}


async def test_the_cursor_stays_behind_an_index_that_lags(board: HubSpotBoard) -> None:
    """What the index shows late is told when it is shown: no cursor has gone past it."""
    first = await board.desk.open(an_opening())
    since = first.updated_at
    board.double.set(search_lag_s=2)
    try:
        late = await board.desk.open(an_opening())
        told = await board.desk.changed(since)
        assert late.external_id not in {one.external_id for one in told.tickets}
    finally:
        board.double.set(search_lag_s=0)

    assert late.external_id in {one.external_id for one in (await board.desk.changed(told.until)).tickets}


async def test_the_order_of_the_settings_decides_what_is_written(double: HubSpotDouble) -> None:
    settings = replace(SETTINGS, stages={**SETTINGS.stages, Stage.WAITING: ("3", "2")})
    async with hubspot_desk(double, "2026-03", settings=settings) as board:
        made = await board.desk.open(an_opening(stage=Stage.WAITING))

    assert made.stage_id == "3"
