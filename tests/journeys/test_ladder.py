"""What a server refuses for its size, its content or its form, or cannot take at all, and what it is sent instead."""

import base64
import re
import smtplib
from collections.abc import Iterator
from typing import Any

import pytest

from journeys.companies import one_owner
from journeys.letters import Desk, decoded, dsn, fields, header, open_desk, support_address
from journeys.relay import free_port
from rfc_checker import Circumstances, check
from rfc_mime import Entity, decode, read_entity, walk
from smtp_sink import Received

OWNER = "ann@staff.test"
ALL = "all-support@desk.test"
SUPPORT = "support@desk.test"
SENDER = "support-relay@desk.test"
CUSTOMER = "kunde@acme.example"
TOO_LARGE = "552 5.3.4 message too large"
UNWANTED = "554 5.7.1 content refused"
WIDE = ("SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
PICTURE = bytes(range(256)) * 600


@pytest.fixture(scope="module")
def open_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    config = {
        "addresses": [
            support_address("support", language="en"),
            support_address("new", language="en", message_id="new"),
        ],
        "web": {"host": "127.0.0.1", "port": free_port(), "public_url": "https://desk.test"},
    }
    with open_desk(tmp_path_factory.mktemp("ladder"), config, [one_owner("acme", OWNER)]) as desk:
        yield desk


@pytest.fixture
def desk(open_one: Desk) -> Iterator[Desk]:
    open_one.sink.clear()
    yield open_one
    open_one.sink.behave_well()
    # The sink keeps a mail before it answers: cut off here, the copy would come once more in a later test.
    open_one.relay.settle()
    open_one.sink.settings.extensions = WIDE
    open_one.sink.close_connections()  # what was said at EHLO holds as long as they do


def letter(
    name: str, *, body: str = "Please look at the picture.", to: str = SUPPORT, attachment: bytes = PICTURE
) -> tuple[bytes, str]:
    """A mail with a text in 8 bits, a picture and a note; its Message-ID."""
    message_id = f"<{name.replace(' ', '.')}@acme.example>"
    picture = base64.encodebytes(attachment).replace(b"\n", b"\r\n").decode()
    octets = (
        f"From: Kunde <{CUSTOMER}>\r\nTo: {to}\r\nSubject: the {name}\r\nMessage-ID: {message_id}\r\n"
        "References: <older@acme.example>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0900\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body} 名前\r\n"
        '--b\r\nContent-Type: image/png; name="plan.png"\r\nContent-Transfer-Encoding: base64\r\n'
        f'Content-Disposition: attachment; filename="plan.png"\r\n\r\n{picture}\r\n'
        '--b\r\nContent-Type: text/csv; charset=utf-8\r\nContent-Disposition: attachment; filename="Größe.csv"\r\n'
        "Content-Transfer-Encoding: 8bit\r\n\r\nä;ö\r\n--b--\r\n"
    )
    return octets.encode(), message_id


def kept_raw(desk: Desk, queue_id: str) -> bytes:
    """What `supportrelay queue show ID --raw` prints."""
    return base64.b64decode(desk.relay.ask("queue.raw", queue_id=queue_id)["octets"])


def delivery(desk: Desk, message_id: str, recipient: str = OWNER) -> dict[str, Any]:
    return next(one for one in desk.life(message_id)["deliveries"] if one["recipient"] == recipient)


def is_whole(octets: bytes) -> bool:
    """The picture is in it."""
    return b'filename="plan.png"' in octets


def is_about_it(octets: bytes) -> bool:
    return is_whole(octets) or b"original.eml" in octets


def texts(copy: Received) -> str:
    """All that a reader sees of its texts."""
    parts = [part for part in walk(read_entity(copy.octets)) if part.kind == "text/plain"]
    return "\n".join(decode(part).decode("utf-8") for part in parts)


def well_formed(copy: Received, sent: bytes) -> list[str]:
    """What RFC 5322 and 2045 have against a copy, whatever its form is."""
    circumstances = Circumstances(SENDER, eight_bit="BODY=8BITMIME" in copy.mail_parameters)
    found = check(sent, copy.octets, circumstances)
    return [str(one) for one in found if one.rule in {"line", "eight_bit", "boundary"}]


def part_named(entity: Entity, name: str) -> Entity:
    return next(part for part in walk(entity) if part.filename == name)


# -- refused for the size ----------------------------------------------------------------------------------------------


def test_a_copy_too_large_goes_out_without_its_attachments_which_it_names(desk: Desk) -> None:
    sent, message_id = letter("floor plan")
    desk.sink.refuse("dot", TOO_LARGE, recipient=OWNER, when=is_whole)

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    assert copy.recipients == (OWNER,)
    assert not well_formed(copy, sent)
    seen = texts(copy)
    assert "Please look at the picture. 名前" in seen
    assert "- plan.png (150 KB)" in seen
    assert "Größe.csv (" in seen
    assert "too large for it (552 5.3.4)" in seen
    assert header(copy.octets, "Message-ID") != message_id
    assert fields(copy.octets, "References") == [f"<older@acme.example> {message_id}"]
    assert header(copy.octets, "X-Original-Message-ID") == message_id
    life = desk.life(message_id)
    assert life["state"] == "delivered"
    found = delivery(desk, message_id)
    assert (found["state"], found["form"], found["attempts"]) == ("delivered", "light", 2)
    assert [one["outcome"] for one in found["attempts_made"]] == ["reshaped", "delivered"]
    assert kept_raw(desk, life["queue_id"]) == sent


def test_an_answer_to_the_second_copy_finds_the_ticket(desk: Desk) -> None:
    sent, message_id = letter("answered plan")
    desk.sink.refuse("dot", TOO_LARGE, recipient=OWNER, when=is_whole)
    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)
    answer = (
        f"From: Kunde <{CUSTOMER}>\r\nTo: {SUPPORT}\r\nSubject: another matter\r\nMessage-ID: <reply@acme.example>\r\n"
        f"In-Reply-To: {header(copy.octets, 'Message-ID')}\r\nDate: Mon, 2 Mar 2026 11:00:00 +0900\r\n\r\nYes.\r\n"
    )

    desk.post(answer.encode(), CUSTOMER, SUPPORT)

    assert desk.life("<reply@acme.example>")["ticket"] == desk.life(message_id)["ticket"]


