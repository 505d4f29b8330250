"""Reports in words: mail systems that know no RFC 3464, each with a message as short as its form allows."""

import pytest

from supportrelay.core.automatic import AutomaticKind, classify_automatic
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.reading import read_facts
from supportrelay.core.report import FailureCause, Report, Severity, read_report

HARD, SOFT = Severity.HARD, Severity.SOFT
GONE, FULL, REFUSED = FailureCause.NO_SUCH_ADDRESS, FailureCause.MAILBOX_FULL, FailureCause.REFUSED
HOST, DEAD, LARGE = FailureCause.NO_SUCH_HOST, FailureCause.UNREACHABLE, FailureCause.TOO_LARGE


def letter(body: str, *, sender: str = "MAILER-DAEMON@mx.example", subject: str = "x", charset: str = "utf-8") -> bytes:
    head = f"From: {sender}\nTo: support@desk.test\nSubject: {subject}\nContent-Type: text/plain; charset={charset}\n\n"
    codec = {"iso-2022-jp": "iso2022_jp", "shift_jis": "cp932"}.get(charset, charset)
    return head.encode() + body.encode(codec)


def read(octets: bytes, *, reverse_path: str = "x@y.example") -> tuple[AutomaticKind, Report | None]:
    facts = read_facts(octets)
    kind = classify_automatic(facts, Envelope(reverse_path, ("support@desk.test",), Peer("192.0.2.1", "y"))).kind
    return kind, read_report(octets, facts)


RETURNED = "Message-ID: <7@desk.test>\nFrom: Zoe <zoe@staff.test>\nTo: ann@acme.example\nSubject: offer\n\ntext\n"
FORMS = [
    pytest.param(
        "Hi. This is the qmail-send program at mx.\nI'm afraid I wasn't able to deliver your message.\n\n"
        "<ann@acme.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
        f"--- Below this line is a copy of the message.\n\n{RETURNED}",
        [("ann@acme.example", "failed", HARD, GONE)],
        id="qmail",
    ),
    pytest.param(
        "Hi. This is the qmail-send program at mx.\n\n<ann@acme.example>:\nuser is over quota\n\n"
        "<bob@acme.example>:\nConnected to 192.0.2.1 but connection died. (#4.4.2)\n\n"
        f"--- Below this line is a copy of the message.\n\n{RETURNED}",
        [("ann@acme.example", "failed", HARD, FULL), ("bob@acme.example", "failed", SOFT, DEAD)],
        id="qmail-two",
    ),
    pytest.param(
        "A message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. "
        "The following address(es) failed:\n\n  ann@acme.example\n    SMTP error from remote server after RCPT TO:\n"
        "    host mx.acme.example [192.0.2.2]: 552 5.3.4 Message size exceeds fixed limit\n  bob@acme.example\n"
        "    Unrouteable address\n\n------ This is a copy of the message, including all the headers. ------\n\n"
        + RETURNED,
        [("ann@acme.example", "failed", HARD, LARGE), ("bob@acme.example", "failed", HARD, HOST)],
        id="exim",
    ),
    pytest.param(
        "A message that you have sent has not yet been delivered to one or more of its\nrecipients after more than "
        "24 hours on the queue.\n\n  ann@acme.example\n    Delay reason: connection timed out\n\n"
        f"------ This is a copy of the message, including all the headers. ------\n\n{RETURNED}",
        [("ann@acme.example", "delayed", Severity.NONE, FailureCause.NONE)],
        id="exim-warning",
    ),
    pytest.param(
        "Your message\n\n  To:      ann@acme.example\n  Subject: offer\n\ndid not reach the following recipient(s):\n\n"
        "ann@acme.example on Thu, 20 Aug 2026 10:00:00 +0900\n    The recipient name is not recognized\n",
        [("ann@acme.example", "failed", HARD, GONE)],
        id="exchange-5.5",
    ),
    pytest.param(
        "次の受信者またはグループへの配信に失敗しました:\n\nann@acme.example<mailto:ann@acme.example>\n"
        "入力した電子メール アドレスが見つかりませんでした。\n\nRemote Server returned '550 5.1.10 not found'\n\n"
        f"Original message headers:\n\n{RETURNED}",
        [("ann@acme.example", "failed", HARD, GONE)],
        id="exchange-ja",
    ),
    pytest.param(
        "Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Gruppen:\n\nann@acme.example\n"
        "Das Postfach des Empfängers ist voll.\n",
        [("ann@acme.example", "failed", HARD, FULL)],
        id="exchange-de",
    ),
    pytest.param(
        f"------- Failure Reasons  --------\n\nUser not listed in directory\nann@acme.example\n\n"
        f"------- Returned Message --------\n\n{RETURNED}",
        [("ann@acme.example", "failed", HARD, FailureCause.OTHER)],
        id="notes",
    ),
    pytest.param(
        "Your message\n\n  Subject: offer\n\nwas not delivered to:\n\n  ann@acme.example\n\nbecause:\n\n"
        "  ユーザー ann は Domino ディレクトリには見つかりません。\n",
        [("ann@acme.example", "failed", HARD, GONE)],
        id="domino-ja",
    ),
    pytest.param(
        "次のあて先へのメッセージはエラーのため送信できませんでした。\n\n送信先メールアドレスが見つかりませんでした。\n\n"
        "<taro.@ezweb.ne.jp>\n",
        [("taro.@ezweb.ne.jp", "failed", HARD, GONE)],
        id="au-with-its-own-addresses",
    ),
    pytest.param(
        "The following recipient was rejected:\n\n<x..y@docomo.ne.jp>: 550 Unknown user\n",
        [("x..y@docomo.ne.jp", "failed", HARD, GONE)],
        id="docomo",
    ),
    pytest.param(
        "以下の宛先にメールを送信できませんでした。\n\n  hanako@softbank.ne.jp\n\n受信者のメールボックスが一杯です。\n",
        [("hanako@softbank.ne.jp", "failed", HARD, FULL)],
        id="softbank",
    ),
    pytest.param(
        f"   ----- Transcript of session follows -----\n421 acme.example (smtp)... Deferred: Connection timed out\n\n"
        f"   ----- Unsent message follows -----\n{RETURNED}",
        [("ann@acme.example", "failed", SOFT, DEAD)],
        id="old-sendmail",
    ),
]


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "shift_jis"])
@pytest.mark.parametrize(("body", "expected"), FORMS)
def test_a_form_of_free_text_names_who_did_not_get_it(
    body: str, expected: list[tuple[str, str, Severity, FailureCause]], charset: str
) -> None:
    if charset != "utf-8" and "ä" in body:
        body = body.replace("ä", "ae")
    kind, report = read(letter(body, charset=charset))

    assert kind is AutomaticKind.REPORT
    assert report is not None
    assert report.is_certain
    assert [(one.address, one.action, one.severity, one.cause) for one in report.recipients] == expected
    if RETURNED in body:
        assert report.returned_message_id == "<7@desk.test>"
        assert report.returned_from is not None
        assert report.returned_from.key == "zoe@staff.test"


