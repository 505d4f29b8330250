"""The operations, on a real store."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from supportrelay.admin.context import OperationContext
from supportrelay.admin.operations import OPERATIONS, dispatch
from supportrelay.core.delivery import OutcomeKind
from supportrelay.core.token import read_probe

Settle = Callable[..., Awaitable[str]]

COMPANIES = """
companies:
  - name: Acme
    domains: [customer.test]
    contacts: [{address: ann@customer.test, name: Ann}]
    deals: [{name: Rollout, stage: open, owners: [mori@desk.test]}, {name: Renewal, stage: won, owners: []}]
"""


async def _done(context: OperationContext, op: str, **args: Any) -> Any:
    answer = await dispatch(context, op, args)
    assert answer["ok"], answer
    return answer["result"]


async def _refused(context: OperationContext, op: str, **args: Any) -> dict[str, Any]:
    answer = await dispatch(context, op, args)
    assert not answer["ok"], answer
    return answer


async def test_an_unknown_operation_and_wrong_arguments_are_wrong_use(context: OperationContext) -> None:
    assert (await _refused(context, "queue.burn"))["exit"] == 2
    assert (await _refused(context, "queue.retry", queue="x"))["exit"] == 2
    assert "queue.list" in OPERATIONS


async def test_the_queue_is_listed_in_the_shape_of_the_contract(context: OperationContext, settle: Settle) -> None:
    await settle("q1", outcome=OutcomeKind.DEFERRED)

    (entry,) = await _done(context, "queue.list")
    assert {"queue_id", "state", "reverse_path", "forward_paths", "message_id", "subject", "accepted_at"} <= set(entry)
    (delivery,) = entry["deliveries"]
    assert {"recipient", "state", "attempts", "due_at", "last_reply"} <= set(delivery)
    assert delivery["state"] == "deferred"
    assert delivery["due_at"] == "2026-11-20T09:05:00.000Z"
    assert "451 4.7.1" in delivery["last_reply"]


async def test_finished_messages_are_listed_only_when_asked_for(context: OperationContext, settle: Settle) -> None:
    await settle("q1")

    assert await _done(context, "queue.list") == []
    assert [m["queue_id"] for m in await _done(context, "queue.list", finished=True)] == ["q1"]
    assert (await _refused(context, "queue.list", states=["lost"]))["exit"] == 1


async def test_work_that_is_deferred_into_the_future_is_not_waited_for(
    context: OperationContext, settle: Settle
) -> None:
    await settle("q1", outcome=OutcomeKind.DEFERRED)
    assert (await _done(context, "queue.work_left"))["work_left"] == 0

    assert (await _done(context, "queue.retry", queue_id="q1"))["count"] == 1
    assert (await _done(context, "queue.work_left"))["work_left"] == 1


async def test_a_message_is_held_released_and_dropped(context: OperationContext, settle: Settle) -> None:
    await settle("q1", outcome=OutcomeKind.DEFERRED)

    assert (await _done(context, "queue.hold", queue_id="q1"))["count"] == 1
    assert (await _done(context, "queue.show", queue_id="q1"))["state"] == "held"
    assert (await _done(context, "queue.release", queue_id="q1"))["queue_id"] == "q1"
    assert (await _refused(context, "queue.release", queue_id="q1"))["exit"] == 1
    assert (await _done(context, "queue.drop", queue_id="q1"))["count"] == 1
    shown = await _done(context, "queue.show", queue_id="q1")
    assert shown["deliveries"][0]["state"] == "dropped"
    assert [c["what"] for c in shown["changes"]][-3:] == ["message.held", "message.released", "message.dropped"]
    assert {c["who"] for c in shown["changes"][-3:]} == {"person:ann"}


async def test_a_message_is_found_by_its_message_id_and_comes_back_octet_for_octet(
    context: OperationContext, settle: Settle
) -> None:
    await settle("q1")

    raw = await _done(context, "queue.raw", queue_id="<m1@customer.test>")
    assert base64.b64decode(raw["octets"]).endswith(b"\r\n\r\nHelp\r\n")
    assert (await _done(context, "queue.show", queue_id="m1@customer.test"))["queue_id"] == "q1"
    assert "no message" in (await _refused(context, "queue.show", queue_id="nothing"))["error"]


async def test_a_ticket_shows_what_each_mail_says(context: OperationContext, settle: Settle) -> None:
    await settle("q1")
    (mail,) = (await _done(context, "tickets.show", id="SR-1"))["messages_list"]
    assert mail["text"] == "Help"


async def test_tickets_carry_the_label_of_their_address_language(context: OperationContext, settle: Settle) -> None:
    await settle("q1")
    await settle("q2", address="europe", message_id="<m2@customer.test>")

    await _done(context, "tickets.move", id="SR-1", stage="対応中")
    await _done(context, "tickets.move", id="2", stage="waiting")
    found = {t["id"]: t for t in await _done(context, "tickets.list")}
    assert found["SR-1"]["stage"] == found["SR-2"]["stage"] == "WAITING"
    assert found["SR-1"]["stage_label"] == "対応中"
    assert found["SR-2"]["stage_label"] == "WAITING"
    assert set(found["SR-1"]) >= {
        "id", "stage", "subject", "customer", "company", "deal", "owners", "address", "external_id", "messages",
        "created_at", "updated_at", "stage_label",
    }  # fmt: skip


async def test_a_move_is_recorded_with_who_moved(context: OperationContext, settle: Settle) -> None:
    await settle("q1")
    await _done(context, "tickets.move", id="sr-1", stage="CLOSED")

    history = (await _done(context, "tickets.show", id="SR-1"))["history"]
    assert history[-1]["what"] == "ticket.moved"
    assert history[-1]["who"] == "person:ann"
    assert history[-1]["why"] == {"from": "NEW", "to": "CLOSED"}


async def test_tickets_are_merged(context: OperationContext, settle: Settle) -> None:
    await settle("q1")
    await settle("q2", message_id="<m2@customer.test>")

    merged = await _done(context, "tickets.merge", id="SR-2", into="SR-1")
    assert merged["id"] == "SR-1"
    assert merged["merged_ticket"] == "SR-2"
    assert [t["id"] for t in await _done(context, "tickets.list")] == ["SR-1"]
    assert "SR-1" in (await _refused(context, "tickets.move", id="SR-2", stage="NEW"))["error"]


@pytest.mark.parametrize(
    ("op", "args"),
    [
        pytest.param("tickets.show", {"id": "SR-99"}, id="no such ticket"),
        pytest.param("tickets.show", {"id": "twelve"}, id="no ticket id"),
        pytest.param("tickets.move", {"id": "SR-99", "stage": "NEW"}, id="move of none"),
        pytest.param("tickets.move", {"id": "SR-1", "stage": "ready"}, id="no such stage"),
        pytest.param("mail.trace", {"id": "none"}, id="trace of nothing"),
        pytest.param("crm.owners", {"deal": "nothing", "owners": ["a@desk.test"]}, id="no such deal"),
        pytest.param("absent.set", {"address": "nobody"}, id="no address"),
        pytest.param("absent.set", {"address": "a@desk.test", "until": "2020-01-01T00:00:00+00:00"}, id="past"),
        pytest.param("outbox.show", {"id": "../../etc/passwd"}, id="not in the outbox"),
        pytest.param("probe.begin", {"reader": "me@desk.test", "address": "x@other.test"}, id="not ours"),
        pytest.param("mail.explain", {"octets": "", "peer": "localhost"}, id="no ip"),
        pytest.param("mail.explain", {"octets": "", "rcpts": ["no address"]}, id="no path"),
    ],
)
async def test_a_persons_mistake_is_told_and_changes_nothing(
    context: OperationContext, op: str, args: dict[str, Any]
) -> None:
    answer = await _refused(context, op, **args)

    assert answer["exit"] == 1
    assert answer["error"]


async def test_companies_are_imported_listed_and_searched(context: OperationContext) -> None:
    tried = await _done(context, "crm.import", text=COMPANIES, kind="yaml", name="c.yaml", dry_run=True)
    assert tried["companies"]["added"] == 1
    assert tried["dry_run"] is True
    assert await _done(context, "crm.companies") == []

    await _done(context, "crm.import", text=COMPANIES, kind="yaml", name="c.yaml")
    (company,) = await _done(context, "crm.companies", search="CUSTOMER.test")
    assert company["name"] == "Acme"
    assert await _done(context, "crm.companies", search="nobody") == []
    assert [d["name"] for d in await _done(context, "crm.deals", company="acme")] == ["Rollout", "Renewal"]


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        pytest.param("companies: [{name: A, domains: [a.test], deals: [{}]}]", "yaml", "c: ", id="yaml"),
        pytest.param("companies: [", "yaml", "c: line 1", id="not yaml"),
        pytest.param("company,domains\nAcme,a.test\nBad,???\n", "csv", "c: line 3", id="csv"),
    ],
)
async def test_a_bad_row_is_named_and_nothing_is_half_imported(
    context: OperationContext, text: str, kind: str, place: str
) -> None:
    answer = await _refused(context, "crm.import", text=text, kind=kind, name="c")

    assert answer["error"].startswith(place)
    assert await _done(context, "crm.companies") == []


async def test_owners_are_set_and_a_fifth_is_refused(context: OperationContext) -> None:
    await _done(context, "crm.import", text=COMPANIES, kind="yaml")
    four = ["mori@desk.test", "ann@desk.test", "bob@desk.test", "eve@desk.test"]

    assert (await _done(context, "crm.owners", deal="Rollout", owners=four))["owners"] == four
    fifth = await _refused(context, "crm.owners", deal="Acme/Rollout", owners=[*four, "five@desk.test"])
    assert "at most 4 owners" in fifth["error"]
    ours = await _refused(context, "crm.owners", deal="Rollout", owners=["help@desk.test"])
    assert "help@desk.test" in ours["error"]
    assert (await _done(context, "crm.owners", deal="Rollout", owners=[]))["owners"] == []


async def test_the_check_of_the_crm_names_a_sender_that_is_an_owner(context: OperationContext) -> None:
    await _done(context, "crm.import", text=COMPANIES, kind="yaml")
    assert (await _done(context, "crm.check"))["problems"] == []
    bad = COMPANIES.replace("mori@desk.test", "relay@desk.test")
    await _done(context, "crm.import", text=bad, kind="yaml")

    found = await _done(context, "crm.check")
    assert (found["companies"], found["deals"]) == (1, 2)
    assert "relay@desk.test" in found["problems"][0]


async def test_an_owner_goes_away_and_comes_back(context: OperationContext) -> None:
    await _done(context, "absent.set", address="Mori@desk.test", until="2026-12-24T00:00:00+09:00")
    (away,) = await _done(context, "absent.list")
    assert away["address"] == "mori@desk.test"
    assert away["until"] == "2026-12-23T15:00:00.000Z"

    await _done(context, "absent.set", address="mori@desk.test", back=True)
    assert await _done(context, "absent.list") == []


async def test_a_trace_tells_decision_attempts_and_the_ticket_that_was_made(
    context: OperationContext, settle: Settle
) -> None:
    await settle("q1")
    await settle("q2", outcome=OutcomeKind.DEFERRED)

    life = await _done(context, "mail.trace", id="m1@customer.test")
    assert life["queue_id"] == "q1"
    assert [other["queue_id"] for other in life["others"]] == ["q2"]
    assert life["decision"]["ticket"]["id"] == "SR-1"
    (delivered,) = [c for c in life["changes"] if c["what"] == "delivery.delivered"]
    assert delivered["recipient"] == "mori@desk.test"
    assert delivered["why"]["code"] == 250


async def test_an_explanation_takes_the_envelope_from_the_mail_when_nobody_says(context: OperationContext) -> None:
    mail = b"From: Ann <ann@customer.test>\nTo: Help <help@desk.test>, x@other.test\nCc: support-eu@desk.test\n\nHi\n"
    told = await _done(context, "mail.explain", octets=base64.b64encode(mail).decode())

    assert told["customer"] == "ann@customer.test"
    assert told["recipients"] == ["help@desk.test", "support-eu@desk.test"]
    # Bare line feeds became line ends: that is how SMTP would have brought it.
    assert told["reasons"][0]["octets"] == len(mail) + mail.count(b"\n")


async def test_an_explanation_takes_the_envelope_that_is_said(context: OperationContext) -> None:
    told = await _done(
        context, "mail.explain", octets="", mail_from="<>", rcpts=["<support@desk.test>"], peer="2001:db8::1"
    )

    assert told["customer"] is None
    assert told["recipients"] == ["support@desk.test"]
    assert told["reasons"][0]["ip"] == "2001:db8::1"


async def test_a_probe_is_signed_for_its_reader(context: OperationContext) -> None:
    begun = await _done(context, "probe.begin", reader="me@desk.test")

    keys = await context.store.signing_keys()
    today = int(context.now().timestamp() // 86400)
    assert read_probe(keys, begun["mark"], today) == "me@desk.test"
    assert begun["address"] == "support@desk.test"
    assert begun["allmember"] == ["all@desk.test"]
    assert begun["case_addresses"] == ["box@case.example"]
    assert begun["unknowable"] == ""


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        pytest.param("all-eu@desk.test", "allmember", id="list"),
        pytest.param("box@case.example", "case_address", id="case"),
    ],
)
async def test_what_cannot_be_known_of_an_address_is_said(context: OperationContext, address: str, kind: str) -> None:
    assert (await _done(context, "probe.begin", reader="me@desk.test", address=address))["unknowable"] == kind


async def test_cleaning_removes_a_probe_with_its_ticket_and_never_real_mail(
    context: OperationContext, settle: Settle
) -> None:
    await settle("q1")
    await settle("q2", is_probe=True, message_id="<probe@x.test>")

    assert "no probe" in (await _refused(context, "probe.clean", queue_id="q1"))["error"]
    assert (await _done(context, "probe.clean", queue_id="q2"))["ticket"] == "SR-2"
    assert [t["id"] for t in await _done(context, "tickets.list")] == ["SR-1"]
    # The mail itself stays: its deliveries' ids stand in tokens that are still out there.
    assert (await _done(context, "mail.trace", id="q2"))["ticket"] is None
