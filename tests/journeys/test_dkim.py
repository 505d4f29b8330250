"""Our DKIM signatures as a receiver sees them: dkimpy verifies what arrives at the sink, with our records for DNS."""

import base64
from collections.abc import Iterator

import dkim  # type: ignore[import-untyped]
import pytest

from journeys.companies import one_owner
from journeys.letters import Desk, fields, open_desk, support_address
from journeys.relay import OURS
from smtp_sink import Received
from supportrelay.edge.dkim import make_key_file, public_record

OWNER, CUSTOMER, SUPPORT = "ann@staff.test", "kunde@acme.example", "support@desk.test"
ELSEWHERE = "freund@elsewhere.example"
KEYS = (("desk.test", "r1", "rsa-2048"), ("desk.test", "e1", "ed25519"), ("staff.test", "r2", "rsa-2048"))
WIDE = ("SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
NARROW = ("SIZE 104857600", "ENHANCEDSTATUSCODES")
RECORDS: dict[str, bytes] = {}


@pytest.fixture(scope="module")
def open_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("dkim")
    entries = []
    for domain, selector, kind in KEYS:
        file = folder / f"{selector}.pem"
        RECORDS[f"{selector}._domainkey.{domain}."] = public_record(make_key_file(kind, file)).encode()
        entries.append({"domain": domain, "selector": selector, "private_key_file": file.name})
    config = {
        "addresses": [support_address("support", guards={"unsent_reply": "off"})],
        "dkim": entries,
        "workers": 1,
        "rules": [
            {
                "name": "into another system",
                "when": {"recipient": "case@desk.test"},
                "then": {"rewrite_recipient": "case@crm.example"},
            }
        ],
    }
    with open_desk(folder, config, [one_owner("acme", OWNER)]) as desk:
        yield desk


@pytest.fixture
def desk(open_one: Desk) -> Iterator[Desk]:
    open_one.sink.clear()
    yield open_one
    open_one.sink.behave_well()
    say(open_one, WIDE)


def say(desk: Desk, extensions: tuple[str, ...]) -> None:
    """What the next server offers from now on."""
    desk.sink.settings.extensions = extensions
    desk.sink.close_connections()


def verified(octets: bytes, *, first_only: bool = False) -> list[tuple[str, str]]:
    """``(domain, algorithm)`` of each signature; one that does not hold fails the test."""
    message = dkim.DKIM(octets)
    count = sum(name.lower() == b"dkim-signature" for name, _ in message.headers)
    found = []
    for number in range(1 if first_only else count):
        message = dkim.DKIM(octets)
        assert message.verify(number, dnsfunc=lambda name, **_: RECORDS.get(name.decode())), octets[:3000]
        found.append((message.domain.decode(), message.signature_fields[b"a"].decode()))
    return found


BOTH = [("desk.test", "rsa-sha256"), ("desk.test", "ed25519-sha256")]


def letter(name: str, *, body: bytes, more: str = "", sender: str = CUSTOMER, to: str = SUPPORT) -> bytes:
    head = (
        f"From: Kunde <{sender}>\r\nTo: {to}\r\nSubject: the {name}\r\n"
        f"Message-ID: <{name.replace(' ', '.')}@acme.example>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0900\r\n"
        f"MIME-Version: 1.0\r\n{more}"
    )
    return head.encode() + b"\r\n" + body


TEXT = "Content-Type: text/plain; charset={}\r\nContent-Transfer-Encoding: {}\r\n".format
JAPANESE = "お世話になっております。\r\n資料の件、確認をお願いします。\r\n"
COPIES = {
    "plain": letter("plain", body=b"Hello,\r\n\r\nwhere is it?\r\n"),
    "iso-2022-jp": letter("jis", more=TEXT("iso-2022-jp", "7bit"), body=JAPANESE.encode("iso-2022-jp")),
    "8bit": letter("eight", more=TEXT("utf-8", "8bit"), body=JAPANESE.encode()),
    "quoted-printable": letter("quoted", more=TEXT("utf-8", "quoted-printable"), body=b"Gr=C3=BC=\r\n=C3=9Fe\r\n"),
    "base64": letter("sixty four", more=TEXT("shift_jis", "base64"), body=base64.b64encode(JAPANESE.encode("sjis"))),
    "white space": letter("white", body=b"  a \t b  \r\n\t\r\n   \r\nc\t\r\n \r\n\r\n\r\n"),
    "no text at all": letter("empty", body=b""),
    "long lines": letter("long", more=TEXT("utf-8", "8bit"), body="あ b ".encode() * 2000 + b"\r\nend\r\n"),
    "a long header field": letter("header", more="References: " + "<x@y.example> " * 200 + "\r\n", body=b"Hi\r\n"),
    "raw octets in the header": letter("raw header", more="X-Ü: ü\r\nComments: ä\r\n", body=b"Hi\r\n"),
    "lone line feeds": letter("line feeds", body=b"one\ntwo\rthree\r\n").replace(b"MIME-Version: 1.0\r\n", b"X: a\n"),
    "signed by its author": letter(
        "smime",
        more='Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b\r\n',
        body=b"--b\r\nContent-Type: text/plain\r\n\r\nsigned  text \r\n--b\r\nContent-Type: application/pkcs7-signature"
        b"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n",
    ),
    "alternative": letter(
        "alternative",
        more="Content-Type: multipart/alternative; boundary=b\r\n",
        body=b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4  x\r\n--b\r\nContent-Type: text/html; "
        b"charset=utf-8\r\n\r\n<html><body><p>\xc3\xa4</p></body></html>\r\n--b--\r\n",
    ),
    "two From fields": letter("two authors", body=b"Hi\r\n").replace(b"To:", b"From: x@y.example\r\nTo:", 1),
    "two Reply-To and Cc": letter(
        "twice", more="Reply-To: a@b.example\r\nCc: c@d.example\r\nCc: e@f.example\r\n", body=b"Hi"
    ),
}


@pytest.mark.parametrize("name", list(COPIES))
def test_every_kind_of_copy_is_signed_by_every_key_of_its_senders_domain(desk: Desk, name: str) -> None:
    """Signed after the last edit: also the copy that was re-encoded for a server that takes ASCII only."""
    for number, extensions in enumerate((WIDE, NARROW)):
        say(desk, extensions)
        octets = COPIES[name].replace(b"@acme.example>\r\nDate", b"%d@acme.example>\r\nDate" % number)
        (copy,) = desk.post(octets, CUSTOMER, SUPPORT)
        assert verified(copy.octets) == BOTH
        assert copy.octets.startswith(b"DKIM-Signature: v=1; a=rsa-sha256;")
        assert extensions is WIDE or copy.octets.isascii()


def test_a_signature_does_not_outlive_a_change(desk: Desk) -> None:
    """From and Reply-To cannot be added to, nothing can be put behind the body."""
    (copy,) = desk.post(COPIES["plain"].replace(b"<plain@", b"<changed@"), CUSTOMER, SUPPORT)
    for octets in (
        copy.octets + b"more\r\n",
        b"From: evil@desk.test\r\n" + copy.octets,
        b"Reply-To: evil@desk.test\r\n" + copy.octets,
        copy.octets.replace(b"Subject: the", b"Subject: not the"),
    ):
        assert octets != copy.octets
        with pytest.raises((AssertionError, dkim.DKIMException)):
            verified(octets)
    assert verified(b"Received: from a by b; Mon, 2 Mar 2026 10:00:00 +0900\r\n" + copy.octets) == BOTH


def test_the_other_forms_of_a_copy_are_signed_too(desk: Desk) -> None:
    desk.sink.refuse("dot", "554 5.7.1 content refused", times=2)
    (notice,) = desk.post(COPIES["alternative"].replace(b"<alt", b"<form-alt"), CUSTOMER, SUPPORT)

    refused = [verified(one.octets) for one in desk.sink.unanswered]
    assert refused == [BOTH, BOTH]
    assert verified(notice.octets) == BOTH


def test_mail_of_our_own_is_signed_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report to a colleague whose mail did not arrive."""
    monkeypatch.setattr(desk.sink.settings, "sets_aside", None)
    desk.sink.refuse("rcpt", "550 5.1.1 nobody here", recipient=ELSEWHERE)
    octets = letter("undelivered", body=b"Hi\r\n", sender="zoe@staff.test", to=ELSEWHERE)
    desk.post(octets, "zoe@staff.test", ELSEWHERE, peer=OURS, port=desk.submission_port)
    desk.sink.wait_for(1, timeout=60)
    (report,) = desk.sink.messages

    assert report.recipients == ("zoe@staff.test",)
    assert b"multipart/report" in report.octets
    assert verified(report.octets) == BOTH


def test_a_retry_sends_the_same_octets(desk: Desk) -> None:
    desk.sink.refuse("dot", "451 4.3.0 later", times=1)
    octets = COPIES["plain"].replace(b"<plain@", b"<again@")
    assert desk.post(octets, CUSTOMER, SUPPORT) == []
    desk.relay.ask("queue.retry", queue_id=desk.life("<again@acme.example>")["queue_id"])
    desk.relay.settle()

    (first,), (second,) = desk.sink.unanswered, desk.sink.messages
    assert first.octets == second.octets


def test_25_mib_are_signed(desk: Desk) -> None:
    attachment = base64.encodebytes(bytes(range(256)) * 4 * 1024 * 18).replace(b"\n", b"\r\n")
    octets = letter(
        "twenty five",
        more="Content-Type: multipart/mixed; boundary=b\r\n",
        body=b"--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: application/pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + attachment + b"--b--\r\n",
    )
    assert len(octets) > 25_000_000
    (copy,) = desk.post(octets, CUSTOMER, SUPPORT)

    assert verified(copy.octets, first_only=True) == BOTH[:1]  # dkimpy takes seconds for each


# -- passed on -------------------------------------------------------------------------------------------------------


def submit(desk: Desk, octets: bytes, sender: str) -> Received:
    (copy,) = desk.post(octets, sender, ELSEWHERE, peer=OURS, port=desk.submission_port)
    return copy


def test_submitted_mail_of_a_domain_with_a_key_is_signed_and_of_another_is_not(desk: Desk) -> None:
    own = letter("own", body=JAPANESE.encode(), sender="zoe@staff.test", to=ELSEWHERE)
    foreign = letter("foreign", body=b"Hi\r\n", sender="zoe@company.example", to=ELSEWHERE)
    two = letter("several", body=b"Hi\r\n", sender="zoe@staff.test", to=ELSEWHERE)
    two = two.replace(b"From: Kunde <zoe@staff.test>", b"From: Kunde <zoe@staff.test>, x@company.example")

    assert verified(submit(desk, own, "zoe@staff.test").octets) == [("staff.test", "rsa-sha256")]
    assert b"DKIM-Signature" not in submit(desk, foreign, "zoe@company.example").octets
    assert b"DKIM-Signature" not in submit(desk, two, "zoe@staff.test").octets


def test_a_submitted_mail_keeps_a_signature_of_ours_that_holds_and_gets_another_when_it_does_not(desk: Desk) -> None:
    octets = letter("once", body=b"Hi\r\n", sender="zoe@staff.test", to=ELSEWHERE)
    signed = submit(desk, octets, "zoe@staff.test").octets
    signature = signed[: signed.index(b"Received:")]
    assert signature.startswith(b"DKIM-Signature:")
    twice = submit(desk, signature + octets, "zoe@staff.test").octets
    changed = submit(desk, (signature + octets).replace(b"Hi", b"Ho"), "zoe@staff.test").octets

    assert verified(twice) == [("staff.test", "rsa-sha256")]
    assert fields(changed, "DKIM-Signature")[1:] == fields(twice, "DKIM-Signature")
    assert verified(changed.replace(signature, b"")) == [("staff.test", "rsa-sha256")]


def test_mail_that_nobody_vouched_for_is_passed_on_without_our_signature(desk: Desk) -> None:
    """A forged mail of our domain must not get a signature of ours on its way through (C50)."""
    forged = letter("forged", body=b"Hi\r\n", sender="boss@staff.test", to="case@desk.test")
    (passed,) = [one for one in desk.post(forged, "x@evil.example", "case@desk.test") if "case@" in one.recipients[0]]
    (to_admin,) = desk.post(forged.replace(b"<forged@", b"<post@"), "x@evil.example", "postmaster@desk.test")

    assert b"DKIM-Signature" not in passed.octets
    assert b"DKIM-Signature" not in to_admin.octets
