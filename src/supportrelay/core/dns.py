"""The DNS as we ask it: one port for SPF, DKIM, DMARC and ARC, so that tests and sites can point it where they like."""

from typing import Literal, Protocol

__all__ = ["Dns", "DnsRecord", "RecordKind"]

RecordKind = Literal["A", "AAAA", "MX", "PTR", "TXT"]

DnsRecord = str | bytes | tuple[int, str]
"""A and AAAA: a printed address; PTR: a name; MX: ``(preference, name)``; TXT: its strings joined, as octets.

Names are lower case, without the dot at the end.
"""


class Dns(Protocol):
    """Asks the DNS. Asked, and there is none, is an empty answer; could not ask is `TransientFailure`."""

    async def ask(self, name: str, kind: RecordKind) -> tuple[DnsRecord, ...]:
        """The records of that kind, aliases followed; empty for a name or a kind that does not exist.

        Args:
            name: A-label form; a name that the DNS cannot hold (an empty or long label, over 253 octets) has none.

        Raises:
            TransientFailure: No answer in time, SERVFAIL, an answer that cannot be read, or nobody to ask.
        """
        ...
