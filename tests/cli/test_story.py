"""Decisions and changes told in sentences."""

from typing import Any

import pytest

from supportrelay.cli.story import tell_attempts, tell_changes, tell_reasons, tell_summary
from supportrelay.i18n import Catalogue


def _decision(**other: Any) -> dict[str, Any]:
    return {
        "direction": "inbound",
        "support_in": "to",
        "address": "support",
        "customer": "ann@acme.test",
        "company": {"id": "C1", "name": "Acme"},
        "deal": {"id": "D1", "name": "Rollout"},
        "owners": ["mori@desk.test"],
        "fallback": None,
        "recipients": ["mori@desk.test"],
        "copies": [{"address": "mori@desk.test", "kind": "owner", "why": "owner"}],
        "ticket": {"id": None, "stage": "NEW", "action": "open"},
        "disposition": "relay",
        "reasons": [{"code": "author.external", "author": "ann@acme.test"}],
    } | other


def _summary(language: str, *, is_past: bool = False, **other: Any) -> str:
    return "\n".join(tell_summary(_decision(**other), Catalogue(language), is_past=is_past))


def test_a_customers_mail_is_told_in_japanese() -> None:
    told = _summary("ja")

    assert "ann@acme.test から support 宛(To)" in told
    assert "お客様の会社は Acme、商談は「Rollout」です。" in told
    assert "写しの送り先: mori@desk.test(お客様の担当者)" in told
    assert "新しいチケットが NEW に作られます。" in told


def test_everybody_gets_it_and_the_reason_is_said() -> None:
    told = _summary(
        "en",
        company=None,
        deal=None,
        owners=[],
        fallback="unknown_company",
        recipients=["all@desk.test"],
        copies=[{"address": "all@desk.test", "kind": "list", "why": "allmember"}],
    )

    assert "A copy would go to: all@desk.test (the company is unknown)." in told
    assert "No company is known for ann@acme.test." in told


def test_a_ticket_that_moves_is_told_with_its_stage_in_the_readers_language() -> None:
    ticket = {"id": "SR-7", "stage": "WAITING", "action": "join"}
    reasons = [{"code": "stage.moved_rule", "stage": "WAITING"}]

    assert "チケット SR-7 に追加され、対応中 に移りました。" in _summary(
        "ja", is_past=True, ticket=ticket, reasons=reasons
    )
    assert "which stayed in WAITING" in _summary("en", is_past=True, ticket=ticket)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        pytest.param({"disposition": "hold"}, "waits for a person", id="held"),
        pytest.param({"disposition": "ignore", "recipients": []}, "is kept, and nobody gets it", id="ignored"),
        pytest.param({"recipients": [], "copies": []}, "Nobody would get a copy", id="nobody"),
        pytest.param({"direction": "loop", "recipients": []}, "came back", id="loop"),
        pytest.param({"direction": "spam", "disposition": "hold"}, "called it spam", id="spam"),
        pytest.param({"customer": None, "reasons": []}, "somebody unknown", id="nobody wrote it"),
    ],
)
def test_special_cases_are_told(other: dict[str, Any], said: str) -> None:
    assert said in _summary("en", **other)


def test_an_unknown_reason_is_shown_as_code_and_values() -> None:
    decision = _decision(reasons=[{"code": "future.thing", "ticket": "SR-3"}])

    assert tell_reasons(decision, Catalogue("ja")) == ["future.thing (ticket=SR-3)"]


