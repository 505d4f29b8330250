"""What reading and rewriting one mail costs: CPU time of this thread, without a socket or a store."""

import base64
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from supportrelay.core.automatic import classify_automatic
from supportrelay.core.banner import Banner, BannerValues
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.reading import read_facts
from supportrelay.core.rewrite import CopyContext, compose_copy, received_line
from supportrelay.core.settings import SupportAddress
from supportrelay.edge.templates import BannerTemplates

__all__ = ["GOAL_MS", "cost_of_parsing"]

GOAL_MS = 1.0
_SIZE = 4096
_WARM_UP = 50
_AT = datetime(2026, 3, 9, 7, 5, 1, tzinfo=UTC)
_ADDRESS = SupportAddress(
    name="support",
    address="support@desk.test",
    sender_name="{author} ({company}) via Support",
    sender_address="relay@desk.test",
    allmember=("all@desk.test",),
    bounce_address="support+b-{token}@desk.test",
)
_PLAN = CopyPlan(
    "support",
    author="anna@customer.example",
    author_name="Anna Schmidt",
    company_name="Customer",
    reply_to=("Anna Schmidt <anna@customer.example>", "support@desk.test"),
)
_ENVELOPE = Envelope("anna@customer.example", ("support@desk.test",), Peer("192.0.2.1", "mail.example", Role.MX))
_WORDS = "A line of the question, about as long as people write them.\r\n"
_JAPANESE = "お世話になっております。先日お送りした件について確認をお願いいたします。\r\n"


def cost_of_parsing(mails: int) -> dict[str, dict[str, float]]:
    """For each kind of mail the median and the 95th percentile, milliseconds of CPU time: other work on the machine
    takes none of it.

    Every mail is another one, so nothing is remembered from one to the next but what a daemon remembers too: people
    and addresses. The banner is filled in and rendered once a mail, as for its first copy.
    """
    return {kind: _cost(make, mails) for kind, make in _KINDS.items()}


def _cost(make: Callable[[int], bytes], mails: int) -> dict[str, float]:
    templates = BannerTemplates()
    read_ms, rewrite_ms = [], []
    octets = [make(number) for number in range(mails + _WARM_UP)]
    for one in octets:
        begun = time.thread_time_ns()
        facts = read_facts(one)
        classify_automatic(facts, _ENVELOPE)
        is_read = time.thread_time_ns()
        values = BannerValues(support="support@desk.test", ticket="SR-12", marker="k7xq2a", author="Anna Schmidt")
        copy = _rewritten(one, facts.message_id, templates.render("full", "ja", values))
        rewrite_ms.append((time.thread_time_ns() - is_read) / 1e6)
        read_ms.append((is_read - begun) / 1e6)
        assert len(copy) > len(one)
    read_ms, rewrite_ms = read_ms[_WARM_UP:], rewrite_ms[_WARM_UP:]
    both = [sum(pair) for pair in zip(read_ms, rewrite_ms, strict=True)]
    return {
        "octets": round(statistics.mean(map(len, octets))),
        "read_ms": round(statistics.median(read_ms), 3),
        "rewrite_ms": round(statistics.median(rewrite_ms), 3),
        "median_ms": round(statistics.median(both), 3),
        "p95_ms": round(statistics.quantiles(both, n=20)[-1], 3),
    }


def _rewritten(octets: bytes, queue_id: str, banner: Banner) -> bytes:
    context = CopyContext(
        queue_id="Q1abc",
        ticket_id=12,
        hostname="mx.desk.test",
        received=received_line(_ENVELOPE, hostname="mx.desk.test", queue_id=queue_id, at=_AT),
        trail="v1; inst=a; msg=Q1abc; mac=abcdefghijklmnop",
        unproven_word="未確認",
    )
    copy = compose_copy(octets, plan=_PLAN, address=_ADDRESS, kind=DeliveryKind.OWNER, context=context, banner=banner)
    return copy.octets


# --- the mails


def _header(number: int, content: str) -> bytes:
    return (
        "Received: from mail.customer.example (mail.customer.example [192.0.2.25])\r\n\tby mx.provider.example with "
        f"ESMTPS id x{number}\r\n\tfor <support@desk.test>; Mon, 9 Mar 2026 16:05:00 +0900\r\n"
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=customer.example; s=2024;\r\n\t"
        f"h=from:to:subject:date:message-id; bh={'b' * 43}=;\r\n\tb={'c' * 170}\r\n"
        "From: =?utf-8?B?QW5uYSBTY2htaWR0?= <anna@customer.example>\r\n"
        "To: Support <support@desk.test>\r\nCc: Bernd Meyer <bernd@customer.example>\r\n"
        f"Subject: =?iso-2022-jp?B?GyRCJCpMZCQkOWckbyQ7GyhC?= {number}\r\n"
        f"Date: Mon, 9 Mar 2026 16:05:{number % 60:02d} +0900\r\nMessage-ID: <{number}.q@customer.example>\r\n"
        f"References: <{number}.a@customer.example> <{number}.b@desk.test>\r\n"
        f"In-Reply-To: <{number}.b@desk.test>\r\nMIME-Version: 1.0\r\nContent-Type: {content}\r\n"
    ).encode("ascii")


def _filled(head: bytes, line: bytes, tail: bytes = b"") -> bytes:
    """Head, as many lines as make it 4 KiB, tail."""
    return head + line * max(1, (_SIZE - len(head) - len(tail)) // len(line)) + tail


def _plain(number: int) -> bytes:
    return _filled(_header(number, "text/plain; charset=utf-8") + b"\r\nNo. %d\r\n" % number, _WORDS.encode())


def _japanese(number: int) -> bytes:
    head = (
        _header(number, "text/plain; charset=iso-2022-jp") + b"Content-Transfer-Encoding: 7bit\r\n\r\n%d\r\n" % number
    )
    return _filled(head, _JAPANESE.encode("iso-2022-jp"))


def _alternative(number: int) -> bytes:
    boundary = b"=_alternative_%d" % number
    head = _header(number, f'multipart/alternative; boundary="{boundary.decode()}"') + b"\r\n"
    text = b"--%s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" % boundary
    text = head + text + _WORDS.encode() * 20
    html = b"\r\n--%s\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><head></head><body>\r\n" % boundary
    return _filled(text + html, b"<p>" + _WORDS.encode(), b"</body></html>\r\n--%s--\r\n" % boundary)


def _attached(number: int) -> bytes:
    boundary = b"=_mixed_%d" % number
    head = _header(number, f'multipart/mixed; boundary="{boundary.decode()}"') + b"\r\n"
    text = b"--%s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" % boundary + _WORDS.encode() * 12
    file = (
        b'\r\n--%s\r\nContent-Type: application/pdf; name="report.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        b"Content-Disposition: attachment; filename*=utf-8''%%E8%%A6%%8B%%E7%%A9%%8D.pdf\r\n\r\n" % boundary
    )
    line = base64.b64encode(b"%057d" % number) + b"\r\n"
    return _filled(head + text + file, line, b"--%s--\r\n" % boundary)


_KINDS: dict[str, Callable[[int], bytes]] = {
    "plain text": _plain,
    "html alternative": _alternative,
    "with attachment": _attached,
    "iso-2022-jp": _japanese,
}