def test_a_size_that_the_server_tells_is_never_uploaded(desk: Desk) -> None:
    sent, message_id = letter("announced size")
    desk.sink.settings.extensions = ("SIZE 20000", "8BITMIME")
    desk.sink.close_connections()

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    assert delivery(desk, message_id)["form"] == "light"
    assert len(copy.octets) < 20000
    assert not desk.sink.unanswered
    assert sum(line.startswith("DATA") for _, line in desk.sink.commands) == 1


def test_a_text_too_large_becomes_a_notice_with_a_link_and_the_way_to_the_original(desk: Desk) -> None:
    sent, message_id = letter("long story", body="word " * 9000)
    desk.sink.refuse("dot", TOO_LARGE, recipient=OWNER, when=lambda octets: b"word word" in octets)

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    life = desk.life(message_id)
    seen = texts(copy)
    assert not well_formed(copy, sent)
    assert (len(copy.octets) < 6000, read_entity(copy.octets).kind) == (True, "text/plain")
    assert "Author: Kunde <kunde@acme.example>" in seen
    assert "Subject: the long story" in seen
    assert "- plan.png (150 KB)" in seen, "what was attached is named"
    assert f"https://desk.test/t/{life['ticket']}" in seen
    assert f"supportrelay queue show {life['queue_id']} --raw" in seen
    assert header(copy.octets, "Subject") == "the long story"
    assert CUSTOMER in header(copy.octets, "Reply-To")
    assert delivery(desk, message_id)["form"] == "notice"
    assert kept_raw(desk, life["queue_id"]) == sent
    raw = desk.relay.run("queue", "show", life["queue_id"], "--raw").out
    assert raw.encode().replace(b"\r\n", b"\n") == sent.replace(b"\r\n", b"\n")


# -- refused for content or form ---------------------------------------------------------------------------------------


