"""The store's contract: copies, attempts, failover."""

from dataclasses import replace

import pytest

from contracts.store_samples import (
    OWNER,
    a_copy,
    a_lease,
    a_settlement,
    accept_and_settle,
    after,
    an_end,
    an_opening_settlement,
    delivery_ids,
    from_ids,
)
from supportrelay.core.delivery import (
    Cause,
    DeliveryForm,
    DeliveryKind,
    DeliveryState,
    MessageState,
    Outcome,
    OutcomeKind,
    Phase,
)
from supportrelay.core.errors import InputError
from supportrelay.core.ports import OtherForm, Reported
from supportrelay.edge.store import SqliteStore


async def states(store: SqliteStore, queue_id: str) -> tuple[str, list[str]]:
    shown = await store.queue_show(queue_id)
    return shown["state"], [delivery["state"] for delivery in shown["deliveries"]]


async def test_a_settlement_begins_the_first_attempts_in_the_same_commit(store: SqliteStore) -> None:
    settled = await accept_and_settle(
        store, an_opening_settlement("q1", deliveries=(a_copy(), a_copy("b@x.test", due_at=after(60))))
    )

    assert [(d.recipient, d.attempt) for d in settled.deliveries] == [(OWNER, 1), ("b@x.test", 0)]
    assert await states(store, "q1") == ("composed", ["sending", "due"])
    assert await store.claim_deliveries(after(5), a_lease("here:2:b"), 10) == []


async def test_a_due_delivery_is_claimed_with_everything_an_attempt_needs(store: SqliteStore) -> None:
    settled = await accept_and_settle(
        store, an_opening_settlement("q1", deliveries=(a_copy(due_at=after(60), new_message_id="<new@relay.test>"),))
    )

    (claimed,) = await store.claim_deliveries(after(60), a_lease(until=90), 10)

    assert claimed.delivery_id == delivery_ids(settled)[0]
    assert (claimed.queue_id, claimed.recipient, claimed.kind) == ("q1", OWNER, DeliveryKind.OWNER)
    assert (claimed.attempt, claimed.ticket_id) == (1, settled.ticket_id)
    assert claimed.envelope.reverse_path == "ann@acme.example"
    assert claimed.accepted_at == after(0)
    assert claimed.copy_plan == {"address_name": "support"}
    assert claimed.new_message_id == "<new@relay.test>"


async def test_deliveries_are_claimed_by_due_time_and_no_more_than_asked_for(store: SqliteStore) -> None:
    for number, due in ((1, 30), (2, 10), (3, 20)):
        await accept_and_settle(store, an_opening_settlement(f"q{number}", deliveries=(a_copy(due_at=after(due)),)))

    first = await store.claim_deliveries(after(100), a_lease(until=130), 2)
    rest = await store.claim_deliveries(after(100), a_lease(until=130), 2)

    assert [d.queue_id for d in (*first, *rest)] == ["q2", "q3", "q1"]


async def test_an_attempt_without_an_end_is_due_again_when_its_lease_ran_out(store: SqliteStore) -> None:
    """RELIABILITY F07: whoever made it is gone; one copy may go twice, none is lost."""
    await accept_and_settle(store, an_opening_settlement("q1"))

    assert await store.claim_deliveries(after(29), a_lease("here:2:b"), 10) == []
    (claimed,) = await store.claim_deliveries(after(30), a_lease("here:2:b", until=60), 10)

    assert claimed.attempt == 2
    (life,) = await store.trace("q1")
    assert [a["outcome"] for a in life["deliveries"][0]["attempts_made"]] == ["lost", None]


