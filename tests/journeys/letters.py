"""A relay with its sink, as the journeys of one file use them: send, wait, look what arrived and what was decided."""

import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

from journeys.relay import OURS, STRANGER, Relay, free_port
from journeys.traffic import is_own_mail
from smtp_sink import Received, ThreadedSink

__all__ = ["Desk", "address_of", "decoded", "dsn", "fields", "header", "open_desk", "support_address"]


def support_address(name: str, **more: Any) -> dict[str, Any]:
    """Configuration of ``NAME@desk.test`` with a sender and an Allmember of its own."""
    return {
        "name": name,
        "address": f"{name}@desk.test",
        "sender": {"name": "{author} via Support", "address": f"{name}-relay@desk.test"},
        "allmember": [f"all-{name}@desk.test"],
        "language": "ja",
    } | more


@dataclass
class Desk:
    """A running relay and the sink behind it."""

    relay: Relay
    sink: ThreadedSink
    submission_port: int

    def post(
        self, octets: bytes, sender: str, *recipients: str, peer: str = STRANGER, port: int | None = None
    ) -> list[Received]:
        """Send one mail, wait until all work is done, and return what arrived meanwhile."""
        before = len(self.sink.messages)
        with smtplib.SMTP("127.0.0.1", port or self.relay.port, source_address=(peer, 0), timeout=20) as client:
            refused = client.sendmail(sender, list(recipients), octets, mail_options=["BODY=8BITMIME"])
        assert not refused
        self.relay.settle()
        arrived: list[Received] = self.sink.messages[before:]
        return arrived

    def life(self, message_id: str) -> dict[str, Any]:
        """The newest message with this Message-ID: its state, deliveries, decision and changes."""
        found = self.relay.ask("queue.show", queue_id=message_id)
        assert isinstance(found, dict)
        return found

    def ticket(self, subject: str) -> dict[str, Any]:
        """The one ticket with this subject."""
        found = self.tickets(subject)
        assert len(found) == 1, found
        return found[0]

    def tickets(self, subject: str) -> list[dict[str, Any]]:
        """Tickets with this subject, answers' prefix or not."""
        return [t for t in self.relay.tickets() if t["subject"].removeprefix("Re: ") == subject]


@contextmanager
def open_desk(folder: Path, config: dict[str, Any], companies: list[dict[str, Any]]) -> Iterator[Desk]:
    """A relay with an mx and a submission listener; ``config`` is laid over what every desk here has."""
    with ThreadedSink() as sink:
        sink.settings.sets_aside = is_own_mail
        submission_port = free_port()
        port = free_port()
        whole = {
            "hostname": "relay.desk.test",
            "internal_domains": ["desk.test", "staff.test"],
            "admins": ["it@staff.test"],
            "trusted_networks": [OURS],
            "listen": [
                {"host": "0.0.0.0", "port": port, "role": "mx"},
                {"host": "127.0.0.1", "port": submission_port, "role": "submission"},
            ],
            "outbound": {"host": "127.0.0.1", "port": sink.port, "tls": "none"},
        } | config
        relay = Relay(folder, whole, companies)
        relay.port = port
        relay.start()
        yield Desk(relay, sink, submission_port)
        assert relay.stop() == 0


def fields(octets: bytes, name: str) -> list[str]:
    """All values of a header field, unfolded, as written."""
    block = (b"\r\n" + octets.partition(b"\r\n\r\n")[0]).decode("utf-8", "replace")
    found = re.findall(rf"(?im)^{re.escape(name)}:[ \t]*((?:.*(?:\r?\n[ \t].*)*))", block)
    return [re.sub(r"\r?\n(?=[ \t])", "", value).strip() for value in found]


def header(octets: bytes, name: str) -> str:
    """The first value of a header field, "" without."""
    return next(iter(fields(octets, name)), "")


def decoded(value: str) -> str:
    """A header value as people read it."""
    return str(make_header(decode_header(value)))


def address_of(value: str) -> str:
    """``ann@x`` of ``Ann <ann@x>``."""
    return re.sub(r".*<(.*)>", r"\1", value)


def dsn(
    returned: bytes,
    recipients: list[tuple[str, str, str]],
    *,
    to: str,
    message_id: str,
    sender: str = "Mail Delivery System <MAILER-DAEMON@mx.staff.test>",
) -> bytes:
    """A delivery status notification about the mail whose header begins ``returned``.

    Args:
        recipients: ``(address, action, status)``.
    """
    groups = "".join(
        f"Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} no such user\r\n\r\n"
        for address, action, status in recipients
    )
    head = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        f"Message-ID: {message_id}\r\nDate: Mon, 2 Mar 2026 10:00:00 +0900\r\nMIME-Version: 1.0\r\n"
        "Auto-Submitted: auto-replied\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="=_dsn"\r\n\r\n'
        "--=_dsn\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--=_dsn\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.staff.test\r\n\r\n"
        f"{groups}--=_dsn\r\nContent-Type: text/rfc822-headers\r\n\r\n"
    )
    return head.encode() + returned.partition(b"\r\n\r\n")[0] + b"\r\n\r\n--=_dsn--\r\n"
