"""The store's contract: mail of our own, what it is owed for, alarms."""

from dataclasses import replace
from datetime import timedelta

from contracts.store_samples import (
    OWNER,
    a_copy,
    a_lease,
    a_mail,
    a_settlement,
    accept_and_settle,
    after,
    an_end,
    an_opening_settlement,
    delivery_ids,
    number_of,
)
from supportrelay.core.alarm import Alarm, AlarmKind
from supportrelay.core.delivery import Cause, DeliveryKind, DeliveryState, MessageState, Outcome, OutcomeKind, Phase
from supportrelay.core.own_mail import OwnKind, OwnMail
from supportrelay.core.ports import NewDelivery
from supportrelay.edge.store import SqliteStore

ADMIN = "it@relay.test"


def a_report(queue_id: str = "own1", *, about: str = "q1", to: str = "ann@acme.example") -> OwnMail:
    octets = b"Subject: x\r\n\r\nhello\r\n"
    return OwnMail(
        queue_id, OwnKind.REPORT, (to,), octets, f"<{queue_id}.x@relay.test>", "Not delivered", after(5), about
    )


async def test_a_mail_of_our_own_is_a_message_with_a_null_reverse_path(store: SqliteStore) -> None:
    await accept_and_settle(store, a_settlement("q1"))
    await store.add_own_mail(a_report())

    claimed = await store.claim_deliveries(after(6), a_lease(), 10)

    assert [(one.queue_id, one.recipient, one.kind, one.envelope.reverse_path) for one in claimed] == [
        ("own1", "ann@acme.example", DeliveryKind.OWN, "")
    ]
    assert await store.content("own1") == a_report().octets


async def test_both_lives_say_that_it_was_told(store: SqliteStore) -> None:
    await accept_and_settle(store, a_settlement("q1"))
    await store.add_own_mail(a_report())

    own, told = (await store.trace("own1"))[0], (await store.trace("q1"))[0]

    assert own["changes"][0]["why"] == {"kind": "report", "recipients": ["ann@acme.example"], "about": "q1"}
    assert told["changes"][-1]["what"] == "message.told"
    assert told["changes"][-1]["why"]["queue_id"] == "own1"
    assert [one["queue_id"] for one in await store.queue_list()] == ["q1", "own1"]


async def test_one_that_was_delivered_is_finished(store: SqliteStore) -> None:
    await store.add_own_mail(a_report(about=""))
    claimed = await store.claim_deliveries(after(6), a_lease(), 10)

    reported = await store.report(an_end(claimed[0].delivery_id, "own1", DeliveryState.DELIVERED))

    assert reported.message_state == MessageState.DELIVERED
    assert await store.nobody_got(after(1e6), 10) == []


async def test_c58_one_that_failed_is_dead_with_an_alarm_and_owes_nobody_a_report(store: SqliteStore) -> None:
    await store.add_own_mail(a_report(about=""))
    claimed = await store.claim_deliveries(after(6), a_lease(), 10)

    reported = await store.report(an_end(claimed[0].delivery_id, "own1", DeliveryState.FAILED, now=7))

    assert reported.message_state == MessageState.DEAD
    assert not reported.nobody_got_it
    assert await store.nobody_got(after(1e6), 10) == []
    owed = await store.owed_alarms(after(8), 10)
    assert [(one.alarm.kind, one.alarm.key) for one in owed] == [(AlarmKind.OWN_MAIL_FAILED, "ann@acme.example")]
    assert await store.owed_reports(after(8), 10) == []


async def test_f36_a_dead_message_owes_its_author_a_report_from_the_same_commit_on(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, a_settlement("q1"))
    await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.FAILED))
    assert await store.owed_reports(after(9), 10) == []

    await store.add_failover("q1", [], "all_failed", after(8))

    assert [(one.queue_id, one.kind) for one in await store.owed_reports(after(9), 10)] == [("q1", OwnKind.REPORT)]


