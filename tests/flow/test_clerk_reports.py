"""Reports to authors: who is told what, and who is not (RELIABILITY C54, C55, C57, C58, C62, F22, F24, F36)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

from contracts.store_samples import a_lease
from flow.own_world import ADMIN, ANN, BOB, SUPPORT, OwnWorld, octets_of, status_of, text_of
from supportrelay.core.delivery import DeliveryKind, DeliveryState
from supportrelay.core.envelope import Peer
from supportrelay.core.errors import TransientFailure
from supportrelay.core.token import new_message_id
from supportrelay.edge.store import SqliteStore
from supportrelay.flow.clerk import Clerk
from supportrelay.i18n import catalogue

OUT1, OUT2 = "one@far.example", "two@far.example"
HOUR = 3600.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[OwnWorld]:
    store = SqliteStore(tmp_path / "relay.db", create=True)
    yield OwnWorld(store)
    await store.aclose()


async def test_c62_the_author_of_a_dead_mail_gets_a_report_that_names_the_support_address_alone(
    world: OwnWorld,
) -> None:
    await world.dies("q1")
    await world.clerk.tick()

    (report,) = await world.own_mail()

    assert report["To"] == BOB
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["X-Auto-Response-Suppress"] == "All"
    assert report["In-Reply-To"] == "<q1@acme.example>"
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert [one.get_content_type() for one in report.get_payload() if isinstance(one, Message)] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    whole, (one,) = status_of(report)[0], status_of(report)[1:]
    assert whole["Reporting-MTA"] == "dns; desk.test"
    assert (one["Final-Recipient"], one["Action"], one["Status"]) == (f"rfc822; {SUPPORT}", "failed", "5.3.0")
    assert "Diagnostic-Code" not in one
    octets = report.as_bytes()
    for secret in (ANN.encode(), b"192.0.2.25", b"as the server says", b"It burns", b"Received"):
        assert secret not in octets
    assert SUPPORT in text_of(report)


async def test_f36_a_report_is_written_once_whatever_dies_in_between(world: OwnWorld) -> None:
    await world.dies("q1")
    for clerk in (world.clerk, world.new_clerk("here:1:b"), world.new_clerk("here:2:a")):
        world.clock.go(120)
        await clerk.tick()

    assert len(await world.own_mail()) == 1
    assert [what for what, _ in await world.changes("q1")][-2:] == ["message.told", "message.reported"]


@pytest.mark.parametrize(
    ("why", "values"),
    [
        pytest.param("unproven", {"proven": False}, id="c57-unproven"),
        pytest.param("null_reverse_path", {"sender": "", "octets": octets_of()}, id="null-reverse-path"),
        pytest.param("automatic", {"octets": octets_of(BOB, "Auto-Submitted: auto-generated")}, id="c55-automatic"),
        pytest.param("automatic", {"octets": octets_of(BOB, "Precedence: bulk")}, id="c55-bulk"),
        pytest.param("automatic", {"octets": octets_of(BOB, "List-Id: <all.acme.example>")}, id="c55-list"),
        pytest.param("automatic", {"octets": octets_of("MAILER-DAEMON@acme.example")}, id="c55-mailer-daemon"),
        pytest.param("other_domain", {"sender": "victim@other.example", "octets": octets_of()}, id="c54-other-domain"),
        pytest.param("other_domain", {"sender": ANN, "octets": octets_of()}, id="c54-a-colleagues-name"),
        pytest.param("own_address", {"sender": SUPPORT, "octets": octets_of()}, id="own-address"),
    ],
)
async def test_nobody_else_gets_a_report(world: OwnWorld, why: str, values: dict[str, Any]) -> None:
    await world.dies("q1", **values)
    await world.clerk.tick()

    assert await world.own_mail() == []
    what, said = (await world.changes("q1"))[-1]
    assert (what, said["why"]) == ("message.not_reported", why)


async def test_a_reverse_path_of_the_authors_own_house_is_he(world: OwnWorld) -> None:
    await world.dies("q1", sender="bounce-7@mail.acme.example", octets=octets_of())
    await world.clerk.tick()

    assert [one["To"] for one in await world.own_mail()] == ["bounce-7@mail.acme.example"]


async def test_who_wrote_as_support_is_told_himself(world: OwnWorld) -> None:
    peer = Peer("192.0.2.7", "x", user=ANN)
    await world.dies("q1", sender=SUPPORT, octets=octets_of(SUPPORT), peer=peer, direction="outbound")
    await world.clerk.tick()

    assert [one["To"] for one in await world.own_mail()] == [ANN]


async def test_c55_an_answer_to_a_mail_of_ours_is_not_answered(world: OwnWorld) -> None:
    ours = new_message_id(world.keys[0], "0000000000000000o", "desk.test")
    await world.dies("q1", octets=octets_of(BOB, f"References: <x@y.example> {ours}"))
    await world.clerk.tick()

    assert await world.own_mail() == []


async def test_c55_an_outsider_who_always_writes_again_gets_two(world: OwnWorld) -> None:
    for number in range(5):
        await world.dies(f"q{number}")
        world.clock.go(60)
        await world.clerk.tick()

    assert [one["X-Supportrelay-Reason"] for one in await world.own_mail() if one["To"] == BOB] == ["report"] * 2
    assert (await world.changes("q4"))[-1][1]["why"] == "too_often"


async def submitted(world: OwnWorld, **values: Any) -> list[int]:
    return await world.mail(
        "q1",
        (OUT1, DeliveryKind.SUBMITTED),
        (OUT2, DeliveryKind.SUBMITTED),
        sender=ANN,
        octets=octets_of(ANN),
        direction="outbound",
        paths=(OUT1, OUT2),
        **values,
    )


async def test_c62_a_submitter_gets_one_report_for_all_who_failed_together(world: OwnWorld) -> None:
    first, second = await submitted(world)
    await world.ends(first, "q1", DeliveryState.FAILED)
    await world.clerk.tick()
    assert await world.own_mail() == []  # the other's first attempt is under way

    await world.ends(second, "q1", DeliveryState.FAILED)
    await world.store.add_failover("q1", [], "all_failed", world.clock())
    await world.clerk.tick()
    await world.clerk.tick()

    (report,) = await world.own_mail()
    assert report["To"] == ANN
    told = [(one["Final-Recipient"], one["Action"], one["Status"]) for one in status_of(report)[1:]]
    assert told == [(f"rfc822; {OUT1}", "failed", "5.1.1"), (f"rfc822; {OUT2}", "failed", "5.1.1")]
    assert OUT1 in text_of(report)
    assert "as the server says" in text_of(report)
    assert b"192.0.2.25" not in report.as_bytes()


async def test_who_fails_later_is_told_later_and_alone(world: OwnWorld) -> None:
    first, second = await submitted(world)
    await world.ends(second, "q1", DeliveryState.DEFERRED, due_at=world.clock())
    await world.ends(first, "q1", DeliveryState.FAILED)
    await world.clerk.tick()
    world.clock.go(HOUR)
    await world.store.claim_deliveries(world.clock(), a_lease(until=world.at + 30), 10)
    await world.ends(second, "q1", DeliveryState.FAILED, attempt=2)
    await world.clerk.tick()

    reports = await world.own_mail()

    named = [[one["Final-Recipient"] for one in status_of(report)[1:]] for report in reports]
    assert named == [[f"rfc822; {OUT1}"], [f"rfc822; {OUT2}"]]


async def test_f22_a_submitter_is_told_after_four_hours_that_it_is_late(world: OwnWorld) -> None:
    first, second = await submitted(world)
    await world.ends(first, "q1", DeliveryState.DELIVERED)
    await world.ends(second, "q1", DeliveryState.DEFERRED, due_at=world.clock())
    await world.clerk.tick()
    assert await world.own_mail() == []

    world.clock.go(4.2 * HOUR)
    await world.store.claim_deliveries(world.clock(), a_lease(until=world.at + 30), 10)
    await world.ends(second, "q1", DeliveryState.DEFERRED, attempt=2, due_at=world.clock())
    await world.clerk.tick()

    (note,) = await world.own_mail()
    assert note["Auto-Submitted"] == "auto-replied"
    (one,) = status_of(note)[1:]
    assert (one["Final-Recipient"], one["Action"], one["Status"]) == (f"rfc822; {OUT2}", "delayed", "4.3.0")
    assert one["Will-Retry-Until"]
    assert OUT1 not in text_of(note)


async def test_f24_what_became_of_a_colleagues_mailbox_is_not_told_to_anybody_outside(world: OwnWorld) -> None:
    """One owner's mailbox is gone, the other got it: nothing to tell."""
    gone, other = await world.mail("q1", (ANN, DeliveryKind.OWNER), ("ben@desk.test", DeliveryKind.OWNER))
    await world.ends(gone, "q1", DeliveryState.FAILED)
    await world.ends(other, "q1", DeliveryState.DELIVERED)
    await world.clerk.tick()

    assert await world.own_mail() == []


