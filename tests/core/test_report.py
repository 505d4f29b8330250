"""Reports about mail that was sent."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.mailbox import Mailbox
from supportrelay.core.reading import read_facts
from supportrelay.core.report import FailureCause, Report, ReportedRecipient, Severity, read_report

_CORPUS = Path(__file__).parents[3] / "shared" / "mails"


def _report(
    report_type: str, status: str, returned: str = "", *, kind: str = "message/rfc822", extra: str = ""
) -> Report | None:
    text = f"""From: mailer-daemon@x.test
{extra}Content-Type: multipart/report; report-type={report_type}; boundary=b

--b

It did not work.
--b
Content-Type: message/{report_type}

{status}
--b
Content-Type: {kind}

{returned}
--b--
"""
    octets = text.replace("\n", "\r\n").encode()
    return read_report(octets, read_facts(octets))


_RETURNED = """Received: from a
Message-ID: <1@customer.test>
X-Supportrelay-Id: q17
From: Taro <taro@customer.test>
To: support@ours.test, x@y.test
Subject: x

body"""


def test_a_delivery_status_names_each_recipient_and_the_returned_mail() -> None:
    report = _report(
        "delivery-status",
        """Reporting-MTA: dns; mx.x.test

Original-Recipient: rfc822;ann@x.test
Final-Recipient: RFC822; Ann@X.test (moved)
Action: failed (for good)
Status: 5.1.1 (bad)
Diagnostic-Code: smtp; 550 5.1.1
  no such user

Final-Recipient: rfc822;<bob@x.test>
Action: Delayed
Status: 4.2.2
""",
        _RETURNED,
    )

    assert report == Report(
        "delivery-status",
        (
            ReportedRecipient(
                "ann@x.test",
                "failed",
                "5.1.1",
                "550 5.1.1  no such user",
                Severity.HARD,
                FailureCause.NO_SUCH_ADDRESS,
            ),
            ReportedRecipient("bob@x.test", "delayed", "4.2.2"),
        ),
        "<1@customer.test>",
        "q17",
        Mailbox("taro", "customer.test", "Taro"),
        (Mailbox("support", "ours.test"), Mailbox("x", "y.test")),
    )


@pytest.mark.parametrize(
    ("status", "address"),
    [
        pytest.param(
            "Original-Recipient: rfc822;ann+2Bx@x.test", "ann+x@x.test".replace("+x", "+2bx"), id="plain wins"
        ),
        pytest.param("Original-Recipient: rfc822;ann+40x.test", "ann@x.test", id="xtext"),
        pytest.param("Final-Recipient: utf-8; \\x{7530}@x.test", "田@x.test", id="utf-8-addr-xtext"),
        pytest.param("Final-Recipient: ann@x.test", "ann@x.test", id="no type"),
        pytest.param('Final-Recipient: rfc822; "abc."@ezweb.ne.jp', "abc.@ezweb.ne.jp", id="carrier"),
        pytest.param("Final-Recipient: rfc822; /var/mail/ann", "", id="no address"),
    ],
)
def test_recipients_are_read_however_they_are_written(status: str, address: str) -> None:
    report = _report("delivery-status", f"Reporting-MTA: x\n\n{status}\nAction: failed\nStatus: 5.0.0\n")

    assert report is not None
    assert [r.address for r in report.recipients] == [address]


def test_the_returned_header_may_stand_alone() -> None:
    report = _report(
        "delivery-status", "Final-Recipient: rfc822;a@x.test\nAction: failed\n", _RETURNED, kind="text/rfc822-headers"
    )

    assert report is not None
    assert report.returned_message_id == "<1@customer.test>"


def test_a_read_receipt_names_the_mail_that_was_read() -> None:
    report = _report(
        "disposition-notification",
        "Final-Recipient: rfc822;a@x.test\nOriginal-Message-ID: <1@ours.test>\n"
        "Disposition: manual-action/MDN-sent-manually; displayed/x\n",
    )

    assert report is not None
    assert report.recipients == (ReportedRecipient("a@x.test", "displayed"),)
    assert report.returned_message_id == "<1@ours.test>"


def test_a_complaint_names_who_complained() -> None:
    report = _report(
        "feedback-report", "Feedback-Type: abuse\nOriginal-Rcpt-To: <a@x.test>\nOriginal-Rcpt-To: b@x.test\n", _RETURNED
    )

    assert report is not None
    assert (report.kind, report.recipients) == (
        "feedback-report",
        (ReportedRecipient("a@x.test", "abuse"), ReportedRecipient("b@x.test", "abuse")),
    )


def test_failed_recipients_of_the_header_count_when_the_status_part_is_missing() -> None:
    octets = (
        b"X-Failed-Recipients: a@x.test, b@x.test\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n--b--\r\n"
    )
    report = read_report(octets, read_facts(octets))

    assert report is not None
    assert [r.address for r in report.recipients] == ["a@x.test", "b@x.test"]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"Subject: Undelivered Mail Returned\r\n\r\nFinal-Recipient: a@x.test", id="words alone"),
        pytest.param(
            b"Content-Type: multipart/report; report-type=x; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--", id="another kind"
        ),
        pytest.param(
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
            b"Content-Type: multipart/report; report-type=delivery-status; boundary=c\r\n\r\n--b--",
            id="a report that a person attached",
        ),
    ],
)
def test_other_mail_is_no_report(octets: bytes) -> None:
    assert read_report(octets, read_facts(octets)) is None


@given(
    st.lists(
        st.sampled_from(
            [
                "Final-Recipient: rfc822; ",
                "a@x.test",
                "\n",
                "\n\n",
                "Action: ",
                "failed",
                "\0",
                "\\x{FFFFFF}",
                "+4",
                ";",
            ]
        )
    )
)
def test_reading_a_report_never_raises(pieces: list[str]) -> None:
    assert _report("delivery-status", "".join(pieces)) is not None


@pytest.mark.skipif(not _CORPUS.is_dir(), reason="the corpus of real mails lies beside the checkout")
def test_most_structured_bounces_of_the_corpus_name_a_recipient() -> None:
    reports = []
    for path in sorted(_CORPUS.rglob("*")):
        if path.is_file():
            octets = path.read_bytes()
            report = read_report(octets, read_facts(octets))
            if report and report.kind == "delivery-status":
                reports.append(report)

    assert len(reports) >= 65
    assert sum(1 for r in reports if any(recipient.address and recipient.action for recipient in r.recipients)) >= 60


@pytest.mark.skipif(not _CORPUS.is_dir(), reason="the corpus of real mails lies beside the checkout")
def test_what_is_no_bounce_is_not_taken_for_one() -> None:
    for path in (_CORPUS / "sisimai+set-of-emails" / "not").iterdir():
        octets = path.read_bytes()
        assert read_report(octets, read_facts(octets)) is None
