"""What copies are made with here: one desk, one plan, one notice with letters of everybody."""

from datetime import UTC, datetime

from supportrelay.core.banner import Banner
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.rewrite import Copy, CopyContext, compose_copy
from supportrelay.core.settings import SupportAddress

__all__ = ["ADDRESS", "AT", "BANNER", "CONTEXT", "ENVELOPE", "PLAIN_BANNER", "PLAN", "copy_of"]

AT = datetime(2026, 3, 9, 7, 5, 1, tzinfo=UTC)
ADDRESS = SupportAddress(
    name="desk",
    address="support@desk.test",
    sender_name="{author} via Support",
    sender_address="relay@desk.test",
    allmember=("all@desk.test",),
    bounce_address="support+b-{token}@desk.test",
)
PLAN = CopyPlan(
    "desk",
    author="ann@customer.example",
    author_name="Ann Smith",
    company_name="ACME",
    reply_to=("Ann Smith <ann@customer.example>", "support@desk.test"),
    reason_code="A1",
)
CONTEXT = CopyContext(
    queue_id="Q1abc",
    ticket_id=12,
    hostname="mx.desk.test",
    received=b"Received: from a ([192.0.2.1])\r\n\tby mx.desk.test; Mon, 9 Mar 2026 07:05:01 +0000\r\n",
    trail="v1; inst=a; msg=Q1abc; mac=abcdefghijklmnop",
    unproven_word="未確認",
)
BANNER = Banner(
    "----- 担当のお知らせ SR-12-abcdef -----\nÉcrit à tous: zażółć\n-----\n\n", "<div>担当 SR-12-abcdef</div>\n"
)
PLAIN_BANNER = Banner("----- notice SR-12-abcdef -----\nline\n-----\n\n", "<div>notice SR-12-abcdef</div>\n")
ENVELOPE = Envelope("ann@customer.example", ("support@desk.test",), Peer("192.0.2.1", "mail.customer.example", Role.MX))


def copy_of(octets: bytes, banner: Banner | None = BANNER, kind: DeliveryKind = DeliveryKind.OWNER) -> Copy:
    """The owner's copy of a mail."""
    return compose_copy(octets, plan=PLAN, address=ADDRESS, kind=kind, context=CONTEXT, banner=banner)
