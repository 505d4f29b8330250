"""The log: JSON lines on standard error (coloured lines on a terminal), event names from one closed list.

An event is ``noun.past_participle`` and fields. ``SUPPORTRELAY_LOG`` is ``debug``, ``info`` (default), ``warning`` or
``error``; what lies below that level costs one method call that does nothing.

    log = get_logger()
    log.info("delivery.delivered", queue_id=queue_id, attempt=3, reply="250 2.0.0")

A log that cannot be written is lost, never the mail (`log_outlet`).
"""

import json
import logging
import os
import sys
from base64 import b64encode
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import structlog

from supportrelay.log_outlet import Outlet

__all__ = ["EVENTS", "MASK", "configure", "get_logger", "hide", "masked"]

EVENTS: dict[str, str] = {
    "relay.ready": "All listeners are open; mail is accepted.",
    "relay.reloaded": "The configuration was read again; every worker takes it over.",
    "relay.not_started": "The daemon could not start.",
    "relay.stopped": "Everything was handed back.",
    "config.reloaded": "A worker uses the new configuration.",
    "config.refused": "The configuration was read again and has mistakes; the old one stays.",
    "config.warning": "The configuration is usable but probably not what was meant.",
    "config.needs_restart": "A changed key of the configuration takes effect only after a restart.",
    "dns.silent": "No resolver answers: senders cannot be proven, and nobody waits for it until one does.",
    "proof.broke": "A check of a sender ended by a mistake of ours; he counts as unproven.",
    "dns.answers": "A resolver answers again.",
    "process.ended": "A worker or the web process ended by itself; another takes its place.",
    "process.broke": "A process ended by a mistake of ours.",
    "worker.task_broke": "A task of a worker ended by a mistake of ours.",
    "worker.chore_failed": "A regular task (failover, renewing leases) failed; it is done again.",
    "audit.done": "The nightly audit: what was accepted adds up.",
    "audit.found": "The nightly audit found what does not add up; `supportrelay audit` names it all.",
    "audit.put_off": "The nightly audit could not be made; it is tried again in ten minutes.",
    "queue.held_at_start": "What was unfinished waits for a person, for the relay was started with --hold.",
    "store.unwell": "The disk refused a write or a sync, or is full: no mail is taken until one comes through.",
    "store.well_again": "The disk takes writes again.",
    "queue.clock_was_ahead": "Work was due hours from now, as a clock that ran ahead had put it; it is due now.",
    "log.lines_dropped": "Nobody read the log for a while; so many lines were left out.",
    "queue.not_read": "Due work could not be read; it is asked for again.",
    "login.accepted": "Somebody logged in.",
    "login.failed": "A login failed; the user is named when there is such an account.",
    "login.blocked": "A client or a user had too many failed logins; the password was not looked at.",
    "login.put_off": "A login could not be checked now; the client was asked to try again.",
    "store.tidied": "Contents, messages and records that were kept long enough were removed.",
    "listener.opened": "A listener accepts connections.",
    "listener.closed": "A listener was closed.",
    "listener.refused": "A connection was turned away; at most 20 lines a minute, left_out counts the others.",
    "tls.renewed": "A certificate file was replaced; new sessions use it.",
    "tls.refused": "A replaced certificate or key cannot be used; the old pair stays in use.",
    "tls.expiring": "A certificate ends within 14 days, or has ended; mail is taken nevertheless.",
    "proxy.refused": "A proxy whose header is believed began with something else, or it was broken; it was cut off.",
    "session.failed": "An SMTP session met a mistake of ours; the client was asked to try again.",
    "message.accepted": "A message was committed and 250 was said.",
    "message.refused": "A message or recipient was refused in the SMTP dialogue; at most 200 lines a minute.",
    "message.not_stored": "A message could not be committed; the sender keeps it and tries again.",
    "message.decided": "What happens to a message was decided and committed.",
    "message.put_off": "A message could not be decided now; it is tried again.",
    "message.lease_lost": "Another worker took a message over; this one lets go.",
    "message.station_broke": "A station broke on a message; it is tried again, and held the third time.",
    "message.held": "A message broke a station three times, or killed its worker: a person has to look.",
    "message.not_held": "A message that broke a station could not be held.",
    "message.failed_over": "Nobody got a message; Allmember gets it.",
    "robots.stopped": "Too much automatic mail of one kind: it is held for three hours, a person releases it.",
    "message.dead": "Nobody got a message, Allmember neither: everything was tried. It is kept; a person has to look.",
    "copy.not_signed": "Our DKIM signature could not be made; the copy goes out without it.",
    "alarm.raised": "Something is broken; the administrators get a mail about it, one an hour at most.",
    "alarm.untold": "Something is broken, and there is no administrator left who could be told by mail.",
    "own_mail.written": "A mail of our own went into the queue: a report, a digest or an alert.",
    "own_mail.put_off": "A mail of our own could not be written now; it stays owed and is tried again.",
    "copy.not_composed": "A copy could not be written as it should; it goes out as an attachment under a banner.",
    "desk.opened": "A ticket was made at the outside desk.",
    "desk.open_refused": "The desk does not take a ticket as it is; it is tried again after an hour.",
    "desk.move_refused": "The desk's rules forbid a move; the ticket stays where it is there.",
    "desk.record_refused": "The desk did not take the record of a mail.",
    "desk.put_off": "The desk could not be asked, or work for it could not be done now; it is tried again.",
    "desk.work_broke": "Work for a ticket at the desk broke by a mistake of ours; it is tried again.",
    "desk.lease_lost": "Another worker took over a ticket's work for the desk; this one lets go.",
    "desk.ticket_gone": "A ticket was deleted at the desk; ours goes into the trash.",
    "desk.ticket_moved": "Somebody moved tickets at the desk; the mirror follows.",
    "desk.watch_failed": "What changed at the desk could not be read; it is asked for again.",
    "desk.trash_purged": "Tickets that lay in the trash long enough were removed for good.",
    "delivery.delivered": "The next server took a copy.",
    "delivery.deferred": "A copy could not be delivered now; it is tried again.",
    "delivery.reshaped": "A copy was refused for its size, content or form; another form of it goes out at once.",
    "delivery.failed": "A copy was refused for good.",
    "delivery.refused_in_every_form": "A server took a mail in no form, not even as a notice. A person has to look.",
    "delivery.put_off": "A copy could not be tried now; it is tried again.",
    "delivery.station_broke": "An attempt broke by a mistake of ours; it is made again.",
    "courier.misconfigured": "The smarthost refused us, not the mail: login, sender rights or TLS.",
    "courier.switched": "Another smarthost of the list is used.",
    "desk.contact_refused": "The desk did not take the customer as a contact; the ticket goes without.",
    "desk.opened_bare": "The desk refused a new ticket as a whole; it was made with what it needs, the rest follows.",
    "desk.part_refused": "The desk refused a part of a new ticket (owner, priority, company ...); the ticket stays.",
    "desk.mail_logged_in_part": "The desk did not take a mail's record as it is; it was logged with less.",
    "crm.question_refused": "The CRM refused to answer a question; the last known answer is used.",
    "crm.question_broke": "An answer of the CRM met a mistake of ours; the last known answer is used.",
    "crm.answer_not_kept": "An answer of the CRM could not be kept; it was used all the same.",
    "crm.answers_dropped": "Answers of the CRM that nobody asked for in 90 days were removed.",
    "crm.refresh_broke": "Answers of the CRM could not be refreshed; the next round tries again.",
    "crm.deals_cut": "A company has more deals than are read; the rest is left out.",
    "crm.call_failed": "A call to the CRM got no answer, or one that says not now; whoever asked tries again.",
    "crm.token_refused": "The CRM refuses our token (401) and rests for five minutes. A person has to look.",
    "crm.scope_missing": "The token lacks a scope (403); such calls rest for five minutes. A person has to look.",
    "crm.day_nearly_used": "Under a twentieth of the CRM's calls of the day is left; polls and refreshing rest.",
    "crm.gate_not_kept": "That the CRM rests, or answers again, could not be kept for the other processes.",
    "hook.refused": "A webhook without a valid signature was refused; counted by the minute.",
    "hook.not_taken": "A webhook could not be handed to the daemon; whoever sent it was asked to come again.",
    "control.opened": "The control socket takes commands.",
    "control.refused": "Somebody without the right spoke to the control socket.",
    "control.failed": "A command through the control socket failed by a mistake of ours.",
}
"""Every event and what it means. A test compares this with what the sources log."""