async def test_f36_a_submitted_copy_that_failed_owes_one_though_others_arrived(store: SqliteStore) -> None:
    copies = (a_copy(), a_copy("out@far.example", kind=DeliveryKind.SUBMITTED))
    settled = await accept_and_settle(store, a_settlement("q1", deliveries=copies))
    mine, theirs = delivery_ids(settled)
    await store.report(an_end(mine, "q1", DeliveryState.DELIVERED))
    await store.report(an_end(theirs, "q1", DeliveryState.FAILED))

    assert [(one.queue_id, one.kind) for one in await store.owed_reports(after(9), 10)] == [("q1", OwnKind.REPORT)]


async def test_f22_a_delay_is_owed_once_and_to_submitters_alone(store: SqliteStore) -> None:
    hours = 3600.0
    copies = (a_copy(), a_copy("out@far.example", kind=DeliveryKind.SUBMITTED))
    settled = await accept_and_settle(store, a_settlement("q1", deliveries=copies))
    for number, at in enumerate((1, 4.5, 5.5), 1):
        for one in delivery_ids(settled):
            if number > 1:
                await store.claim_deliveries(after(at * hours - 1), a_lease(until=at * hours + 30), 10)
            end = an_end(one, "q1", DeliveryState.DEFERRED, now=at * hours, attempt=number, due_at=after(at * hours))
            await store.report(end)
            if number == 1:
                assert await store.owed_reports(after(9 * hours), 10) == []

    owed = await store.owed_reports(after(9 * hours), 10)

    assert [(one.queue_id, one.kind) for one in owed] == [("q1", OwnKind.DELAY)]
    await store.tell_report(owed[0], None, (), "test", after(9 * hours))
    await store.claim_deliveries(after(10 * hours), a_lease(until=11 * hours), 10)
    await store.report(an_end(delivery_ids(settled)[1], "q1", DeliveryState.DEFERRED, now=10 * hours, attempt=4))
    assert await store.owed_reports(after(99 * hours), 10) == []


# --- alarms


async def test_an_alarm_is_told_once_an_hour_with_its_count(store: SqliteStore) -> None:
    disk = Alarm(AlarmKind.DISK_NEARLY_FULL, "/var", {"free": 3})
    assert await store.raise_alarm(disk, after(0))
    assert not await store.raise_alarm(disk, after(1))
    owed = await store.owed_alarms(after(2), 10)
    assert [(one.alarm, one.count, one.first_at, one.last_at) for one in owed] == [(disk, 2, after(0), after(1))]

    await store.tell_alarms(owed, [], after(3))
    assert await store.owed_alarms(after(1e6), 10) == []
    assert await store.raise_alarm(disk, after(60))

    assert await store.owed_alarms(after(3 + 3599), 10) == []
    assert [one.count for one in await store.owed_alarms(after(3 + 3600), 10)] == [1]


async def test_what_was_raised_while_the_mail_was_written_is_counted_in_the_next(store: SqliteStore) -> None:
    disk = Alarm(AlarmKind.DISK_NEARLY_FULL, "/var")
    await store.raise_alarm(disk, after(0))
    owed = await store.owed_alarms(after(1), 10)
    await store.raise_alarm(disk, after(2))

    await store.tell_alarms(owed, [], after(3))

    assert [one.count for one in await store.owed_alarms(after(3 + 3600), 10)] == [1]


async def test_while_the_last_mail_about_it_waits_itself_no_other_is_written(store: SqliteStore) -> None:
    """A smarthost that is down keeps the alert in the queue; a hundred of them would say the same."""
    down = Alarm(AlarmKind.SMARTHOST_REFUSES_US, "smtp.test:25")
    await store.raise_alarm(down, after(0))
    await store.tell_alarms(await store.owed_alarms(after(1), 10), [a_report("own1", about="", to=ADMIN)], after(1))
    await store.raise_alarm(down, after(2))

    assert await store.owed_alarms(after(1e5), 10) == []
    claimed = await store.claim_deliveries(after(1e5), a_lease(until=1e6), 10)
    await store.report(an_end(claimed[0].delivery_id, "own1", DeliveryState.DELIVERED, now=1e5))
    assert [one.alarm for one in await store.owed_alarms(after(1e5), 10)] == [down]


