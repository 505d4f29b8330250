"""Which ticket a mail belongs to: what is looked up, and which claims are turned away (DESIGN 2, RELIABILITY C53)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from supportrelay.core.duplicate import duplicate_key
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.ports import WhereFrom
from supportrelay.core.settings import Desk, SupportAddress
from supportrelay.core.thread import Match, choose_ticket, subject_change, where_from
from supportrelay.core.ticket import Hit, HitBy, Stage, TicketView

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
ANN = Mailbox("Ann", "acme.example")
ADDRESS = SupportAddress(
    name="reflectle",
    address="support@reflectle.test",
    sender_name="x",
    sender_address="relay@reflectle.test",
    allmember=("all@reflectle.test",),
    bounce_address="support+b-{token}@reflectle.test",
)
DESK = Desk(
    addresses=(ADDRESS,),
    internal_domains=("reflectle.test",),
    admins=("it@reflectle.test",),
    hostname="relay.test",
    authserv_id="relay.test",
    stock_subjects=("お問い合わせ", "monthly report"),
)
ENVELOPE = Envelope("ann@acme.example", ("support@reflectle.test",), Peer("127.0.0.1", "x"))


def ask(facts: Facts, *, address: SupportAddress = ADDRESS, is_newsletter: bool = False) -> WhereFrom:
    return where_from(facts, ENVELOPE, DESK, address, ANN, 7, NOW, is_newsletter=is_newsletter)


def test_what_is_asked_of_the_store() -> None:
    facts = Facts(
        subject="Re: Line down",
        in_reply_to=("<3@x>",),
        references=("<1@x>", "<2@x>", "<3@x>"),
        thread_index=b"x" * 22,
    )

    assert ask(facts) == WhereFrom(
        duplicate_key=duplicate_key(facts),
        in_reply_to=("<3@x>",),
        references=("<2@x>", "<1@x>"),
        thread_index=b"x" * 22,
        token_ticket=7,
        customer="ann@acme.example",
        subject="line down",
        subject_since=NOW - timedelta(days=14),
        any_of_customer=False,
        address="reflectle",
        again_subject="line down",
        again_since=NOW - timedelta(minutes=10),
        accepted_at=NOW,
    )


@pytest.mark.parametrize(
    ("facts", "subject"),
    [
        pytest.param(Facts(subject="Re: Line down"), "line down", id="prefix"),
        pytest.param(Facts(subject="Re: [EXTERNAL] Line down"), "line down", id="tag"),
        pytest.param(Facts(subject="Line down", references=("<9@x>",)), "line down", id="unknown-references"),
        pytest.param(Facts(subject="Line down", in_reply_to=("<9@x>",)), "line down", id="unknown-parent"),
        pytest.param(Facts(subject="Line down"), "", id="no-reply"),
        pytest.param(Facts(subject="Re: Hello"), "", id="five-characters"),
        pytest.param(Facts(subject="Re: Hello!"), "hello!", id="six-characters"),
        pytest.param(Facts(subject="Re: お問い合わせ"), "", id="stock-subject"),
        pytest.param(Facts(subject="Re: Monthly Report"), "", id="stock-subject-in-capitals"),
        pytest.param(Facts(subject="Fwd: Line down", references=("<9@x>",)), "", id="forward"),
        pytest.param(Facts(subject="Line down", references=("<9@x>",), is_forward_subject=True), "", id="forward-mark"),
        pytest.param(Facts(subject="Re: "), "", id="empty"),
    ],
)
def test_the_subject_is_asked_only_for_what_looks_like_a_reply(facts: Facts, subject: str) -> None:
    assert ask(facts).subject == subject


def test_ticket_match_customer_widens_the_last_step() -> None:
    assert ask(Facts(subject="Hello"), address=replace(ADDRESS, ticket_match="customer")).any_of_customer


def test_a_newsletter_is_turned_away_from_threading() -> None:
    facts = Facts(message_id="<1@x>", in_reply_to=("<3@x>",), subject="Re: Line down")

    assert ask(facts, is_newsletter=True) == WhereFrom(duplicate_key=duplicate_key(facts), address="reflectle")


def test_a_short_thread_index_is_none() -> None:
    assert ask(Facts(thread_index=b"short")).thread_index == b""


def test_a_thousand_references_are_cut_to_the_ends_of_the_thread() -> None:
    references = tuple(f"<{number}@x>" for number in range(1000))

    asked = ask(Facts(references=references)).references

    assert len(asked) == 50
    assert asked[0] == "<999@x>"
    assert asked[-1] == "<0@x>"


def ticket(number: int = 12, **changes: object) -> TicketView:
    view = TicketView(
        id=number,
        conversation_id=number,
        version=1,
        stage=Stage.NEW,
        address="reflectle",
        subject="line down",
        customer="ann@acme.example",
        customer_domain="acme.example",
        company_id="1",
        company_name="ACME",
        deal_id="",
        deal_name="",
        participants=frozenset({"bob@other.example"}),
        created_at=NOW - timedelta(days=60),
        updated_at=NOW - timedelta(days=1),
        closed_at=None,
        last_customer_mail_at=None,
        last_customer_message_ids=(),
        moved_by_person_at=None,
    )
    return replace(view, **changes)  # type: ignore[arg-type]


STRANGER = {
    "author_key": "eve@evil.example",
    "author_domain": "evil.example",
    "company_ids": frozenset(),
    "is_proven_staff": False,
    "subject_key": "line down",
}
CUSTOMER = STRANGER | {"author_key": "ann@acme.example", "author_domain": "acme.example"}
STAFF = STRANGER | {"author_key": "tanaka@reflectle.test", "author_domain": "reflectle.test", "is_proven_staff": True}


def choose(writer: dict[str, object], *hits: Hit, **changes: object) -> Match:
    return choose_ticket(hits, now=NOW, reopen_within=timedelta(days=30), **(writer | changes))  # type: ignore[arg-type]


PARENT = Hit(HitBy.IN_REPLY_TO, ticket())


@pytest.mark.parametrize(
    ("writer", "joins"),
    [
        pytest.param(STRANGER, False, id="stranger"),
        pytest.param(STRANGER | {"author_key": "", "author_domain": ""}, False, id="nobody"),
        pytest.param(CUSTOMER, True, id="the-customer"),
        pytest.param(STAFF, True, id="proven-staff"),
        pytest.param(STAFF | {"is_proven_staff": False}, False, id="unproven-staff"),
        pytest.param(STRANGER | {"author_key": "bob@other.example"}, True, id="participant"),
        pytest.param(STRANGER | {"author_key": "zoe@acme.example", "author_domain": "acme.example"}, True, id="domain"),
        pytest.param(STRANGER | {"company_ids": frozenset({"1", "9"})}, True, id="company"),
        pytest.param(STRANGER | {"company_ids": frozenset({"9"})}, False, id="other-company"),
    ],
)
def test_a_claim_counts_only_from_who_has_to_do_with_the_ticket(writer: dict[str, object], joins: bool) -> None:
    match = choose(writer, PARENT)

    if joins:
        assert (match.ticket, match.by, match.refused) == (ticket(), HitBy.IN_REPLY_TO, ())
        assert match.related_ticket_id is None
        assert [reason.to_json() for reason in match.reasons] == [{"code": "thread.in_reply_to", "ticket": "SR-12"}]
    else:
        assert (match.ticket, match.by) == (None, None)
        assert match.refused == ((ticket(), "thread.not_on_ticket"),)
        assert match.related_ticket_id == 12
        assert [reason.to_json() for reason in match.reasons] == [{"code": "thread.not_on_ticket", "ticket": "SR-12"}]


@pytest.mark.parametrize("by", [pytest.param(by, id=by) for by in HitBy if by is not HitBy.AGAIN])
def test_no_way_of_finding_a_ticket_passes_the_guard(by: HitBy) -> None:
    """Not even a valid token: it may have been forwarded (RELIABILITY C53)."""
    assert choose(STRANGER, Hit(by, ticket())).ticket is None
    assert choose(CUSTOMER, Hit(by, ticket())).by is by


def test_a_free_mail_domain_is_nobodys_company() -> None:
    """The domain of a free-mail customer is "" on both sides."""
    free_mail = STRANGER | {"author_key": "zoe@gmail.example", "author_domain": ""}

    assert choose(free_mail, Hit(HitBy.IN_REPLY_TO, ticket(customer_domain="", company_id=""))).ticket is None


def test_a_customer_without_company_makes_no_company_of_others() -> None:
    assert choose(STRANGER | {"company_ids": frozenset({""})}, Hit(HitBy.TOKEN, ticket(company_id=""))).ticket is None


@pytest.mark.parametrize(
    ("changes", "by", "code"),
    [
        pytest.param({"stage": Stage.WAITING}, HitBy.IN_REPLY_TO, "", id="waiting"),
        pytest.param({"stage": Stage.OTHER}, HitBy.IN_REPLY_TO, "", id="stage-that-is-not-mapped"),
        pytest.param(
            {"stage": Stage.CLOSED, "closed_at": NOW - timedelta(days=30)}, HitBy.IN_REPLY_TO, "", id="closed-30-days"
        ),
        pytest.param(
            {"stage": Stage.CLOSED, "closed_at": NOW - timedelta(days=30, seconds=1)},
            HitBy.IN_REPLY_TO,
            "thread.closed_too_long",
            id="closed-longer",
        ),
        pytest.param(
            {"stage": Stage.CLOSED, "updated_at": NOW - timedelta(days=31)},
            HitBy.TOKEN,
            "thread.closed_too_long",
            id="closed-nobody-knows-when",
        ),
        pytest.param({"closed_at": NOW - timedelta(days=99)}, HitBy.TOKEN, "", id="opened-again"),
        pytest.param(
            {"stage": Stage.CLOSED, "closed_at": NOW}, HitBy.SUBJECT, "thread.not_open", id="subject-joins-open-ones"
        ),
        pytest.param(
            {"stage": Stage.CLOSED, "closed_at": NOW}, HitBy.CUSTOMER, "thread.not_open", id="customer-joins-open-ones"
        ),
        pytest.param({}, HitBy.SUBJECT, "", id="subject-of-an-open-one"),
        pytest.param({"is_trashed": True}, HitBy.TOKEN, "thread.trashed", id="deleted-at-the-desk"),
        pytest.param(
            {"is_trashed": True, "stage": Stage.CLOSED, "closed_at": NOW},
            HitBy.IN_REPLY_TO,
            "thread.trashed",
            id="deleted-when-it-was-closed",
        ),
    ],
)
def test_a_ticket_must_be_open_or_closed_lately(changes: dict[str, object], by: HitBy, code: str) -> None:
    match = choose(CUSTOMER, Hit(by, ticket(**changes)))  # type: ignore[arg-type]

    assert (match.ticket is None) is bool(code)
    assert [refused for _, refused in match.refused] == ([code] if code else [])


@pytest.mark.parametrize(
    ("writer", "changes", "joins"),
    [
        pytest.param(STRANGER | {"author_key": "bob@other.example"}, {}, True, id="same-subject"),
        pytest.param(
            STRANGER | {"author_key": "bob@other.example"}, {"subject_key": "other"}, False, id="other-subject"
        ),
        pytest.param(CUSTOMER, {"subject_key": "other"}, True, id="other-subject-same-company"),
        pytest.param(STAFF, {"subject_key": "other"}, False, id="staff-other-subject"),
        pytest.param(STAFF, {"subject_key": "other", "company_ids": frozenset({"1"})}, True, id="staff-same-company"),
        pytest.param(STRANGER, {}, False, id="the-guard-is-asked-all-the-same"),
    ],
)
def test_an_id_that_was_only_named_weighs_less(
    writer: dict[str, object], changes: dict[str, object], joins: bool
) -> None:
    match = choose(writer, Hit(HitBy.REFERENCES, ticket(), is_anchor=True), **changes)

    assert (match.ticket is not None) is joins


def test_two_empty_subjects_are_not_equal() -> None:
    anchor = Hit(HitBy.REFERENCES, ticket(subject=""), is_anchor=True)

    assert choose(STRANGER | {"author_key": "bob@other.example"}, anchor, subject_key="").ticket is None


@pytest.mark.parametrize(
    ("writer", "joins"),
    [
        pytest.param(STRANGER | {"author_key": "zoe@acme.example", "author_domain": "acme.example"}, False, id="new"),
        pytest.param(CUSTOMER, True, id="the-customer"),
        pytest.param(STAFF, True, id="staff"),
    ],
)
def test_a_forward_by_somebody_new_starts_a_ticket(writer: dict[str, object], joins: bool) -> None:
    match = choose(writer, PARENT, is_forward_subject=True)

    assert (match.ticket is not None) is joins
    if not joins:
        assert match.refused[0][1] == "thread.forwarded_by_stranger"
        assert match.related_ticket_id == 12


def test_the_first_hit_by_rank_wins_whatever_their_order() -> None:
    match = choose(
        CUSTOMER, Hit(HitBy.SUBJECT, ticket(1)), Hit(HitBy.REFERENCES, ticket(2)), Hit(HitBy.TOKEN, ticket(3))
    )

    assert match.ticket == ticket(3)
    assert [reason.code for reason in match.reasons] == ["thread.token"]


def test_of_two_tickets_the_rightmost_reference_wins_and_the_other_is_named() -> None:
    match = choose(CUSTOMER, Hit(HitBy.REFERENCES, ticket(5)), Hit(HitBy.REFERENCES, ticket(4)))

    assert match.ticket == ticket(5)
    assert [reason.to_json() for reason in match.reasons] == [
        {"code": "thread.references", "ticket": "SR-5"},
        {"code": "thread.several", "ticket": "SR-4"},
    ]


def test_a_refused_hit_gives_way_to_the_next_and_is_still_named() -> None:
    foreign = ticket(1, customer="x@foreign.example", customer_domain="foreign.example", company_id="7")

    match = choose(CUSTOMER, Hit(HitBy.IN_REPLY_TO, foreign), Hit(HitBy.SUBJECT, ticket(2)))

    assert (match.ticket, match.by) == (ticket(2), HitBy.SUBJECT)
    assert match.refused == ((foreign, "thread.not_on_ticket"),)
    assert match.related_ticket_id is None


def test_a_ticket_found_in_another_way_is_not_also_refused() -> None:
    """An anchor that weighs too little and a known id to the left of it, both of one ticket."""
    bob = STRANGER | {"author_key": "bob@other.example", "subject_key": "other"}

    match = choose(bob, Hit(HitBy.REFERENCES, ticket(), is_anchor=True), Hit(HitBy.REFERENCES, ticket()))

    assert match.ticket == ticket()
    assert match.refused == ()


def test_no_hits_make_no_match() -> None:
    assert choose(CUSTOMER) == Match()


# --- one id for many mails, one mail sent twice


@pytest.mark.parametrize(
    ("subject", "joins"),
    [
        pytest.param("line down", True, id="same-subject"),
        pytest.param("toner low", False, id="a-device-with-one-id"),
        pytest.param("", False, id="none"),
    ],
)
def test_a_used_id_leads_to_its_ticket_only_under_the_same_subject(subject: str, joins: bool) -> None:
    match = choose(CUSTOMER, Hit(HitBy.SAME_ID, ticket()), subject_key=subject)

    assert (match.ticket is not None) is joins
    assert match.refused == (), "what has nothing to do with it is not named either"


def test_a_mail_sent_twice_is_marked_and_names_the_other_but_only_ids_put_it_there() -> None:
    again = Hit(HitBy.AGAIN, ticket(), queue_id="q1")

    alone = choose(CUSTOMER, again)
    assert (alone.ticket, alone.is_again, alone.related_ticket_id) == (None, True, 12)
    assert [reason.code for reason in alone.reasons] == ["thread.again"]
    both = choose(CUSTOMER, PARENT, again)
    assert (both.by, both.is_again, both.refused) == (HitBy.IN_REPLY_TO, True, ())
    assert not choose(CUSTOMER, PARENT).is_again


# --- another subject

QUOTING = Facts(subject="Toner low", body_text="It is empty.\n\n> Line down", own_text="It is empty.")
BARE = Facts(subject="Toner low", body_text="It is\nempty.", own_text="It is\nempty.")


@pytest.mark.parametrize(
    ("facts", "silence", "is_new_matter"),
    [
        pytest.param(BARE, timedelta(days=30), True, id="after-a-month"),
        pytest.param(BARE, timedelta(days=29), False, id="before"),
        pytest.param(QUOTING, timedelta(days=90), False, id="with-a-quote"),
    ],
)
def test_another_subject_is_noted_and_after_a_long_silence_asked_about(
    facts: Facts, silence: timedelta, is_new_matter: bool
) -> None:
    found = choose(CUSTOMER, Hit(HitBy.IN_REPLY_TO, ticket(last_mail_at=NOW - silence)))

    match = subject_change(found, facts, "toner low", NOW)

    assert match.ticket is found.ticket
    assert (match.new_subject, match.is_new_matter) == (True, is_new_matter)
    codes = [reason.code for reason in match.reasons]
    assert codes == ["thread.in_reply_to", "thread.new_subject", *(["thread.new_matter"] if is_new_matter else [])]


def test_the_threads_own_subject_or_none_is_no_other_one() -> None:
    found = choose(CUSTOMER, PARENT)

    assert subject_change(found, BARE, "line down", NOW) is found
    assert subject_change(found, BARE, "", NOW) is found
    assert subject_change(Match(), BARE, "toner low", NOW) == Match()