async def test_a_copy_that_was_cut_off_again_and_again_waits_for_a_person(store: SqliteStore) -> None:
    """RELIABILITY F05: it may be what kills the worker; others must not suffer for ever."""
    await accept_and_settle(store, an_opening_settlement("q1"))
    for number in (1, 2):
        (claimed,) = await store.claim_deliveries(after(30 * number), a_lease(until=30 * number + 30), 10)
        assert (claimed.attempt, claimed.is_suspect) == (number + 1, number == 2)

    assert await store.claim_deliveries(after(90), a_lease(until=120), 10) == []
    assert await states(store, "q1") == ("held", ["held"])

    await store.queue_release("q1", who="person:ann", now=after(200))
    for number in (4, 5, 6):
        (claimed,) = await store.claim_deliveries(after(200 + 30 * number), a_lease(until=230 + 30 * number), 10)
        assert claimed.attempt == number
    assert await store.claim_deliveries(after(900), a_lease(until=930), 10) == []


async def test_of_the_copies_that_were_cut_off_twice_one_is_taken_at_a_time(store: SqliteStore) -> None:
    """RELIABILITY F05: what kills its worker shall kill no other attempt then."""
    for number in (1, 2, 3):
        await accept_and_settle(store, an_opening_settlement(f"q{number}"))
    assert len(await store.claim_deliveries(after(30), a_lease(until=60), 10)) == 3, "cut off once, all of them"
    await accept_and_settle(store, an_opening_settlement("q4", now=61, lease=a_lease(until=62)))

    assert [c.queue_id for c in await store.claim_deliveries(after(65), a_lease(until=95), 10, suspects=0)] == ["q4"]
    claims = [await store.claim_deliveries(after(66), a_lease(until=96), 10) for _ in range(3)]

    assert [[(c.queue_id, c.is_suspect) for c in claim] for claim in claims] == [
        [("q1", True)],
        [("q2", True)],
        [("q3", True)],
    ]


async def test_a_delivered_copy_finishes_its_message(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))

    reported = await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.DELIVERED))

    assert reported == Reported(MessageState.DELIVERED, nobody_got_it=False)
    assert await states(store, "q1") == ("delivered", ["delivered"])
    assert await store.queue_list() == []
    assert await store.work_left(after(1000)) == {}


async def test_a_deferred_copy_waits_for_its_time_and_says_what_was_answered(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))

    reported = await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.DEFERRED, due_at=after(62)))

    assert reported == Reported(MessageState.COMPOSED, nobody_got_it=False)
    (message,) = await store.queue_list()
    (delivery,) = message["deliveries"]
    assert delivery["due_at"] == "2026-03-02T09:01:02.000Z"
    assert delivery["last_reply"] == "451 4.3.0 as the server says"
    assert await store.claim_deliveries(after(61), a_lease(), 10) == []
    (claimed,) = await store.claim_deliveries(after(62), a_lease(until=90), 10)
    assert claimed.attempt == 2


async def test_when_the_last_copy_failed_nobody_got_it_until_a_failover_was_made(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1", deliveries=(a_copy(), a_copy("b@x.test"))))
    one, other = delivery_ids(settled)

    first = await store.report(an_end(one, "q1", DeliveryState.FAILED))
    second = await store.report(an_end(other, "q1", DeliveryState.FAILED))

    assert first == Reported(MessageState.COMPOSED, nobody_got_it=False)
    assert second == Reported(MessageState.COMPOSED, nobody_got_it=True)
    (waiting,) = await store.nobody_got(after(-3600), 10)
    assert (waiting.queue_id, waiting.all_failed, waiting.ticket_id) == ("q1", True, settled.ticket_id)
    assert waiting.recipients == {OWNER, "b@x.test"}
    assert waiting.copy_plan == {"address_name": "support"}

    everybody = a_copy("all@relay.test", kind=DeliveryKind.LIST)
    await store.add_failover("q1", [everybody], "all_failed", after(3))

    assert await store.nobody_got(after(5000), 10) == []
    (claimed,) = await store.claim_deliveries(after(3), a_lease(), 10)
    assert claimed.recipient == "all@relay.test"
    assert await store.report(an_end(claimed.delivery_id, "q1", DeliveryState.FAILED)) == Reported(
        MessageState.DEAD, nobody_got_it=False
    )


async def test_a_failover_is_made_once_and_not_to_who_has_or_will_have_a_copy(store: SqliteStore) -> None:
    settled = await accept_and_settle(
        store, an_opening_settlement("q1", deliveries=(a_copy(), a_copy("All@relay.test")))
    )
    await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.FAILED))

    for _ in range(2):
        copies = [a_copy("all@relay.test"), a_copy("boss@relay.test")]
        await store.add_failover("q1", copies, "failover_after", after(5))

    shown = await store.queue_show("q1")
    assert [d["recipient"] for d in shown["deliveries"]] == [OWNER, "All@relay.test", "boss@relay.test"]
    assert [c["why"] for c in shown["changes"] if c["what"] == "message.failover"] == [
        {"why": "failover_after", "recipients": ["boss@relay.test"]}
    ]