MASK = "***"
_SECRET_NAMES = ("password", "secret", "token", "authorization", "api_key", "credential")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_SHORTEST = 4  # characters; shorter ones would mask half of every line
_MOST_HIDDEN = 300  # forms of secrets; renewed tokens come every hour

_hidden: dict[str, None] = {}


def hide(*secrets: str) -> None:
    """Never write these values, in whatever field they turn up. Values under 4 characters are ignored.

    Also as JSON and base64 write them, and the lines of a longer one (a key). Of very many the oldest are forgotten.
    """
    for secret in secrets:
        for form in (secret, _encode(secret)[1:-1], b64encode(secret.encode("utf-8", "replace")).decode()):
            for part in form.splitlines():
                if len(part) >= _SHORTEST and len(secret) >= _SHORTEST and not part.startswith("-----"):
                    _hidden.pop(part, None)
                    _hidden[part] = None
    for oldest in list(_hidden)[: max(0, len(_hidden) - _MOST_HIDDEN)]:
        del _hidden[oldest]


def masked(text: str) -> str:
    """The text without what is hidden: for words of others that are kept or shown."""
    for secret in _hidden:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


@lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    return any(secret in name for secret in _SECRET_NAMES)


def _mask(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if _is_secret(name):
            event[name] = MASK
    return event


def _stamp(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["level"] = method
    event["at"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


# Made once: `json.dumps` makes a new encoder for every line that is not written its default way.
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _json_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    # Read by people too: when, how bad and what come first.
    first = {name: event.pop(name, "") for name in ("at", "level", "event")}
    return _encode({**first, **event})


class _Line:
    """Masks finished lines and hands them on."""

    __slots__ = ("_outlet",)

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def msg(self, line: str) -> None:
        line = masked(line)
        # The escape keeps lone surrogates and whatever the terminal's charset lacks from raising.
        encoding = self._outlet.encoding
        self._outlet.write(line.encode(encoding, "backslashreplace").decode(encoding))

    debug = info = warning = error = critical = exception = msg


class _LineFactory:
    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._outlet: Outlet | None = None

    def __call__(self, *_args: object) -> _Line:
        stream = self._stream or sys.stderr
        if self._outlet is None or self._outlet.stream is not stream:
            self._outlet = Outlet(stream)
        return _Line(self._outlet)


def configure(level: str | None = None, *, stream: TextIO | None = None, is_json: bool | None = None) -> None:
    """Set the log up; called once by each process, before anything logs.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; None takes ``SUPPORTRELAY_LOG``, else ``info``.
        stream: Standard error by default.
        is_json: None: JSON lines unless the stream is a terminal.
    """
    wanted = (level or os.environ.get("SUPPORTRELAY_LOG", "info")).lower()
    target = stream or sys.stderr
    json_lines = is_json if is_json is not None else target is None or not target.isatty()
    processors: list[Any] = [_mask, _stamp]
    if json_lines:
        processors += [structlog.processors.format_exc_info, _json_line]
    else:
        processors += [structlog.dev.ConsoleRenderer(timestamp_key="at")]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(wanted, logging.INFO)),
        logger_factory=_LineFactory(stream),
        cache_logger_on_first_use=True,
    )


def get_logger(**bound: object) -> Any:
    """A logger; its methods are ``debug``, ``info``, ``warning``, ``error``, ``exception``."""
    return structlog.get_logger(**bound)