def test_a_person_who_forwards_a_report_is_none() -> None:
    """Subject and words are there, but neither a null reverse-path nor a mail system's name (RULES 3.2)."""
    body = FORMS[0].values[0]
    assert isinstance(body, str)
    kind, report = read(letter(body, sender="Ann <ann@acme.example>", subject="Undeliverable: offer"))

    assert kind is AutomaticKind.HUMAN
    assert report is None


def test_words_that_only_read_like_a_report_are_uncertain() -> None:
    body = "Sorry, this could not be delivered to ann@acme.example today."
    facts = read_facts(letter(body))
    report = read_report(letter(body), facts, is_named=True)

    assert read(letter(body))[0] is AutomaticKind.ROBOT
    assert report is not None
    assert not report.is_certain
    assert report.recipients[0].address == "ann@acme.example"


def test_an_answer_to_a_report_by_an_absent_person_is_no_report() -> None:
    """With a null reverse-path, too: behind the colon stands what it answers."""
    octets = letter("I am out of the office.", sender="ann@acme.example", subject="Automatic reply: Undeliverable: x")

    assert read(octets, reverse_path="")[0] is AutomaticKind.OOO


def test_a_report_inside_a_scanners_notice_is_found() -> None:
    inner = FORMS[0].values[0]
    octets = (
        'From: MAILER-DAEMON@scan.example\nSubject: Returned mail: x\nContent-Type: multipart/mixed; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nSee below.\n--b\nContent-Type: message/rfc822\n\n"
        f"From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\n{inner}\n--b--\n"
    ).encode()
    kind, report = read(octets)

    assert kind is AutomaticKind.REPORT
    assert report is not None
    assert [one.address for one in report.recipients] == ["ann@acme.example"]


SES = '{"notificationType":"%s","mail":{"source":"zoe@staff.test","commonHeaders":{"messageId":"<7@desk.test>"}},%s}'


@pytest.mark.parametrize(
    ("what", "details", "kind", "expected"),
    [
        pytest.param(
            "Bounce",
            '"bounce":{"bounceType":"Permanent","bouncedRecipients":[{"emailAddress":"ann@acme.example",'
            '"status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 user unknown"}]}',
            "delivery-status",
            ("ann@acme.example", "failed", HARD),
            id="bounce",
        ),
        pytest.param(
            "Bounce",
            '"bounce":{"bounceType":"Transient","bouncedRecipients":[{"emailAddress":"ann@acme.example"}]}',
            "delivery-status",
            ("ann@acme.example", "failed", SOFT),
            id="soft",
        ),
        pytest.param(
            "Complaint",
            '"complaint":{"complainedRecipients":[{"emailAddress":"ann@acme.example"}]}',
            "feedback-report",
            ("ann@acme.example", "abuse", Severity.NONE),
            id="complaint",
        ),
        pytest.param(
            "Delivery",
            '"delivery":{"recipients":["ann@acme.example"]}',
            "delivery-status",
            ("ann@acme.example", "delivered", Severity.NONE),
            id="delivered",
        ),
    ],
)
def test_amazon_tells_by_json(what: str, details: str, kind: str, expected: tuple[str, str, Severity]) -> None:
    head = "From: AWS <no-reply@sns.example>\nx-amz-sns-message-id: 1\nSubject: AWS Notification Message\n\n"
    found, report = read(f"{head}{SES % (what, details)}\n\n--\nunsubscribe".encode())

    assert found is AutomaticKind.REPORT
    assert report is not None
    assert (report.kind, report.returned_message_id) == (kind, "<7@desk.test>")
    assert [(one.address, one.action, one.severity) for one in report.recipients] == [expected]


@pytest.mark.parametrize("text", ["{", '{"notificationType":5}', '{"mail":[]}', "{" * 50_000, "[1]"])
def test_broken_json_is_no_report(text: str) -> None:
    octets = f"From: x@y.example\nx-amz-sns-message-id: 1\n\n{text}".encode()

    assert read_report(octets, read_facts(octets)) is None


@pytest.mark.parametrize(
    "piece", ["-", "- ", "\n--", "a@", "<a@b>", "not delivered a@b.example\n", "to: x\n y", "550 ", "mailbox x is "]
)
def test_reading_a_report_takes_linear_time(piece: str) -> None:
    """What begins a form again and again; a quadratic pattern takes minutes for this."""
    octets = letter(piece * (400_000 // len(piece)))

    read_report(octets, read_facts(octets), is_named=True)
