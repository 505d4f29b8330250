"""Mail that keeps coming: senders that behave as mail servers do, and try again whatever happens to us."""

import os
import re
import signal
import smtplib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import psutil

from journeys.relay import STRANGER, Relay, mail
from smtp_sink import Received

SUPPORT = "support@desk.test"
_PAUSE_S = 0.05
_MESSAGE_ID = re.compile(rb"(?im)^Message-ID:[ \t]*(?:\r\n[ \t]+)?(<[^>\r\n]*>)")


def customer(number: int) -> str:
    """A customer whose company ann owns; see `journeys.companies`."""
    return f"kunde@acme{number % 40}.example"


def message_id_of(octets: bytes) -> str:
    found = _MESSAGE_ID.search(octets.partition(b"\r\n\r\n")[0])
    return found[1].decode() if found else ""


_OWN = re.compile(rb"(?m)^X-Supportrelay-Reason: (?:report|delay|digest|alert)\r$")


def is_own_mail(received: Received) -> bool:
    """A report, digest or alert: what the relay writes itself."""
    header = received.octets.partition(b"\r\n\r\n")[0]
    return not received.reverse_path and b"X-Supportrelay-Trail" not in header and _OWN.search(header) is not None


def arrivals(messages: Iterable[Received]) -> Counter[tuple[str, str]]:
    """How often each ``(Message-ID, recipient)`` arrived."""
    return Counter((message_id_of(m.octets), recipient) for m in messages for recipient in m.recipients)


def worker_of(session: smtplib.SMTP) -> int:
    """The process that serves this session: it has the other end of the connection."""
    assert isinstance(session.sock, socket.socket)
    port = session.sock.getsockname()[1]
    for one in psutil.net_connections("tcp4"):
        if one.raddr and one.raddr.port == port and one.pid not in {None, os.getpid()}:
            assert one.pid is not None
            return one.pid
    raise AssertionError("no process has the other end")


def reload(relay: Relay) -> None:
    """SIGHUP, and wait until every worker uses the new configuration."""
    assert relay.process is not None
    offset = relay.log_path.stat().st_size
    relay.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while relay.log_path.read_bytes()[offset:].count(b'"config.reloaded"') < relay.config["workers"]:
        assert time.monotonic() < deadline, relay.log_path.read_text()[-2000:]
        time.sleep(0.02)


class Traffic:
    """So many mails by so many senders, each until it got 250; a context manager that waits for the end.

    Attributes:
        accepted: Message-ID -> when 250 came (``time.time()``).
        refused: Permanent refusals, which must not be.
        dropped: Sessions that ended without an answer.
    """

    def __init__(
        self,
        relay: Relay,
        name: str,
        count: int,
        *,
        senders: int = 4,
        keeps_connections: bool = False,
        pause_s: float = 0.0,
    ) -> None:
        self.ids = [f"<{name}.{number}@mail.example>" for number in range(count)]
        self._pause_s = pause_s
        self.accepted: dict[str, float] = {}
        self.refused: list[str] = []
        self.dropped: list[str] = []
        self._relay = relay
        self._name = name
        self._keeps_connections = keeps_connections
        self._progress = threading.Condition()
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._send_all, args=(range(first, count, senders),), daemon=True)
            for first in range(senders)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._is_over.set()
        self.join()

    def end(self) -> None:
        """Begin no other mail."""
        self._is_over.set()
        self.join()

    def join(self, timeout: float = 60.0) -> None:
        """Wait until every mail got its 250, or `end`."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        said = f"{len(self.accepted)} of {len(self.ids)} mails got in; {self.dropped[-3:]} {self.refused[-3:]}"
        assert not any(thread.is_alive() for thread in self._threads), said

    def wait_for(self, count: int, timeout: float = 30.0) -> None:
        """Wait until so many mails got 250."""
        with self._progress:
            came = self._progress.wait_for(lambda: len(self.accepted) >= count, timeout)
        assert came, f"{len(self.accepted)} of {count} mails got in"

    def _send_all(self, numbers: range) -> None:
        client: smtplib.SMTP | None = None
        for number in numbers:
            if self._is_over.is_set():
                break
            octets = mail(
                sender=customer(number),
                to=SUPPORT,
                subject=f"{self._name} {number}",
                message_id=self.ids[number],
            )
            while not self._is_over.is_set():
                try:
                    client = client or smtplib.SMTP(
                        "127.0.0.1", self._relay.port, source_address=(STRANGER, 0), timeout=10
                    )
                    client.sendmail(customer(number), [SUPPORT], octets)
                except (smtplib.SMTPException, OSError) as exc:
                    self._note(exc)
                    if client is not None:
                        client.close()
                        client = None
                    self._is_over.wait(_PAUSE_S)
                    continue
                self._count(self.ids[number])
                self._is_over.wait(self._pause_s)
                if not self._keeps_connections:
                    client.close()
                    client = None
                break
        if client is not None:
            client.close()

    def _note(self, exc: Exception) -> None:
        code = getattr(exc, "smtp_code", 0)
        if isinstance(exc, smtplib.SMTPRecipientsRefused):
            code = max(reply[0] for reply in exc.recipients.values())
        (self.refused if code >= 500 else self.dropped).append(repr(exc))

    def _count(self, message_id: str) -> None:
        with self._progress:
            self.accepted[message_id] = time.time()
            self._progress.notify_all()