async def test_a_failover_with_nobody_left_makes_the_message_dead(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.FAILED))

    await store.add_failover("q1", [], "all_failed", after(5))

    assert (await states(store, "q1"))[0] == "dead"
    assert await store.nobody_got(after(5000), 10) == []


async def test_mail_that_nobody_got_for_a_while_is_found_and_mail_that_somebody_got_is_not(store: SqliteStore) -> None:
    for name in ("nobody", "somebody", "fresh"):
        settled = await accept_and_settle(store, an_opening_settlement(name, deliveries=(a_copy(), a_copy("b@x"))))
        one, other = delivery_ids(settled)
        ends = DeliveryState.DELIVERED if name == "somebody" else DeliveryState.DEFERRED
        await store.report(an_end(one, name, ends, due_at=None if name == "somebody" else after(9000)))
        await store.report(an_end(other, name, DeliveryState.DEFERRED, due_at=after(9000)))

    assert await store.nobody_got(after(-1), 10) == []
    found = await store.nobody_got(after(0), 10)
    assert [(m.queue_id, m.all_failed) for m in found] == [("nobody", False), ("fresh", False)]
    assert len(await store.nobody_got(after(0), 1)) == 1


async def test_recipients_of_a_relayed_mail_are_not_the_desk_s_readers(store: SqliteStore) -> None:
    """Submission: the customer got his mail, but none of the owners did."""
    settled = await accept_and_settle(
        store, an_opening_settlement("q1", deliveries=(a_copy("c@out.example", kind=DeliveryKind.AS_IS), a_copy()))
    )
    theirs, ours = delivery_ids(settled)

    await store.report(an_end(theirs, "q1", DeliveryState.DELIVERED))
    reported = await store.report(an_end(ours, "q1", DeliveryState.FAILED))

    assert reported == Reported(MessageState.COMPOSED, nobody_got_it=True)


@pytest.mark.parametrize("end", [DeliveryState.DELIVERED, DeliveryState.FAILED])
async def test_a_note_to_the_writer_is_nobody_s_copy(store: SqliteStore, end: DeliveryState) -> None:
    """Whatever becomes of it, nobody else is to get the mail because of it."""
    note = a_copy("w@staff.test", kind=DeliveryKind.NOTE)
    settled = await accept_and_settle(store, an_opening_settlement("q1", deliveries=(note,)))
    (delivery_id,) = delivery_ids(settled)
    assert await store.nobody_got(after(5000), 10) == []

    await store.report(an_end(delivery_id, "q1", DeliveryState.DEFERRED, due_at=after(9000)))
    assert (await states(store, "q1"), await store.nobody_got(after(5000), 10)) == (("composed", ["deferred"]), [])

    await store.claim_deliveries(after(9000), a_lease("here:2:b", until=9999), 10)
    reported = await store.report(an_end(delivery_id, "q1", end, attempt=2))
    assert reported == Reported(MessageState.FILED, nobody_got_it=False)


