"""Who wrote, where support@ stands, and the first question that says yes (DESIGN 2)."""

from dataclasses import replace

import pytest

from core.desk_samples import CUSTOMER, DESK, KEY, NOW, PROVEN, SUPPORT, UNPROVEN, ZOE, address, mail, members, seen
from supportrelay.core.decision import Direction, Place, Proof, Verdict
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import parse_path
from supportrelay.core.settings import SpamMark
from supportrelay.core.sight import own_trail, sort_forward_paths
from supportrelay.core.token import delivery_token, new_message_id, ticket_token, trail

TODAY = int(NOW.timestamp() // 86400)

WHO = [
    pytest.param("support@desk.test", "ours", id="support"),
    pytest.param("HELP@desk.test", "ours", id="alias-any-case"),
    pytest.param("support+anything@desk.test", "ours", id="plus-address"),
    pytest.param("support-relay@desk.test", "ours", id="sender"),
    pytest.param("support+b-abc@desk.test", "ours", id="bounce-address"),
    pytest.param("zoe@desk.test", "staff", id="internal-domain"),
    pytest.param("zoe@in.sub.test", "staff", id="subdomain-of-a-starred-domain"),
    pytest.param("zoe@sub.test", "external", id="the-starred-domain-itself"),
    pytest.param("zoe@else.desk.test", "external", id="subdomain-of-an-exact-domain"),
    pytest.param("kim@outside.example", "staff", id="listed"),
    pytest.param("lee@outside.example", "external", id="his-colleague"),
    pytest.param("own@elsewhere.example", "staff", id="current-owner"),
    pytest.param("all-sales@desk.test", "staff", id="allmember"),
    pytest.param(CUSTOMER, "external", id="customer"),
]


@pytest.mark.parametrize(("name", "kind"), WHO)
def test_everybody_is_ours_staff_or_external(name: str, kind: str) -> None:
    who, mailbox = members(owners=("own@elsewhere.example",)), parse_path(name)

    assert (who.is_ours(mailbox.key), who.is_staff(mailbox), who.is_external(mailbox)) == (
        kind == "ours",
        kind == "staff",
        kind == "external",
    )


def test_an_owner_with_one_of_our_addresses_is_not_staff() -> None:
    assert not members(owners=(SUPPORT,)).is_staff(parse_path(SUPPORT))


PLACES = [
    pytest.param(mail(to=SUPPORT), (), "support", Place.TO, id="to"),
    pytest.param(mail(to="x@y.example", cc=SUPPORT), (), "support", Place.CC, id="cc"),
    pytest.param(mail(to=SUPPORT, cc=SUPPORT), (), "support", Place.TO, id="both"),
    pytest.param(mail(to="x@y.example"), (SUPPORT,), "support", Place.OTHER, id="bcc"),
    pytest.param(mail(to="Help <Help@Desk.test>"), (), "support", Place.TO, id="alias"),
    pytest.param(mail(to="support+x@desk.test"), (), "support", Place.TO, id="plus-address"),
    pytest.param(mail(to="sales-relay@desk.test"), ("sales-relay@desk.test",), "sales", Place.OTHER, id="sender"),
    pytest.param(mail(to="x@y.example", cc=f"sales@desk.test, {SUPPORT}"), (), "sales", Place.CC, id="first-in-cc"),
    pytest.param(mail(to="sales@desk.test", cc=SUPPORT), (SUPPORT,), "sales", Place.TO, id="to-before-the-envelope"),
    pytest.param(mail(to="x@y.example"), ("sales@desk.test", SUPPORT), "sales", Place.OTHER, id="first-in-envelope"),
    pytest.param(
        mail(to=f"sales+b-{'a' * 28}@desk.test"), (f"sales+b-{'a' * 28}@desk.test",), "sales", Place.OTHER, id="bounce"
    ),
    pytest.param(mail(to="case@desk.test"), ("case@desk.test",), "support", Place.OTHER, id="known-to-a-rule-only"),
]


@pytest.mark.parametrize(("facts", "paths", "name", "place"), PLACES)
def test_where_support_stands(facts: Facts, paths: tuple[str, ...], name: str, place: Place) -> None:
    sight = seen(facts, paths=paths)

    assert (sight.address.name, sight.place) == (name, place)


INTERNAL = Proof(Verdict.PROVEN, "gateway dmarc=pass")
AUTHORS = [
    # facts, proof, author, direction
    pytest.param(mail(CUSTOMER), UNPROVEN, CUSTOMER, Direction.INBOUND, id="customer"),
    pytest.param(mail(ZOE, to=f"{CUSTOMER}, {SUPPORT}"), PROVEN, ZOE, Direction.OUTBOUND, id="outbound"),
    pytest.param(mail(ZOE), PROVEN, ZOE, Direction.NOTE, id="note"),
    pytest.param(mail(ZOE, to=f"ann@staff.test, {SUPPORT}"), PROVEN, ZOE, Direction.NOTE, id="note-to-a-colleague"),
    pytest.param(mail(ZOE, to=f"x@cases.example, {SUPPORT}"), PROVEN, ZOE, Direction.NOTE, id="note-to-a-case-address"),
    pytest.param(mail(ZOE, to=f"{CUSTOMER}, {SUPPORT}"), UNPROVEN, ZOE, Direction.UNPROVEN, id="forged"),
    pytest.param(mail(f"{ZOE}, evil@x.example", to=CUSTOMER), PROVEN, "", Direction.INBOUND, id="two-authors"),
    pytest.param(mail(f"{CUSTOMER}, b@acme.example"), UNPROVEN, CUSTOMER, Direction.INBOUND, id="two-customers"),
    pytest.param(mail("form@desk.test", reply_to=CUSTOMER), UNPROVEN, CUSTOMER, Direction.INBOUND, id="web-form"),
    pytest.param(mail("form@desk.test", reply_to=CUSTOMER), PROVEN, CUSTOMER, Direction.INBOUND, id="web-form-proven"),
    pytest.param(
        mail(ZOE, to=f"other@x.example, {SUPPORT}", reply_to=CUSTOMER), PROVEN, ZOE, Direction.OUTBOUND, id="no-form"
    ),
    pytest.param(
        mail(ZOE, to=f"{CUSTOMER}, {SUPPORT}", reply_to=CUSTOMER), PROVEN, CUSTOMER, Direction.INBOUND, id="form-cc"
    ),
    pytest.param(mail(SUPPORT), UNPROVEN, "", Direction.INBOUND, id="ours-is-nobody"),
    pytest.param(mail(SUPPORT, reply_to=CUSTOMER), UNPROVEN, "", Direction.INBOUND, id="ours-nobody-vouches"),
    pytest.param(mail(SUPPORT, reply_to=CUSTOMER), INTERNAL, CUSTOMER, Direction.INBOUND, id="our-group-by-reply-to"),
    pytest.param(mail(SUPPORT, x_original_from=CUSTOMER), INTERNAL, CUSTOMER, Direction.INBOUND, id="our-group"),
    pytest.param(
        mail("team@desk.test", x_original_sender=CUSTOMER), INTERNAL, CUSTOMER, Direction.INBOUND, id="group-of-ours"
    ),
    pytest.param(mail(SUPPORT, x_original_from=ZOE, to=CUSTOMER), INTERNAL, ZOE, Direction.UNPROVEN, id="group-staff"),
    pytest.param(mail(SUPPORT, x_original_from=CUSTOMER), UNPROVEN, "", Direction.INBOUND, id="group-nobody-vouches"),
    pytest.param(mail(CUSTOMER, x_original_from=ZOE), UNPROVEN, CUSTOMER, Direction.INBOUND, id="not-rewritten-by-us"),
]


@pytest.mark.parametrize(("facts", "proof", "author", "direction"), AUTHORS)
def test_who_wrote_and_what_kind_of_mail_it_is(facts: Facts, proof: Proof, author: str, direction: Direction) -> None:
    sight = seen(facts, proof=proof)

    assert (sight.author.key, sight.direction) == (author, direction)


FORM = members(replace(DESK, addresses=(address(form_senders=("form@*", SUPPORT, "*@web.example")),)))
FORMS = [
    pytest.param(mail("form@desk.test", reply_to=CUSTOMER), CUSTOMER, id="reply-to"),
    pytest.param(mail("x@web.example", reply_to=f"{ZOE}, {CUSTOMER}"), CUSTOMER, id="first-external-of-reply-to"),
    pytest.param(mail(SUPPORT, reply_to=CUSTOMER), CUSTOMER, id="in-our-own-name"),
    pytest.param(mail("form@desk.test"), "", id="without-an-answer-address"),
    pytest.param(mail("x@web.example"), "x@web.example", id="foreign-form-without-an-answer-address"),
]


@pytest.mark.parametrize("marks", [{}, {"auto_submitted": "auto-generated"}, {"precedence": "auto_reply"}], ids=str)
@pytest.mark.parametrize(("facts", "customer"), FORMS)
def test_a_forms_mail_is_inbound_and_never_automatic(facts: Facts, customer: str, marks: dict[str, str]) -> None:
    facts = replace(facts, fields=facts.fields | {k.replace("_", "-"): (v,) for k, v in marks.items()})

    sight = seen(facts, proof=PROVEN, who=FORM)

    assert sight.direction == Direction.INBOUND
    assert not sight.is_automatic
    assert not sight.author.is_staff
    assert [c.key for c in sight.customers] == ([customer] if customer else [])


def test_a_notice_through_our_own_group_stays_a_notice() -> None:
    """A group that rewrote From is no form: an absence notice that came through it moves nothing."""
    sight = seen(mail(SUPPORT, reply_to=CUSTOMER, auto_submitted="auto-replied"), proof=INTERNAL)

    assert sight.is_automatic_answer


OUTSIDE = [
    pytest.param("kim@outside.example", "trusted network", False, id="trusted-host"),
    pytest.param("kim@outside.example", "gateway dmarc=pass spf=pass", False, id="dmarc-by-spf"),
    pytest.param("kim@outside.example", "gateway dmarc=pass dkim=pass", True, id="dkim"),
    pytest.param("kim@outside.example", "auth kim", True, id="auth"),
    pytest.param(ZOE, "trusted network", True, id="internal-domain-by-trusted-host"),
    pytest.param(ZOE, "gateway spf=pass", True, id="internal-domain-by-spf"),
]


@pytest.mark.parametrize(("sender", "by", "is_proven"), OUTSIDE)
def test_staff_outside_internal_domains_needs_auth_or_dkim(sender: str, by: str, is_proven: bool) -> None:
    sight = seen(mail(sender, to=f"{CUSTOMER}, {SUPPORT}"), proof=Proof(Verdict.PROVEN, by))

    assert sight.direction == (Direction.OUTBOUND if is_proven else Direction.UNPROVEN)
    assert (sight.proof.verdict == Verdict.PROVEN) == is_proven


def test_externals_are_who_is_neither_staff_nor_ours_to_before_cc() -> None:
    facts = mail(
        ZOE,
        to=f"{SUPPORT}, b@x.example, ann@staff.test, A@X.example",
        cc="c@x.example, a@x.example, case@desk.test, sales@desk.test",
    )

    assert [m.key for m in seen(facts, proof=PROVEN).externals] == ["b@x.example", "a@x.example", "c@x.example"]


FORWARDS = "---------- Forwarded message ---------\r\nFrom: Kunde <kunde@acme.example>\r\nDate: x\r\nTo: y\r\n\r\nhi"


@pytest.mark.parametrize(
    ("body", "direction", "customers"),
    [
        pytest.param(FORWARDS, Direction.INBOUND, [CUSTOMER], id="a-customers-mail"),
        pytest.param(FORWARDS.replace(CUSTOMER, "ann@staff.test"), Direction.NOTE, [], id="a-colleagues-mail"),
        pytest.param("a thought", Direction.NOTE, [], id="nothing"),
    ],
)
def test_a_note_that_forwards_a_customers_mail_is_that_customers(
    body: str, direction: Direction, customers: list[str]
) -> None:
    sight = seen(mail(ZOE, body=body), proof=PROVEN)

    assert (sight.direction, [c.key for c in sight.customers]) == (direction, customers)
    assert (sight.forwarded_by is not None) == bool(customers)
    assert seen(mail(ZOE, body=body)).direction == Direction.UNPROVEN, "nobody forwards who is not proven"


def test_our_own_copy_is_a_loop_whoever_else_marked_it() -> None:
    mark = trail(KEY, "here", "Q1")

    for fields in (
        {"x_supportrelay_trail": mark},
        {"x_supportrelay_trail": f"foreign\r\nX-Supportrelay-Trail: {mark}"},
    ):
        facts = mail(**fields)
        assert seen(facts).direction == Direction.LOOP
        found = own_trail(facts, (KEY,))
        assert found is not None
        assert found.queue_id == "Q1"
    facts = replace(mail(), message_id=new_message_id(KEY, "Q1", "desk.test"))
    assert seen(facts).direction == Direction.LOOP


def test_a_forged_mark_is_no_loop() -> None:
    forged = trail(replace(KEY, secret=b"another"), "here", "Q1")

    assert seen(mail(x_supportrelay_trail=forged)).direction == Direction.INBOUND


def test_tokens_are_read_from_the_envelope_and_from_to_and_cc() -> None:
    delivery = f"support+b-{delivery_token(KEY, 42, TODAY)}@desk.test"
    on_ticket = f"Support+T{ticket_token(KEY, 7).upper()}@desk.test"

    assert seen(mail(), paths=(delivery,)).delivery_id == 42
    assert seen(mail(cc=delivery)).delivery_id == 42
    assert seen(mail(to=on_ticket)).ticket_id == 7
    assert seen(mail(to=f"support+b-{delivery_token(KEY, 42, TODAY - 15)}@desk.test")).delivery_id is None
    assert seen(mail(to="support+tokyo@desk.test")).ticket_id is None


def test_a_mail_is_called_spam_by_its_header() -> None:
    desk = replace(DESK, spam=SpamMark({"x-spam-flag": "YES"}))

    assert seen(mail(x_spam_flag=" yes "), who=members(desk)).is_spam
    assert not seen(mail(x_spam_flag="NO"), who=members(desk)).is_spam
    assert not seen(mail(x_spam_flag="YES, certainly"), who=members(desk)).is_spam


def test_forward_paths_are_sorted_by_what_becomes_of_them() -> None:
    paths = sort_forward_paths(
        [
            "Support+x@desk.test",
            "Postmaster@desk.test",
            "postmaster",
            "a@far.example",
            "z@cases.example",
            "abuse@far.example",
        ],
        members(),
    )

    assert paths.desk == ("Support+x@desk.test", "z@cases.example")
    assert paths.postmaster == ("Postmaster@desk.test", "postmaster")
    assert paths.elsewhere == ("a@far.example", "abuse@far.example")
