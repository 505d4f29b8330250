"""Who gets a copy, who is left out, and whom a reply reaches (DESIGN 2, last points; DESIGN 3)."""

from dataclasses import replace
from typing import Any

import pytest

from core.desk_samples import CUSTOMER, DESK, PROVEN, SUPPORT, UNPROVEN, ZOE, address, mail, members, seen
from supportrelay.core.decision import Fallback, Proof, Recipient
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.facts import Facts
from supportrelay.core.recipients import Choice, choose_recipients, each_once, passed_on, reply_to
from supportrelay.core.rules import Route, RouteKind, RuleOutcome
from supportrelay.core.sight import ForwardPaths

ANN, BEN, ALL = "ann@staff.test", "ben@staff.test", "all-support@desk.test"


def chosen(
    facts: Facts,
    *owners: str,
    proof: Proof = UNPROVEN,
    fallback: Fallback | None = None,
    outcome: RuleOutcome | None = None,
    **settings: Any,
) -> Choice:
    who = members(replace(DESK, addresses=(address(**settings), *DESK.addresses[1:])))
    return choose_recipients(
        seen(facts, proof=proof, who=who),
        facts,
        owners=owners,
        fallback=fallback,
        outcome=outcome or RuleOutcome(),
        members=who,
        teams={"second": (BEN, "far@expert.example"), "empty": ()},
    )


def addresses(choice: Choice) -> list[str]:
    return [one.address for one in choice.people]


OUTBOUND = mail(ANN, to=f"{CUSTOMER}, {SUPPORT}")
LEFT_OUT = [
    # facts, proof, owners, settings, who gets it
    pytest.param(mail(), UNPROVEN, [ANN, BEN], {}, [ANN, BEN], id="owners"),
    pytest.param(mail(), UNPROVEN, [], {}, [ALL], id="else-allmember"),
    pytest.param(OUTBOUND, PROVEN, [ANN, BEN], {}, [BEN], id="not-the-author"),
    pytest.param(OUTBOUND, PROVEN, [ANN, BEN], {"copy_to_author": True}, [ANN, BEN], id="the-author-when-wanted"),
    pytest.param(OUTBOUND, PROVEN, [ANN], {}, [], id="the-only-owner-wrote-it"),
    pytest.param(mail(cc=ANN), UNPROVEN, [ANN, BEN], {}, [BEN], id="not-who-is-addressed"),
    pytest.param(mail(cc=ANN), UNPROVEN, [ANN, BEN], {"copy_to_addressed": True}, [ANN, BEN], id="but-when-wanted"),
    pytest.param(mail(cc=f"Ann <ANN@staff.test>, {BEN}"), UNPROVEN, [ANN, BEN], {}, [ANN, BEN], id="nobody-left"),
    pytest.param(mail(cc=ALL), UNPROVEN, [], {}, [ALL], id="allmember-addressed-inbound"),
    pytest.param(mail(ZOE, to=f"{CUSTOMER}, {SUPPORT}", cc=ANN), PROVEN, [ANN], {}, [], id="nobody-left-outbound"),
    pytest.param(mail(ANN, to=SUPPORT), PROVEN, [ANN], {}, [], id="the-only-owners-note"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "proof", "owners", "settings", "gets"), LEFT_OUT)
def test_who_is_left_out(
    facts: Facts, proof: Proof, owners: list[str], settings: dict[str, Any], gets: list[str]
) -> None:
    assert addresses(chosen(facts, *owners, proof=proof, **settings)) == gets


@pytest.mark.parametrize(("how", "gets"), [("admins", ["it@staff.test"]), ("allmember", [ALL])])
@pytest.mark.parametrize("author", [ZOE, "it@staff.test", ALL])
def test_who_only_says_to_be_the_author_is_not_left_out(how: str, gets: list[str], author: str) -> None:
    forged = mail(author, to=f"{CUSTOMER}, {SUPPORT}")

    found = chosen(forged, fallback=Fallback.UNPROVEN_SENDER, unproven_staff=how)

    assert addresses(found) == gets


def test_outside_our_from_stands_where_the_authors_would_be_refused() -> None:
    """DESIGN 3, last point; our own people's copies carry it anyhow."""
    outcome = RuleOutcome(also_to=("x@far.example",), rewrite_recipient="case@crm.example")

    found = chosen(mail(), ANN, proof=replace(UNPROVEN, fails_elsewhere=True), outcome=outcome)

    assert [(one.address, one.kind) for one in found.people] == [
        (ANN, DeliveryKind.OWNER),
        ("x@far.example", DeliveryKind.REWRITTEN),
        ("case@crm.example", DeliveryKind.REWRITTEN),
    ]
    assert [one.code for one in found.reasons].count("recipients.rewritten") == 2


def test_a_person_gets_one_copy() -> None:
    people = [Recipient(a, DeliveryKind.OWNER, "x") for a in (ANN, "ANN@staff.test", BEN, ANN)]

    assert [one.address for one in each_once(people)] == [ANN, BEN]


def routed(kind: RouteKind, **more: Any) -> RuleOutcome:
    return RuleOutcome(route=Route(kind, **more))


ROUTES = [
    pytest.param(routed(RouteKind.ALLMEMBER), [(ALL, DeliveryKind.LIST)], id="allmember"),
    pytest.param(
        routed(RouteKind.ADDRESSES, addresses=(BEN, "x@far.example")),
        [(BEN, DeliveryKind.OWNER), ("x@far.example", DeliveryKind.AS_IS)],
        id="addresses-outside-get-the-original",
    ),
    pytest.param(
        routed(RouteKind.TEAM, team="second"),
        [(BEN, DeliveryKind.OWNER), ("far@expert.example", DeliveryKind.AS_IS)],
        id="team",
    ),
    pytest.param(routed(RouteKind.TEAM, team="empty"), [(ALL, DeliveryKind.LIST)], id="nobody-in-the-team"),
    pytest.param(routed(RouteKind.OWNERS), [(ANN, DeliveryKind.OWNER)], id="owners"),
    pytest.param(
        RuleOutcome(also_to=(BEN, ANN), rewrite_recipient="case@crm.example"),
        [(ANN, DeliveryKind.OWNER), (BEN, DeliveryKind.OWNER), ("case@crm.example", DeliveryKind.AS_IS)],
        id="also-and-rewritten",
    ),
]


