"""A raw client that does what no mail program would: exact octets, its own timing, half a close, no reading.

Blocking, for journeys against the daemon (``StrangeClient((host, port))`` or a path) and, in a thread, for a listener
inside the test's loop::

    with StrangeClient(("127.0.0.1", port), source="127.0.0.3") as client:
        assert client.reply().startswith("220 ")
        client.send(b"EHLO x\\r\\nMAIL FROM:<a@b.test>\\r\\n")  # octets as they stand, nothing is added
        assert client.rest() == b"554 ...\\r\\n"                 # until the other side closes

Nothing here knows SMTP but `reply`, `say` and `begin`. A wait longer than ``timeout_s`` is a TimeoutError.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["StrangeClient", "proxy_v1", "proxy_v2"]


class StrangeClient:
    """One connection.

    Args:
        address: Host and port, or the path of a Unix socket.
        source: Own address; 127.0.0.2 and above are strangers.
        receive_buffer: Octets the kernel takes for us when we do not read; small to be a client that never reads.
        tls: Speak TLS from the first octet.
    """

    def __init__(
        self,
        address: tuple[str, int] | Path,
        *,
        source: str = "127.0.0.2",
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        plain = socket.socket(family, socket.SOCK_STREAM)
        self.socket: socket.socket = plain
        try:
            plain.settimeout(timeout_s)
            if receive_buffer is not None:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if family == socket.AF_INET:
                plain.bind((source, 0))
            plain.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            plain.close()
            raise
        self._read = b""
        if tls is not None:
            self.start_tls(tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- octets --

    def send(self, octets: bytes) -> None:
        """As they stand."""
        self.socket.sendall(octets)

    def send_as_far_as_it_goes(self, pieces: Iterable[bytes]) -> int:
        """Send until the other side has had enough; how many octets went out."""
        sent = 0
        try:
            for piece in pieces:
                self.socket.sendall(piece)
                sent += len(piece)
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass
        return sent

    def drip(self, octets: bytes, *, size: int = 1, every_s: float = 0.0) -> None:
        """A segment of ``size`` octets every ``every_s`` seconds."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(octets), size):
            self.socket.sendall(octets[start : start + size])
            if every_s:
                time.sleep(every_s)

    def half_close(self) -> None:
        """No more from us; we still read."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Gone without a good-bye (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Close; a second time does nothing."""
        self.socket.close()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands now, whatever was said before."""
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._read = b""

    # -- what the other side says --

    def line(self) -> bytes:
        """The next line with its end; b"" when the connection is closed or was reset."""
        while b"\n" not in self._read:
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                line, self._read = self._read, b""
                return line
            self._read += more
        end = self._read.index(b"\n") + 1
        line, self._read = self._read[:end], self._read[end:]
        return line

    def reply(self) -> str:
        """The next reply, its lines joined by a line feed; "" when the connection is closed."""
        lines: list[str] = []
        while True:
            line = self.line().decode("latin-1").rstrip("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        found = b""
        while line := self.line():
            found += line
        return found

    def is_silent(self, for_s: float) -> bool:
        """Nothing comes, a close neither, for so long."""
        before = self.socket.gettimeout()
        self.socket.settimeout(for_s)
        try:
            self._read += self.socket.recv(65536)
        except TimeoutError:
            return not self._read
        except ConnectionError:
            return False
        finally:
            self.socket.settimeout(before)
        return False

    # -- a little SMTP --

    def say(self, line: str | bytes) -> str:
        """One line, CR LF added, and the reply."""
        self.send((line.encode("latin-1") if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def begin(self, *recipients: str, sender: str = "kunde@acme1.example", greet: str = "EHLO client.example") -> str:
        """Read the greeting, go as far as DATA; the reply to DATA."""
        greeting = self.reply()
        assert greeting.startswith("220 "), greeting
        self.say(greet)
        self.say(f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            self.say(f"RCPT TO:<{recipient}>")
        return self.say("DATA")


def proxy_v1(source: str, *, target: str = "192.0.2.1", family: str = "TCP4") -> bytes:
    """A header of version 1."""
    return f"PROXY {family} {source} {target} 40000 25\r\n".encode()


def proxy_v2(source: str, *, command: int = 0x21, more: bytes = b"") -> bytes:
    """A header of version 2 for an IPv4 or IPv6 client; ``command`` 0x20 is a proxy's own health check."""
    kind = socket.AF_INET6 if ":" in source else socket.AF_INET
    target = "2001:db8::25" if ":" in source else "192.0.2.1"
    address = socket.inet_pton(kind, source) + socket.inet_pton(kind, target) + struct.pack("!HH", 40000, 25) + more
    family = 0x21 if ":" in source else 0x11
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", command, family, len(address)) + address