async def test_owners_decide_beside_a_note(store: SqliteStore) -> None:
    note = a_copy("w@staff.test", kind=DeliveryKind.NOTE)
    settled = await accept_and_settle(store, an_opening_settlement("q1", deliveries=(note, a_copy())))
    theirs, ours = delivery_ids(settled)
    await store.report(an_end(theirs, "q1", DeliveryState.DELIVERED))

    assert await store.report(an_end(ours, "q1", DeliveryState.FAILED)) == Reported(MessageState.COMPOSED, True)


async def test_mails_from_and_to_people_outside_are_found(store: SqliteStore) -> None:
    await accept_and_settle(store, an_opening_settlement("q1"))
    assert await store.mails_outside(1, 5) == ["q1"]
    assert await store.mails_outside(2, 5) == []


async def test_a_late_report_of_a_lost_attempt_does_not_undo_the_running_one(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    (delivery_id,) = delivery_ids(settled)
    await store.claim_deliveries(after(31), a_lease("here:2:b", until=60), 10)

    await store.report(an_end(delivery_id, "q1", DeliveryState.FAILED, attempt=1))
    assert await states(store, "q1") == ("composed", ["sending"])

    await store.report(an_end(delivery_id, "q1", DeliveryState.DELIVERED, attempt=1))
    assert await states(store, "q1") == ("delivered", ["delivered"])
    await store.report(an_end(delivery_id, "q1", DeliveryState.DEFERRED, attempt=2, due_at=after(99)))
    assert await states(store, "q1") == ("delivered", ["delivered"])


async def test_a_copy_that_a_report_calls_failed_is_failed(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    (delivery_id,) = delivery_ids(settled)
    await store.report(an_end(delivery_id, "q1", DeliveryState.DELIVERED))

    outcome = Outcome(OutcomeKind.FAILED, Phase.DOT, status="5.1.1", text="no such user")
    reported = await store.fail_delivery(delivery_id, outcome, after(500))

    assert reported == Reported(MessageState.COMPOSED, nobody_got_it=True)
    assert await states(store, "q1") == ("composed", ["failed"])
    assert len(await store.nobody_got(after(-1), 10)) == 1


async def test_a_report_of_the_mail_does_not_end_an_attempt_that_is_under_way(store: SqliteStore) -> None:
    """It is about what went out before; the attempt tells for itself."""
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    delivery_id = delivery_ids(settled)[0]
    outcome = Outcome(OutcomeKind.FAILED, Phase.DOT, status="5.3.4", text="too large", cause=Cause.SIZE)
    other = OtherForm(DeliveryForm.LIGHT, "size", "<light@relay.test>")

    await store.fail_delivery(delivery_id, outcome, after(500), other)

    view = await store.delivery(delivery_id)
    assert view is not None
    assert (view.state, view.form) == (DeliveryState.SENDING, DeliveryForm.FULL)
    changes = (await store.queue_show("q1"))["changes"]
    assert changes[-1]["what"] == "delivery.reported"


async def test_a_copy_for_content_refused_is_held_with_its_message(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))

    reported = await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.HELD))

    assert reported == Reported(MessageState.HELD, nobody_got_it=False)


async def test_deliveries_are_found_by_id_and_by_the_message_they_carried(store: SqliteStore) -> None:
    first = await accept_and_settle(store, an_opening_settlement("q1"))
    second = await accept_and_settle(
        store, a_settlement("q2", deliveries=(a_copy("Mori@Relay.test", new_message_id="<new@relay.test>"),))
    )

    view = await store.delivery(delivery_ids(first)[0])
    assert view is not None
    assert (view.queue_id, view.recipient, view.ticket_id) == ("q1", OWNER, first.ticket_id)
    assert view.message_id == "<q1@acme.example>"
    by_copy = await store.delivery_of_copy("<new@relay.test>", "mori@relay.test")
    assert by_copy is not None
    assert by_copy.delivery_id == delivery_ids(second)[0]
    assert await store.delivery_of_copy("<q1@acme.example>", "other@relay.test") is None
    assert await store.delivery_of_copy("", OWNER) is None
    assert await store.delivery(999) is None
    assert [view.delivery_id for view in await store.deliveries_of("q2")] == delivery_ids(second)
    assert [view.kind for view in await store.deliveries_of("q1")] == ["owner"]
    assert await store.deliveries_of("q9") == []