async def test_c58_a_report_that_is_refused_is_told_to_the_administrators_and_to_nobody_else(world: OwnWorld) -> None:
    await world.dies("q1")
    await world.clerk.tick()
    (claimed,) = await world.store.claim_deliveries(world.clock(), a_lease(until=world.at + 30), 10)
    await world.ends(claimed.delivery_id, claimed.queue_id, DeliveryState.FAILED)
    for _ in range(3):
        world.clock.go(HOUR)
        await world.clerk.tick()

    mails = await world.own_mail()

    kinds = [(one["To"], one["X-Supportrelay-Reason"]) for one in mails]
    assert kinds == [(BOB, "report"), (ADMIN, "alert"), (ADMIN, "digest")]
    assert BOB in text_of(mails[1])


async def test_c58_an_alert_that_is_refused_is_the_last_word_to_that_address(world: OwnWorld) -> None:
    await world.dies("q1")
    await world.clerk.tick()
    for _ in range(4):
        for claimed in await world.store.claim_deliveries(world.clock(), a_lease(until=world.at + 30), 10):
            await world.ends(claimed.delivery_id, claimed.queue_id, DeliveryState.FAILED)
        world.clock.go(2 * HOUR)
        await world.clerk.tick()

    told = [one for one in await world.own_mail() if one["X-Supportrelay-Reason"] != "digest"]
    assert [one["To"] for one in told] == [BOB, ADMIN]


