"""A tiny DNS server on loopback that answers, keeps silent, fails, hesitates or lies, as it is told for each name."""

import contextlib
import socket
import struct
import threading
import time
from typing import Any, Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

__all__ = ["DnsServer", "txt"]

DROP, SERVFAIL, REFUSED, SLOW, GARBAGE, OTHER_ID, LARGE, ALIAS = (
    *("drop", "servfail", "refused", "slow", "garbage", "other_id", "large", "alias"),
)


def txt(text: str | bytes) -> str:
    """A TXT record's data, in strings of 255 octets."""
    octets = text.encode() if isinstance(text, str) else text
    pieces = [octets[at : at + 255].decode("latin-1") for at in range(0, len(octets), 255)] or [""]
    return " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)


class DnsServer:
    """Serves ``zone``: name -> kind -> data of records; and ``faults``: name (or ``*``) -> one of the words above.

    Attributes:
        asked: Names with kinds, in the order of the questions.
        ttl: Of every record.
        slow_s: How long ``slow`` takes.
    """

    def __init__(self) -> None:
        self.zone: dict[str, dict[str, list[str]]] = {}
        self.faults: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.ttl = 300
        self.slow_s = 1.0
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for _ in range(50):
            self._udp.bind(("127.0.0.1", 0))
            self.port = self._udp.getsockname()[1]
            try:
                self._tcp.bind(("127.0.0.1", self.port))
            except OSError:
                self._udp.close()
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                continue
            break
        self._tcp.listen(20)
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._serve_udp, self._serve_tcp)]

    def add(self, name: str, kind: str, *data: str) -> None:
        """Add records."""
        self.zone.setdefault(name.lower(), {}).setdefault(kind, []).extend(data)

    def count(self, name: str, kind: str = "TXT") -> int:
        """How often it was asked about."""
        return self.asked.count((name.lower(), kind))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, peer = self._udp.recvfrom(4096)
                threading.Thread(target=self._answer_udp, args=(wire, peer), daemon=True).start()

    def _answer_udp(self, wire: bytes, peer: Any) -> None:
        answer = self._answer(wire, is_tcp=False)
        with contextlib.suppress(OSError):
            if answer is not None:
                self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._tcp.accept()
                threading.Thread(target=self._answer_tcp, args=(connection,), daemon=True).start()

    def _answer_tcp(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            (length,) = struct.unpack("!H", connection.recv(2))
            answer = self._answer(connection.recv(length), is_tcp=True)
            if answer is not None:
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, wire: bytes, *, is_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        fault = self.faults.get(name, self.faults.get("*", ""))
        if fault == DROP:
            return None
        if fault == GARBAGE:
            return wire[:2] + b"\xff" * 30
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if fault in {SERVFAIL, REFUSED}:
            answer.set_rcode(dns.rcode.SERVFAIL if fault == SERVFAIL else dns.rcode.REFUSED)
            return answer.to_wire()
        if fault == SLOW:
            time.sleep(self.slow_s)
        if fault == OTHER_ID:
            answer.id ^= 1
        self._fill(answer, question, name, kind)
        if fault == LARGE and not is_tcp:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        return answer.to_wire(max_size=65535)

    def _fill(self, answer: Any, question: Any, name: str, kind: str) -> None:
        at = question.name
        records = self.zone.get(name)
        while records and ALIAS in records:
            target = records[ALIAS][0]
            answer.answer.append(dns.rrset.from_text(at, self.ttl, "IN", "CNAME", target + "."))
            at, records = dns.name.from_text(target), self.zone.get(target)
        if records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif kind in records:
            answer.answer.append(dns.rrset.from_text(at, self.ttl, "IN", kind, *records[kind]))
