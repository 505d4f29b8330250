"""How much of anything a client of the listeners gets."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from supportrelay.config.scalars import Duration
from supportrelay.config.section import Section

__all__ = ["LimitsConfig"]

_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_CountOrAny = Annotated[int, Field(ge=0, le=1_000_000)]


class LimitsConfig(Section):
    """Limits of the SMTP dialogue; the defaults are meant to stay."""

    connections: _Count = Field(
        default=1000,
        description="Connections of strangers at once, all listeners and workers together. Trusted networks and "
        "gateways do not count against it. Needs as many file descriptors (LimitNOFILE).",
    )
    connections_per_client: _CountOrAny = Field(
        default=50,
        description="Connections of one address at once (of IPv6 a /64), all listeners and workers together; 0 means "
        "any number. Not for trusted networks and gateways.",
    )
    connections_per_minute: _CountOrAny = Field(
        default=0,
        description="New connections of one address a minute; 0 means any number, for a large provider sends a "
        "morning's mail from one. Not for trusted networks and gateways.",
    )
    recipients: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        default=1000,
        description="Recipients of a message; the rest is asked for separately. RFC 5321 §4.5.3.1.8: 100 or more.",
    )
    errors: _Count = Field(
        default=20,
        description="Mistakes until a session is ended: a wrong command counts one, a refused recipient a fifth.",
    )
    commands_without_mail: _Count = Field(
        default=100, description="Commands (NOOP, RSET, EHLO, VRFY) without a message until a session is ended."
    )
    idle: Duration = Field(
        default=timedelta(minutes=5), description="Longest silence between two commands (RFC 5321 §4.5.3.2.7: 5m)."
    )
    data_idle: Duration = Field(
        default=timedelta(minutes=3), description="Longest silence inside a message (RFC 5321 §4.5.3.2.5: 3m)."
    )
    data_grace: Duration = Field(
        default=timedelta(minutes=5), description="A message may take so long, and longer at data_rate."
    )
    data_rate: _Count = Field(default=500, description="Octets a second that a long message must come with.")
    session: Duration = Field(default=timedelta(hours=2), description="An older session ends at its next command.")