async def test_an_alarm_that_may_pass_is_told_later_and_not_when_it_is_over(store: SqliteStore) -> None:
    """F22: a smarthost that was away for a minute wakes nobody."""
    down = Alarm(AlarmKind.SMARTHOST_DOWN)
    settled = await accept_and_settle(store, a_settlement("q1"), mail=a_mail("q1"))
    await store.raise_alarm(down, after(0), after=timedelta(minutes=15))
    assert await store.owed_alarms(after(800), 10) == []
    assert [one.alarm for one in await store.owed_alarms(after(901), 10)] == [down]

    await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.DELIVERED))
    await store.forget_past_alarms(after(901))

    assert await store.owed_alarms(after(901), 10) == []


async def test_whose_copies_fail_for_good_three_times_within_a_week_is_named(store: SqliteStore) -> None:
    """RULES_OF_MAIL 3.8; what was given up after trying says nothing of the address."""
    day = 86400.0
    for number, at in enumerate((1, 2, 9, 10, 11)):
        settled = await accept_and_settle(store, a_settlement(f"q{number}"))
        end = an_end(delivery_ids(settled)[0], f"q{number}", DeliveryState.FAILED, now=at * day)
        if number == 2:
            end = replace(end, outcome=replace(end.outcome, code=451, status="4.4.7"))
        await store.report(end)
        assert await store.unreachable(after(at * day)) == []

    last = await accept_and_settle(store, an_opening_settlement("q9"))
    await store.report(an_end(delivery_ids(last)[0], "q9", DeliveryState.DELIVERED, now=11 * day))
    outcome = Outcome(OutcomeKind.FAILED, Phase.DOT, status="5.1.1", text="no such user", cause=Cause.RECIPIENT)
    await store.fail_delivery(delivery_ids(last)[0], outcome, after(12 * day))

    (named,) = await store.unreachable(after(12 * day))
    assert (named["address"], named["failures"]) == (OWNER, 3)
    assert "no such user" in named["text"]
    owed = await store.owed_alarms(after(12 * day + 1), 10)
    assert [(one.alarm.kind, one.alarm.key) for one in owed] == [(AlarmKind.OWNER_UNREACHABLE, OWNER)]
    history = (await store.ticket_show(number_of(last)))["history"]
    assert [one["why"]["failures"] for one in history if one["what"] == "owner.unreachable"] == [3]
    assert await store.unreachable(after(18 * day)) == []


async def test_a_mail_that_is_refused_for_its_size_says_nothing_of_its_reader(store: SqliteStore) -> None:
    for number in range(4):
        settled = await accept_and_settle(store, a_settlement(f"q{number}"))
        end = an_end(delivery_ids(settled)[0], f"q{number}", DeliveryState.FAILED)
        await store.report(replace(end, outcome=replace(end.outcome, status="5.3.4", cause=Cause.SIZE)))

    assert await store.unreachable(after(3)) == []


async def test_what_a_rule_passes_on_and_nobody_there_takes_is_told(store: SqliteStore) -> None:
    """It has one form, and its owners have the mail; only the administrators can see to the case address."""
    case = NewDelivery("case@crm.example", DeliveryKind.AS_IS, "rewrite")
    admin = NewDelivery(ADMIN, DeliveryKind.AS_IS, "postmaster")
    settled = await accept_and_settle(store, a_settlement("q1", deliveries=(a_copy(), case, admin)))
    owner, passed_on, as_it_came = delivery_ids(settled)
    await store.report(an_end(owner, "q1", DeliveryState.DELIVERED))
    for one in (passed_on, as_it_came):
        end = an_end(one, "q1", DeliveryState.FAILED)
        await store.report(replace(end, outcome=replace(end.outcome, status="5.3.4", cause=Cause.SIZE)))

    owed = await store.owed_alarms(after(3), 10)

    assert [(one.alarm.kind, one.alarm.key) for one in owed] == [(AlarmKind.PASSED_ON_REFUSED, "case@crm.example")]
    assert (await store.queue_show("q1"))["state"] == "delivered"
