"""Envelope: reverse-path, forward-paths, and the SMTP session they came in (RFC 5321 §2.3.1)."""

from enum import StrEnum

from supportrelay.core.value import value_class

__all__ = ["Envelope", "Peer", "Role"]


class Role(StrEnum):
    """What a listener is for."""

    MX = "mx"
    SUBMISSION = "submission"
    LMTP = "lmtp"


@value_class
class Peer:
    """Who spoke to us.

    Attributes:
        ip: Printed IP address of the client, without zone.
        helo: What it called itself; printable ASCII only.
        role: The listener's role.
        is_trusted: The address lies in ``trusted_networks``.
        gateway: The ``authserv_id`` of the gateway it is, or "" when it is none.
        tls: Protocol and cipher, or "".
        user: The authenticated user, or "".
    """

    ip: str
    helo: str
    role: Role = Role.MX
    is_trusted: bool = False
    gateway: str = ""
    tls: str = ""
    user: str = ""


@value_class
class Envelope:
    """One mail transaction.

    Attributes:
        reverse_path: Printed address, "" for the null reverse-path.
        forward_paths: Printed addresses in the order of RCPT, each once; never empty.
        peer: The session.
        is_smtputf8: MAIL said SMTPUTF8 (RFC 6531).
    """

    reverse_path: str
    forward_paths: tuple[str, ...]
    peer: Peer
    is_smtputf8: bool = False