async def test_a_mail_that_cannot_be_told_of_keeps_no_other_waiting(world: OwnWorld) -> None:
    """Its row is damaged: the report stays owed, the next is written."""
    await world.dies("q1")
    await world.store.write(
        lambda c: c.execute("UPDATE messages SET peer = '{' WHERE queue_id = 'q1'")  # no session reads like that
    )
    await world.dies("q2", sender="eve@acme.example", octets=octets_of("eve@acme.example"))
    await world.clerk.tick()
    await world.clerk.tick()

    assert [one["To"] for one in await world.own_mail()] == ["eve@acme.example"]
    world.clock.go(HOUR)
    assert [one.queue_id for one in await world.store.owed_reports(world.clock(), 9)] == ["q1"]


async def test_the_report_reads_in_the_language_of_the_address(world: OwnWorld) -> None:
    desk = world.rulebook.desk
    address = replace(desk.addresses[0], language="ja")
    world.rulebook = replace(world.rulebook, desk=replace(desk, addresses=(address,)))
    await world.dies("q1")
    await world.clerk.tick()

    (report,) = await world.own_mail()

    assert "メールシステム" in text_of(report)
    assert report.as_bytes().isascii()


async def test_what_the_header_held_comes_back_in_ascii(world: OwnWorld) -> None:
    octets = octets_of(BOB, "To: Zoë <zoe@desk.test>", f"X-Long: {'x' * 3000}")
    await world.dies("q1", octets=octets)
    await world.clerk.tick()

    (report,) = await world.own_mail()
    whole = report.as_bytes()
    assert whole.isascii()
    assert max(map(len, whole.split(b"\n"))) < 998
    returned = next(one for one in report.walk() if one.get_content_type() == "text/rfc822-headers")
    said = returned.get_payload(decode=True)
    assert isinstance(said, bytes)
    assert "Zoë" in said.decode()
    assert b"X-Long" not in said


async def test_who_wrote_to_postmaster_is_told_of_postmaster(world: OwnWorld) -> None:
    (copy,) = await world.mail("q1", (ADMIN, DeliveryKind.AS_IS), paths=("postmaster@desk.test",))
    await world.ends(copy, "q1", DeliveryState.FAILED)
    await world.store.add_failover("q1", [], "all_failed", world.clock())
    await world.clerk.tick()

    (report,) = [one for one in await world.own_mail() if one["To"] == BOB]
    assert status_of(report)[1]["Final-Recipient"] == "rfc822; postmaster@desk.test"
    assert ADMIN.encode() not in report.as_bytes()


class Locked:
    """A store that cannot be written the first time a report is told."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.refusals = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def tell_report(self, *arguments: Any) -> bool:
        if self.refusals:
            self.refusals -= 1
            raise TransientFailure("4.3.0", "locked")
        return await self._store.tell_report(*arguments)


async def test_f36_a_report_that_could_not_be_kept_stays_owed(world: OwnWorld) -> None:
    await world.dies("q1")
    clerk = Clerk(world.office(), cast("SqliteStore", Locked(world.store)), catalogue, lambda: None)
    await clerk.tick()
    assert await world.own_mail() == []

    await clerk.tick()
    await clerk.tick()

    assert [one["To"] for one in await world.own_mail()] == [BOB]


async def test_a_debt_that_does_not_end_makes_no_flood(world: OwnWorld) -> None:
    """Whatever is wrong with the store, nobody gets the same report again and again."""
    await world.dies("q1")
    await world.store.write(
        lambda c: c.execute(
            "CREATE TEMP TRIGGER back AFTER UPDATE ON main.reports_owed WHEN NEW.due_at IS NULL BEGIN "
            "UPDATE reports_owed SET due_at = OLD.due_at WHERE message = OLD.message AND kind = OLD.kind; END"
        )
    )
    for _ in range(3):
        await world.clerk.tick()

    assert len(await world.own_mail()) == 1