def test_refused_content_goes_out_attached_under_a_clean_header_and_then_as_a_notice(desk: Desk) -> None:
    sent, message_id = letter("strange file")
    desk.sink.refuse("dot", UNWANTED, recipient=OWNER, when=is_whole)

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    entity = read_entity(copy.octets)
    assert copy.octets.isascii()
    assert not well_formed(copy, sent)
    assert decode(part_named(entity, "original.eml")) == sent
    assert part_named(entity, "original.eml").kind == "application/octet-stream"
    assert "its content or its form was refused (554 5.7.1)" in texts(copy)
    assert delivery(desk, message_id)["form"] == "attached"

    sent, message_id = letter("stranger file")
    desk.sink.behave_well()
    desk.sink.refuse("dot", UNWANTED, recipient=OWNER, when=is_about_it)

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    assert [is_about_it(one.octets) for one in desk.sink.unanswered[-2:]] == [True, True]
    ids = [header(one.octets, "Message-ID") for one in (*desk.sink.unanswered[-2:], copy)]
    assert len(set(ids)) == 3
    assert ids[0] == message_id
    assert delivery(desk, message_id)["form"] == "notice"
    story = desk.relay.run("trace", message_id, "--language", "en").out
    assert "a clean mail with the original attached goes out at once" in story
    assert "a short notice goes out at once" in story


def test_a_form_is_kept_by_a_server_that_comes_back_later(desk: Desk) -> None:
    sent, message_id = letter("patient file")
    desk.sink.refuse("dot", UNWANTED, recipient=OWNER, when=is_whole)
    desk.sink.refuse("dot", "450 4.2.0 later", recipient=OWNER, times=1)

    assert desk.post(sent, CUSTOMER, SUPPORT) == []
    assert (delivery(desk, message_id)["state"], delivery(desk, message_id)["form"]) == ("deferred", "attached")
    first = desk.sink.unanswered[-1].octets
    assert desk.relay.stop() == 0
    desk.relay.start()
    desk.relay.run("queue", "retry", message_id)
    (copy,) = desk.sink.wait_for(1)

    assert copy.octets == first


def test_what_is_refused_in_every_form_fails_with_an_alarm_and_goes_to_allmember(desk: Desk) -> None:
    sent, message_id = letter("hopeless file")
    desk.sink.refuse("dot", UNWANTED, recipient=OWNER)
    offset = desk.relay.log_path.stat().st_size

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    assert copy.recipients == (ALL,)
    assert is_whole(copy.octets)
    found = delivery(desk, message_id)
    assert (found["state"], found["form"], found["attempts"]) == ("failed", "notice", 3)
    assert [len(one.octets) > 100_000 for one in desk.sink.unanswered[-3:]] == [True, True, False]
    alarm = [line for line in desk.relay.log_path.read_text()[offset:].splitlines() if "refused_in_every_form" in line]
    assert len(alarm) == 1
    assert '"level": "error"' in alarm[0]
    assert desk.life(message_id)["state"] == "delivered"


def test_what_nobody_takes_is_dead_kept_and_told(desk: Desk) -> None:
    """The hook of the report to its author: `message.dead` in the record."""
    sent, message_id = letter("dead file")
    desk.sink.refuse("dot", UNWANTED)

    assert desk.post(sent, CUSTOMER, SUPPORT) == []

    life = desk.life(message_id)
    assert life["state"] == "dead"
    assert [one["what"] for one in life["changes"]][-1] == "message.dead"
    assert {one["recipient"]: (one["form"], one["attempts"]) for one in life["deliveries"]} == {
        OWNER: ("notice", 3),
        ALL: ("notice", 3),
    }
    assert kept_raw(desk, life["queue_id"]) == sent


def test_our_own_fault_asks_for_no_other_form(desk: Desk) -> None:
    sent, message_id = letter("our fault")
    desk.sink.refuse("dot", "550 5.7.60 cannot send as this sender", times=1)

    assert desk.post(sent, CUSTOMER, SUPPORT) == []

    assert (delivery(desk, message_id)["state"], delivery(desk, message_id)["form"]) == ("deferred", "full")
    desk.relay.run("queue", "retry", message_id)
    assert is_whole(desk.sink.wait_for(1)[0].octets)


