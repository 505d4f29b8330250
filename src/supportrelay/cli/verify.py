"""verify: a marked probe through the running relay, step by step."""

import smtplib
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from supportrelay.cli.asking import CommandFailed, Relay, as_json, configured
from supportrelay.cli.printing import print_json, say
from supportrelay.core.errors import InputError
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["verify"]

_ENDED = {"delivered", "filed", "held", "ignored", "looped", "dead"}
_ASK_AGAIN_S = 0.1
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not listened on


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the round trip.

    Attributes:
        code: ``verify.CODE`` of the catalogues.
        is_good: None: nobody can know from here.
    """

    code: str
    is_good: bool | None
    values: Mapping[str, Any]

    def text(self, words: Catalogue) -> str:
        """The step in words."""
        return words.text(f"verify.{self.code}", **self.values)


@click.command()
@click.option("--address", metavar="ADDRESS", help="Support address to try; default the first one.")
@click.option("--reader", metavar="ADDRESS", required=True, help="Who alone gets the probe's copy: you.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(1), default=60.0, show_default=True, metavar="SECONDS")
@as_json
@configured
def verify(relay: Relay, address: str | None, reader: str, timeout_s: float, is_json: bool) -> None:
    """Send a marked probe through the running relay and report each step; its ticket is removed again."""
    if not relay.is_running():
        raise InputError("no relay is running on this configuration; start it with 'supportrelay serve'")
    words = catalogue(relay.language)
    steps = []
    for step in _round_trip(relay, address, reader, timeout_s):
        steps.append(step)
        if not is_json:
            mark = {True: "ok  ", False: "FAIL", None: "?   "}[step.is_good]
            say(f"{mark}  {step.text(words)}")
    failed = [step for step in steps if step.is_good is False]
    if is_json:
        print_json([{"step": s.code, "ok": s.is_good, "text": s.text(words), **s.values} for s in steps])
    if failed:
        raise CommandFailed(words.text("verify.failed"), 1)


def _round_trip(relay: Relay, address: str | None, reader: str, timeout_s: float) -> Iterator[Step]:
    probe = relay.ask("probe.begin", address=address, reader=reader)
    if probe["unknowable"]:
        yield Step(f"unknowable_{probe['unknowable']}", None, {"address": probe["address"]})
        return
    try:
        _send(relay.config, probe)
    except (OSError, smtplib.SMTPException) as exc:
        yield Step("not_accepted", False, {"listener": probe["listener"], "cause": _cause(exc)})
        return
    yield Step("accepted", True, {"address": probe["address"], "listener": probe["listener"]})
    found = _follow(relay, probe["message_id"], timeout_s)
    if found is None:
        yield Step("not_found", False, {"seconds": timeout_s})
        return
    try:
        yield from _told(found, reader, timeout_s)
        yield from _way_back(relay, found, probe["listener"])
    finally:
        cleaned = relay.ask("probe.clean", queue_id=found["queue_id"])
    yield Step("cleaned", True, {"ticket": cleaned["ticket"] or "-"})
    for allmember in probe["allmember"]:
        yield Step("unknowable_allmember", None, {"address": allmember})
    for case in probe["case_addresses"]:
        yield Step("unknowable_case_address", None, {"address": case})


def _way_back(relay: Relay, found: Mapping[str, Any], listener: str) -> Iterator[Step]:
    """Offer the relay a failure notice of the probe's copy, as another server would, up to RCPT."""
    back = relay.ask("probe.way_back", queue_id=found["queue_id"])
    if back["address"] is None:
        return
    values = {"address": back["address"], "listener": listener}
    try:
        with _connected(relay.config) as session:
            session.mail("")
            code, text = session.rcpt(back["address"])
            if not _is_taken(code):
                raise smtplib.SMTPResponseException(code, text)
    except (OSError, smtplib.SMTPException) as exc:
        yield Step("no_way_back", False, {**values, "cause": _cause(exc)})
        return
    yield Step("way_back", True, values)
    yield Step("unknowable_way_back", None, {"address": back["address"], "domain": back["domain"]})


def _is_taken(code: int) -> bool:
    return 200 <= code < 300  # noqa: PLR2004  positive completion, RFC 5321 §4.2.1


def _connected(config: Any) -> smtplib.SMTP:
    """A session with our own listener; the relay may listen on every address of the machine."""
    listen = next((one for one in config.listen if one.role == "mx"), config.listen[0])
    host, port = listen.place
    host = _ANY.get(host, host)
    # Our own listener on this machine, asked by address: its certificate names another host.
    anybody = ssl._create_unverified_context()  # noqa: S323, SLF001  see above
    session: smtplib.SMTP
    if listen.role == "lmtp":
        session = smtplib.LMTP(host, port)
    elif listen.tls and listen.tls.implicit:
        session = smtplib.SMTP_SSL(host, port, timeout=15, context=anybody)
    else:
        session = smtplib.SMTP(host, port, timeout=15)
    session.ehlo()
    if listen.tls and session.has_extn("starttls"):
        session.starttls(context=anybody)
        session.ehlo()
    return session


def _send(config: Any, probe: Mapping[str, Any]) -> None:
    octets = "\r\n".join(
        [
            f"From: supportrelay verify <{probe['from']}>",
            f"To: {probe['address']}",
            f"Subject: {probe['subject']}",
            f"Date: {probe['date']}",
            f"Message-ID: {probe['message_id']}",
            f"X-Supportrelay-Probe: {probe['mark']}",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "",
            "This is a probe of 'supportrelay verify'. It goes to you alone, and its ticket is removed again.",
            "",
        ]
    ).encode("ascii")
    with _connected(config) as session:
        session.sendmail(probe["from"], [probe["address"]], octets)


def _follow(relay: Relay, message_id: str, timeout_s: float) -> dict[str, Any] | None:
    """The probe's trace once it has ended, or as it is when time is up; None when it never turned up."""
    end = time.monotonic() + timeout_s
    found: dict[str, Any] | None = None
    while True:
        try:
            found = relay.ask("mail.trace", id=message_id)
        except CommandFailed:
            found = None
        if found is not None and found["state"] in _ENDED:
            return found
        if time.monotonic() >= end:
            return found
        time.sleep(_ASK_AGAIN_S)


def _told(found: Mapping[str, Any], reader: str, timeout_s: float) -> Iterator[Step]:
    decision = found.get("decision") or {}
    ticket = (decision.get("ticket") or {}).get("id")
    if decision:
        yield Step("decided", True, {"queue_id": found["queue_id"], "ticket": ticket or "-"})
    else:
        yield Step("not_decided", False, {"queue_id": found["queue_id"], "seconds": timeout_s})
        return
    others = [d["recipient"] for d in found["deliveries"] if d["recipient"].lower() != reader.lower()]
    if others:
        yield Step("others_too", False, {"people": ", ".join(others)})
    mine = [d for d in found["deliveries"] if d["recipient"].lower() == reader.lower()]
    if not mine:
        yield Step("no_copy", False, {"reader": reader})
    for delivery in mine:
        values = {"reader": reader, "reply": delivery["last_reply"] or "-"}
        if delivery["state"] == "delivered":
            yield Step("delivered", True, values)
        else:
            yield Step("not_delivered", False, values)


def _cause(exc: Exception) -> str:
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{code} {text.decode('utf-8', 'replace')}" for code, text in exc.recipients.values())
    if isinstance(exc, smtplib.SMTPResponseException):
        text = exc.smtp_error
        return f"{exc.smtp_code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
    return str(exc)