@pytest.mark.parametrize(("outcome", "gets"), ROUTES)
def test_what_rules_say(outcome: RuleOutcome, gets: list[tuple[str, DeliveryKind]]) -> None:
    assert [(one.address, one.kind) for one in chosen(mail(), ANN, outcome=outcome).people] == gets


def test_who_gets_it_as_it_came() -> None:
    people = passed_on(ForwardPaths((SUPPORT,), ("postmaster@desk.test",), ("a@far.example",)), members())

    assert [(one.address, one.kind) for one in people] == [
        ("it@staff.test", DeliveryKind.AS_IS),
        ("a@far.example", DeliveryKind.SUBMITTED),
    ]


REPLIES = [
    pytest.param(mail("Kunde <kunde@acme.example>"), ["Kunde <kunde@acme.example>", SUPPORT], id="author-and-support"),
    pytest.param(mail(reply_to="a@x.example, b@x.example"), ["a@x.example", "b@x.example", SUPPORT], id="his-reply-to"),
    pytest.param(
        mail(to=f"{SUPPORT}, b@x.example", cc="c@x.example, B@x.example"),
        [CUSTOMER, "b@x.example", "c@x.example", SUPPORT],
        id="everybody-once",
    ),
    pytest.param(
        mail(to="support+t9@desk.test, help@desk.test, support-relay@desk.test", cc=f"{ALL}, case@desk.test"),
        [CUSTOMER, SUPPORT],
        id="nobody-of-ours-and-no-token",
    ),
    pytest.param(mail(cc=f"{ANN}, {ZOE}"), [CUSTOMER, ZOE, SUPPORT], id="no-owner-of-this-ticket"),
    pytest.param(mail(reply_to=SUPPORT), [CUSTOMER, SUPPORT], id="his-reply-to-names-only-us"),
    pytest.param(mail(reply_to=f"{ANN}, {ZOE}"), [CUSTOMER, ANN, ZOE, SUPPORT], id="his-reply-to-names-colleagues"),
    pytest.param(mail(reply_to="team:a@x.example, b@x.example;"), ["a@x.example", "b@x.example", SUPPORT], id="group"),
    pytest.param(mail("Mr. X <kunde@acme.example>"), ['"Mr. X" <kunde@acme.example>', SUPPORT], id="quoted"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "printed"), REPLIES)
def test_whom_a_reply_reaches(facts: Facts, printed: list[str]) -> None:
    assert reply_to(seen(facts), facts, owners=[ANN], members=members()) == (tuple(printed), False)


def test_a_reply_to_a_colleagues_mail_reaches_him_too() -> None:
    facts = mail(ANN, to=f"{CUSTOMER}, {SUPPORT}")

    assert reply_to(seen(facts, proof=PROVEN), facts, owners=[ANN], members=members())[0] == (ANN, CUSTOMER, SUPPORT)


def test_a_reply_to_an_unproven_colleague_reaches_support_only() -> None:
    facts = mail(ZOE, to=f"{CUSTOMER}, {SUPPORT}", reply_to=ANN)

    assert reply_to(seen(facts), facts, owners=[], members=members()) == ((SUPPORT,), False)


def test_a_reply_to_a_forwarded_mail_reaches_its_author_and_who_forwarded_it() -> None:
    body = "---------- Forwarded message ---------\r\nFrom: kunde@acme.example\r\nDate: x\r\nTo: y\r\n\r\nhi"
    facts = mail(ZOE, body=body)

    assert reply_to(seen(facts, proof=PROVEN), facts, owners=[], members=members())[0] == (CUSTOMER, ZOE, SUPPORT)


def test_the_address_that_a_group_put_in_reply_to_is_not_the_author() -> None:
    facts = mail("Kunde via team <team@desk.test>", x_original_from=CUSTOMER, reply_to="team@desk.test")

    assert reply_to(seen(facts, proof=PROVEN), facts, owners=[], members=members())[0] == (CUSTOMER, SUPPORT)


@pytest.mark.parametrize(("others", "is_cut"), [(18, False), (19, True)])
def test_over_twenty_addresses_the_author_and_support_only(others: int, is_cut: bool) -> None:
    facts = mail(to=", ".join([SUPPORT, *(f"p{n}@x.example" for n in range(others))]))

    printed, cut = reply_to(seen(facts), facts, owners=[], members=members())

    assert cut == is_cut
    assert len(printed) == (2 if is_cut else 20)
    assert (printed[0], printed[-1]) == (CUSTOMER, SUPPORT)


@pytest.mark.parametrize(
    ("reply_to_field", "author"),
    [
        pytest.param("desk@acme.example", "desk@acme.example", id="where-he-takes-answers"),
        pytest.param(", ".join(f"p{n}@x.example" for n in range(21)), CUSTOMER, id="a-list-of-people"),
    ],
)
def test_over_twenty_addresses_the_author_is_where_he_takes_answers(reply_to_field: str, author: str) -> None:
    facts = mail(to=", ".join([SUPPORT, *(f"c{n}@x.example" for n in range(21))]), reply_to=reply_to_field)

    assert reply_to(seen(facts), facts, owners=[], members=members()) == ((author, SUPPORT), True)