@pytest.mark.parametrize(("status", "form"), [("5.3.4", "light"), ("5.6.1", "attached"), ("5.6.7", "full")])
def test_what_a_later_server_reports_of_the_mail_is_answered_with_another_form(
    desk: Desk, status: str, form: str
) -> None:
    """A smarthost takes everything and reports what the mailbox's server said."""
    sent, message_id = letter(f"reported {status}")
    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)
    report = dsn(copy.octets, [(OWNER, "failed", status)], to=copy.reverse_path, message_id=f"<dsn.{status}@mx.test>")

    arrived = desk.post(report.replace(b"no such user", b"not taken"), "", copy.reverse_path)

    assert delivery(desk, message_id)["form"] == form
    (second,) = arrived
    assert second.recipients == (ALL if form == "full" else OWNER,)
    assert form != "attached" or decode(part_named(read_entity(second.octets), "original.eml")) == sent
    assert desk.life(message_id)["state"] == "delivered"


def test_a_late_report_of_the_first_form_says_nothing_of_the_next(desk: Desk) -> None:
    """Two servers behind the smarthost report the same refusal; the second must not cost the copy another form."""
    sent, message_id = letter("reported twice")
    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)
    light = copy
    for number in (1, 2):
        again = dsn(
            copy.octets, [(OWNER, "failed", "5.3.4")], to=copy.reverse_path, message_id=f"<late.{number}@mx.test>"
        )
        arrived = desk.post(again.replace(b"no such user", b"too large"), "", copy.reverse_path)
        assert len(arrived) == 2 - number
        light = arrived[0] if arrived else light
    gone = dsn(copy.octets, [(OWNER, "failed", "5.1.1")], to=copy.reverse_path, message_id="<late.3@mx.test>")
    assert not desk.post(gone, "", copy.reverse_path)

    found = delivery(desk, message_id)
    assert (found["form"], found["state"]) == ("light", "delivered")
    own = dsn(light.octets, [(OWNER, "failed", "5.3.4")], to=copy.reverse_path, message_id="<late.4@mx.test>")
    assert len(desk.post(own.replace(b"no such user", b"too large"), "", copy.reverse_path)) == 1
    assert delivery(desk, message_id)["form"] == "notice"


def test_new_message_ids_name_each_other(desk: Desk) -> None:
    sent, message_id = letter("renamed file", to="new@desk.test")
    desk.sink.refuse("dot", TOO_LARGE, when=is_whole)

    (copy,) = desk.post(sent, CUSTOMER, "new@desk.test")

    first = header(desk.sink.unanswered[-1].octets, "Message-ID")
    own = header(copy.octets, "Message-ID")
    assert len({first, own, message_id}) == 3
    assert fields(copy.octets, "References") == [f"<older@acme.example> {message_id} {first}"]
    assert header(copy.octets, "X-Original-Message-ID") == message_id


# -- servers that take less --------------------------------------------------------------------------------------------


def narrow_sink(desk: Desk, *extensions: str) -> None:
    """From now on it offers no more than this; connections from before are closed."""
    desk.sink.settings.extensions = extensions
    desk.sink.close_connections()


def test_without_8bitmime_a_mail_is_re_encoded_part_by_part(desk: Desk) -> None:
    sent, message_id = letter("eight bits")
    narrow_sink(desk, "SIZE 104857600")

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    notes = [n for c in desk.life(message_id)["changes"] for n in c["why"].get("copy_notes", ())]
    assert copy.octets.isascii()
    assert "hop.seven_bit" in notes
    assert header(copy.octets, "Content-Transfer-Encoding") == "7bit"
    assert header(copy.octets, "Message-ID") == message_id
    before, after = read_entity(sent), read_entity(copy.octets)
    assert decode(after.children[0]).endswith(decode(before.children[0]))
    assert after.children[1] == before.children[1]
    assert decode(after.children[2]) == decode(before.children[2]) == "ä;ö".encode()
    assert after.children[2].filename == "Größe.csv".encode().decode("latin-1")


def test_without_8bitmime_a_signed_mail_is_attached_whole(desk: Desk) -> None:
    sent = (
        f"From: {CUSTOMER}\r\nTo: {SUPPORT}\r\nSubject: signed\r\nMessage-ID: <signed.8@acme.example>\r\n"
        'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="s"\r\n'
        "Date: Mon, 2 Mar 2026 10:00:00 +0900\r\nMIME-Version: 1.0\r\n\r\n"
        "--s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
        "--s\r\nContent-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n--s--\r\n"
    ).encode()
    narrow_sink(desk)

    (copy,) = desk.post(sent, CUSTOMER, SUPPORT)

    notes = [n for c in desk.life("<signed.8@acme.example>")["changes"] for n in c["why"].get("copy_notes", ())]
    assert copy.octets.isascii()
    assert "hop.attached:signed" in notes
    assert decode(part_named(read_entity(copy.octets), "original.eml")) == sent
    assert not well_formed(copy, sent)