async def test_retry_makes_deferred_and_failed_copies_due_now(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1", deliveries=(a_copy(), a_copy("b@x.test"))))
    one, other = delivery_ids(settled)
    await store.report(an_end(one, "q1", DeliveryState.DEFERRED, due_at=after(9000)))
    await store.report(an_end(other, "q1", DeliveryState.FAILED))

    assert await store.queue_retry(None, "person:kim", after(10)) == {"queue_id": "", "count": 1}
    assert await store.queue_retry("<q1@acme.example>", "person:kim", after(10)) == {"queue_id": "q1", "count": 2}

    assert len(await store.claim_deliveries(after(10), a_lease(), 10)) == 2


async def test_a_held_queue_entry_goes_on_after_its_release(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1", deliveries=(a_copy(due_at=after(5)),)))
    await store.queue_hold("q1", "person:kim", after(2))
    assert await states(store, "q1") == ("held", ["held"])
    assert await store.claim_deliveries(after(100), a_lease(), 10) == []

    await store.queue_release("q1", "person:kim", after(101))

    (claimed,) = await store.claim_deliveries(after(101), a_lease(until=130), 10)
    assert claimed.delivery_id == delivery_ids(settled)[0]
    with pytest.raises(InputError):
        await store.queue_release("q1", "person:kim", after(102))


async def test_a_dropped_copy_is_not_sent_and_does_not_call_for_a_failover(store: SqliteStore) -> None:
    await accept_and_settle(
        store, an_opening_settlement("q1", deliveries=(a_copy(due_at=after(5)), a_copy("b@x.test", due_at=after(5))))
    )

    assert (await store.queue_drop("q1", "person:kim", after(6), recipient="B@x.test"))["count"] == 1
    assert await states(store, "q1") == ("composed", ["due", "dropped"])
    await store.queue_drop("q1", "person:kim", after(7))

    assert await states(store, "q1") == ("filed", ["dropped", "dropped"])
    assert await store.claim_deliveries(after(100), a_lease(), 10) == []
    assert await store.nobody_got(after(100), 10) == []
    with pytest.raises(InputError):
        await store.queue_drop("q1", "person:kim", after(7), recipient="c@x.test")


async def test_the_queue_is_listed_in_the_shape_of_the_contract(store: SqliteStore) -> None:
    await accept_and_settle(store, an_opening_settlement("q1"))

    (message,) = await store.queue_list()

    assert {name: message[name] for name in ("queue_id", "state", "reverse_path", "forward_paths", "message_id")} == {
        "queue_id": "q1",
        "state": "composed",
        "reverse_path": "ann@acme.example",
        "forward_paths": ["support@relay.test"],
        "message_id": "<q1@acme.example>",
    }
    assert (message["subject"], message["accepted_at"]) == ("Printer on fire", "2026-03-02T09:00:00.000Z")
    (delivery,) = message["deliveries"]
    assert {name: delivery[name] for name in ("recipient", "state", "attempts", "due_at", "last_reply")} == {
        "recipient": OWNER,
        "state": "sending",
        "attempts": 1,
        "due_at": None,
        "last_reply": "",
    }
    assert await store.queue_list(["held"]) == []
    with pytest.raises(InputError):
        await store.queue_list(["nonsense"])


async def test_a_trace_tells_the_whole_life(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.DELIVERED))

    (life,) = await store.trace("q1@acme.example")

    assert life["envelope"]["peer"]["ip"] == "192.0.2.7"
    assert life["decision"]["direction"] == "inbound"
    assert life["ticket"] == f"SR-{settled.ticket_id}"
    (attempt,) = life["deliveries"][0]["attempts_made"]
    assert (attempt["attempt"], attempt["outcome"], attempt["code"]) == (1, "delivered", 250)
    assert (attempt["begun_at"], attempt["ended_at"]) == ("2026-03-02T09:00:01.000Z", "2026-03-02T09:00:02.000Z")
    assert [c["what"] for c in life["changes"]] == ["message.accepted", "ticket.opened", "delivery.delivered"]
    with pytest.raises(InputError, match="no message"):
        await store.trace("nothing@x")


# -- other forms -------------------------------------------------------------------------------------------------------

LIGHT = OtherForm(DeliveryForm.LIGHT, "size 552 5.3.4", "<light@relay.test>")


async def test_a_delivery_in_another_form_is_due_at_once_and_stays_in_it(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    (one,) = delivery_ids(settled)

    reported = await store.report(
        replace(
            an_end(one, "q1", DeliveryState.FAILED), state=DeliveryState.DEFERRED, due_at=after(2), other_form=LIGHT
        )
    )

    assert (reported.goes_on, reported.nobody_got_it, reported.message_state) == (True, False, "composed")
    (claimed,) = await store.claim_deliveries(after(2), a_lease(until=60), 10)
    assert (claimed.form, claimed.form_why, claimed.new_message_id) == ("light", LIGHT.why, LIGHT.new_message_id)
    await store.report(an_end(one, "q1", DeliveryState.DEFERRED, attempt=2, due_at=after(60)))
    (claimed,) = await store.claim_deliveries(after(60), a_lease(until=90), 10)
    assert (claimed.form, claimed.attempt) == ("light", 3)
    (life,) = await store.trace("q1")
    assert [a["outcome"] for a in life["deliveries"][0]["attempts_made"]] == ["reshaped", "deferred", None]
    assert life["deliveries"][0]["form"] == "light"


async def test_the_id_of_another_form_leads_to_the_ticket(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    (one,) = delivery_ids(settled)
    await store.report(replace(an_end(one, "q1", DeliveryState.DEFERRED, due_at=after(2)), other_form=LIGHT))

    (hit,) = (await store.gather(from_ids(LIGHT.new_message_id))).hits

    assert hit.ticket.id == settled.ticket_id


async def test_an_attempt_that_is_not_the_running_one_changes_no_form(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    (one,) = delivery_ids(settled)
    await store.claim_deliveries(after(40), a_lease("here:2:b", until=60), 10)

    late = await store.report(replace(an_end(one, "q1", DeliveryState.DEFERRED, due_at=after(2)), other_form=LIGHT))

    (life,) = await store.trace("q1")
    assert (late.goes_on, life["deliveries"][0]["form"]) == (False, "full")


async def test_a_person_who_has_it_retried_sends_the_whole_mail_again(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    (one,) = delivery_ids(settled)
    await store.report(replace(an_end(one, "q1", DeliveryState.DEFERRED, due_at=after(2)), other_form=LIGHT))
    await store.claim_deliveries(after(2), a_lease(until=60), 10)
    await store.report(an_end(one, "q1", DeliveryState.FAILED, attempt=2))

    await store.queue_retry("q1", "person:kim", after(5))

    (claimed,) = await store.claim_deliveries(after(5), a_lease(until=60), 10)
    assert claimed.form == DeliveryForm.FULL


async def test_that_nobody_got_a_mail_stands_in_the_record(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    (one,) = delivery_ids(settled)
    await store.report(an_end(one, "q1", DeliveryState.FAILED))

    await store.add_failover("q1", [], "all_failed", after(3))

    (life,) = await store.trace("q1")
    assert (life["state"], life["changes"][-1]["what"]) == ("dead", "message.dead")