def _change(what: str, who: str = "relay", **why: Any) -> dict[str, Any]:
    return {
        "at": "2026-11-20T09:00:00.000Z",
        "what": what,
        "who": who,
        "why": why,
        "queue_id": "q1",
        "ticket": "SR-1",
        "delivery_id": None,
        "recipient": "mori@desk.test",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_change("message.accepted"), "Accepted and stored.", id="accepted"),
        pytest.param(
            _change("ticket.moved", "person:ann", **{"from": "NEW", "to": "WAITING"}),
            "ann moved ticket SR-1 to WAITING.",
            id="moved by a person",
        ),
        pytest.param(
            _change("ticket.joined", "mail:a@b.test", to="NEW", why="stage.not_closed_late", note="not_closed_late"),
            "which stays in NEW (It does not close the ticket: the customer wrote again",
            id="late closing",
        ),
        pytest.param(
            _change(
                "delivery.failed", code=550, status="5.1.1", text="No such user", host="smtp.test:25", cause="recipient"
            ),
            "mori@desk.test: refused for good. smtp.test:25: 550 5.1.1 No such user (the recipient cannot be reached)",
            id="failed",
        ),
        pytest.param(
            _change("delivery.failed", code=552, text="552 no", copy_notes=["header.refolded:to", "part.new"]),
            "552 no (the copy: the header field to was folded anew, part.new)",
            id="what was done to the copy",
        ),
        pytest.param(_change("message.held", "person:ann", why="by a person"), "ann held it.", id="held by a person"),
        pytest.param(_change("delivery.lost", attempt=2), "may arrive twice", id="lost"),
        pytest.param(_change("message.failover", recipients=[], why="x"), "nobody", id="failover to nobody"),
        pytest.param(_change("something.new", x=1), "event.something.new", id="unknown event"),
    ],
)
def test_changes_are_told(change: dict[str, Any], said: str) -> None:
    (line,) = tell_changes([change], Catalogue("en"))

    assert said in line
    assert line.startswith("2026-11-20")
    assert "{" not in line


def test_attempts_are_listed_with_the_reply_of_the_next_server() -> None:
    change = _change(
        "delivery.deferred", attempt=1, code=451, status="4.7.1", text="later", host="h:25", is_uncertain=True
    )

    ((_, number, recipient, outcome, reply),) = tell_attempts([_change("message.accepted"), change], Catalogue("en"))
    assert (number, recipient, outcome) == ("1", "mori@desk.test", "to be tried again")
    assert reply == "h:25: 451 4.7.1 later (it may have arrived all the same)"


def test_each_copy_says_why_its_reader_got_it() -> None:
    copies = [
        {"address": "ann@desk.test", "kind": "owner", "why": "owner"},
        {"address": "boss@desk.test", "kind": "owner", "why": "rule"},
        {"address": "mori@desk.test", "kind": "owner", "why": "owner"},
    ]

    told = "A copy would go to: ann@desk.test, mori@desk.test (owns the customer), boss@desk.test (by a rule)."
    assert told in _summary("en", copies=copies)


def test_a_note_about_nobody_is_not_said_to_come_from_an_unknown_company() -> None:
    told = _summary(
        "en",
        direction="note",
        customer=None,
        company=None,
        deal=None,
        fallback="unknown_company",
        copies=[{"address": "all@desk.test", "kind": "list", "why": "allmember"}],
    )

    assert "company" not in told
    assert "all@desk.test (no customer is named)" in told


def test_a_merge_stands_on_two_tickets_and_is_told_once() -> None:
    merge = _change("ticket.merged", "person:ann", **{"from": "SR-4", "to": "SR-2"})

    assert [line[21:] for line in tell_changes([merge, {**merge, "ticket": "SR-4"}], Catalogue("en"))] == [
        "ann merged SR-4 into SR-2."
    ]


def test_a_tickets_history_names_its_mails() -> None:
    mails = {"q1": {"subject": "Broken", "reverse_path": ""}}
    (line,) = tell_changes([_change("message.accepted") | {"queue_id": "q1"}], Catalogue("en"), mails)

    assert '"Broken" came from (no return address) (q1).' in line


def test_proofs_and_instants_are_told_in_the_readers_words() -> None:
    words = Catalogue("ja")

    assert "社内ネットワーク" in words.reason(
        {"code": "author.staff_proven", "author": "a@b.test", "by": "trusted network"}
    )
    told = words.reason({"code": "author.staff_proven", "author": "a@b.test", "by": "gateway dmarc=pass"})
    assert "メールゲートウェイの証明: dmarc=pass" in told
    absence = words.reason({"code": "report.absence", "owner": "a@b.test", "until": "2026-11-20T00:00:00Z"})
    assert "T00:00" not in absence
