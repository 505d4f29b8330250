"""The log: JSON lines on standard error (coloured lines on a terminal), event names from one closed list.

An event is ``noun.past_participle`` and fields. ``SUPPORTRELAY_LOG`` is ``debug``, ``info`` (default), ``warning`` or
``error``; what lies below that level costs one method call that does nothing.

    log = get_logger()
    log.info("delivery.delivered", queue_id=queue_id, attempt=3, reply="250 2.0.0")

A log that cannot be written is lost, never the mail: errors of the stream are swallowed.
"""

import json
import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

__all__ = ["EVENTS", "MASK", "configure", "get_logger", "hide"]

EVENTS: dict[str, str] = {
    "relay.started": "The daemon began to start.",
    "relay.ready": "All listeners are open; mail is accepted.",
    "relay.stopping": "A signal asked the daemon to stop; it finishes what it holds.",
    "relay.stopped": "Everything was handed back.",
    "relay.failed": "The daemon could not start or go on.",
    "config.reloaded": "The configuration was read again and is in use.",
    "config.refused": "The configuration was read again and has mistakes; the old one stays.",
    "config.warned": "The configuration is usable but probably not what was meant.",
    "worker.started": "A worker process is up.",
    "worker.stopped": "A worker process ended as asked.",
    "worker.died": "A worker process ended by itself; another takes its place.",
    "work.taken_back": "Work that an earlier life of this node held is due again.",
    "work.renewal_failed": "Work could not be kept; another worker does it.",
    "listener.opened": "A listener accepts connections.",
    "listener.closed": "A listener was closed.",
    "listener.refused": "A connection was turned away.",
    "session.failed": "An SMTP session ended by a mistake of ours.",
    "message.accepted": "A message was committed and 250 was said.",
    "message.refused": "A message or recipient was refused in the SMTP dialogue.",
    "message.not_stored": "A message could not be committed; the sender keeps it and tries again.",
    "message.decided": "What happens to a message was decided and committed.",
    "message.deferred": "A message waits for the CRM.",
    "message.broken": "A station broke on a message; it is tried again.",
    "message.held": "A message waits for a person.",
    "message.dead": "Every way to deliver a message was tried.",
    "message.failed_over": "Nobody got a message; Allmember gets it.",
    "delivery.begun": "An attempt was recorded and is being made.",
    "delivery.delivered": "The next server took a copy.",
    "delivery.deferred": "A copy could not be delivered now; it is tried again.",
    "delivery.failed": "A copy was refused for good.",
    "delivery.uncertain": "The connection broke after the content; a copy may arrive twice.",
    "courier.misconfigured": "The smarthost refused us, not the mail: login, sender rights or TLS.",
    "courier.switched": "Another smarthost of the list is used.",
    "ticket.opened": "A ticket was made.",
    "ticket.moved": "A ticket changed its stage.",
    "rules.refused": "A rule's examples fail; the old rules stay.",
    "rule.skipped": "A rule could not be answered because the CRM was not reached.",
    "crm.unreachable": "The CRM did not answer.",
    "crm.reached": "The CRM answers again.",
    "crm.imported": "Companies were imported.",
    "store.slow": "A commit took unusually long.",
    "store.failed": "The store could not be read or written.",
    "store.opened": "The store is open.",
    "control.opened": "The control socket takes commands.",
    "control.refused": "Somebody without the right spoke to the control socket.",
    "control.performed": "A command was done through the control socket.",
    "control.failed": "A command through the control socket failed by a mistake of ours.",
    "health.opened": "The web port answers.",
    "health.failed": "The web port could not be opened.",
    "templates.refused": "A banner template cannot be used; the one we ship is used.",
}
"""Every event and what it means. A test compares this with what the sources log."""

MASK = "***"
_SECRET_NAMES = ("password", "secret", "token", "authorization", "api_key", "credential")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_hidden: set[str] = set()


def hide(*secrets: str) -> None:
    """Never write these values, in whatever field they turn up. Values under 4 characters are ignored."""
    _hidden.update(s for s in secrets if len(s) >= 4)  # noqa: PLR2004  shorter ones would mask half of every line


def _mask(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if any(secret in name for secret in _SECRET_NAMES):
            event[name] = MASK
    return event


def _stamp(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["level"] = method
    event["at"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _json_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, default=str)


class _Line:
    """Writes finished lines; one system call a line."""

    __slots__ = ("_stream",)

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        for secret in _hidden:
            if secret in line:
                line = line.replace(secret, MASK)
        # The escape keeps lone surrogates and whatever the terminal's charset lacks from raising.
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed or full stream: the mail goes on (RELIABILITY F35)
            return

    debug = info = warning = error = critical = exception = msg


class _LineFactory:
    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __call__(self, *_args: object) -> _Line:
        return _Line(self._stream or sys.stderr)


def configure(level: str | None = None, *, stream: TextIO | None = None, is_json: bool | None = None) -> None:
    """Set the log up; called once by each process, before anything logs.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; None takes ``SUPPORTRELAY_LOG``, else ``info``.
        stream: Standard error by default.
        is_json: None: JSON lines unless the stream is a terminal.
    """
    wanted = (level or os.environ.get("SUPPORTRELAY_LOG", "info")).lower()
    target = stream or sys.stderr
    json_lines = is_json if is_json is not None else not target.isatty()
    processors: list[Any] = [structlog.contextvars.merge_contextvars, _mask, _stamp]
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