def test_mail_sent_on_as_it_came_is_changed_only_when_the_server_asks_for_it(desk: Desk) -> None:
    """Submission's other recipients: no banner, no other sender; 8 bits where they are taken."""
    sent, _ = letter("submitted")
    sent = sent.replace(f"<{CUSTOMER}>".encode(), b"<ann@staff.test>")

    (wide,) = desk.post(sent, OWNER, "friend@far.example", peer="127.0.0.1", port=desk.submission_port)
    narrow_sink(desk)
    (narrow,) = desk.post(
        sent.replace(b"submitted@", b"submitted.again@"),
        OWNER,
        "friend@far.example",
        peer="127.0.0.1",
        port=desk.submission_port,
    )

    assert wide.octets.endswith(sent.partition(b"\r\n\r\n")[2])
    assert narrow.octets.isascii()
    before, after = read_entity(sent), read_entity(narrow.octets)
    assert [decode(part) for part in walk(before) if not part.children] == [
        decode(part) for part in walk(after) if not part.children
    ]
    assert decoded(header(narrow.octets, "From")) == "Kunde <ann@staff.test>"


def smtputf8_post(desk: Desk, octets: bytes, sender: str) -> None:
    """A mail that comes with SMTPUTF8."""
    with smtplib.SMTP("127.0.0.1", desk.relay.port, source_address=("127.0.0.2", 0), timeout=20) as client:
        client.ehlo("acme.example")
        client.sendmail(sender, [SUPPORT], octets, mail_options=["BODY=8BITMIME", "SMTPUTF8"])
    desk.relay.settle()


def test_without_smtputf8_the_header_becomes_ascii(desk: Desk) -> None:
    sent = (
        f"From: 田中 <{CUSTOMER}>\r\nTo: {SUPPORT}, 佐藤 <佐藤@例え.example>\r\nSubject: 見積もり\r\n"
        "Message-ID: <utf8@acme.example>\r\nReferences: <参照@例え.example>\r\n"
        "Date: Mon, 2 Mar 2026 10:00:00 +0900\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n本文\r\n"
    ).encode()
    narrow_sink(desk, "8BITMIME")

    smtputf8_post(desk, sent, CUSTOMER)

    (copy,) = desk.sink.messages
    head, _, body = copy.octets.partition(b"\r\n\r\n")
    assert head.isascii()
    assert "本文".encode() in body
    assert copy.mail_parameters == ("BODY=8BITMIME",)
    assert decoded(header(copy.octets, "Subject")) == "見積もり"
    assert decoded(header(copy.octets, "Downgraded-References")) == "<参照@例え.example>"
    assert "佐藤@例え.example" in decoded(header(copy.octets, "To"))
    assert re.search(r"\w<|@.*@", header(copy.octets, "To").replace("support@desk.test", "")) is None


def test_a_recipient_that_needs_smtputf8_fails_clearly_and_allmember_gets_the_mail(desk: Desk) -> None:
    desk.relay.folder.joinpath("idn.yaml").write_text(
        "companies: [{name: Idn, domains: [idn.example],"
        " deals: [{name: d, stage: open, owners: ['用户@staff.test']}]}]\n"
    )
    desk.relay.run("crm", "import", str(desk.relay.folder / "idn.yaml"))
    sent, message_id = letter("for somebody")
    narrow_sink(desk, "8BITMIME")

    (copy,) = desk.post(sent.replace(CUSTOMER.encode(), b"a@idn.example"), "a@idn.example", SUPPORT)

    assert copy.recipients == (ALL,)
    found = delivery(desk, message_id, "用户@staff.test")
    assert (found["state"], found["form"]) == ("failed", "full")
    assert "5.6.7" in found["last_reply"]
    assert not any("用户" in line for _, line in desk.sink.commands)
