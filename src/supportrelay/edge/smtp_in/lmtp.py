"""LMTP (RFC 2033): as SMTP, but LHLO greets, and the dot is answered once for each recipient that was accepted."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from supportrelay.core.reply import Reply
from supportrelay.edge.smtp_in.session import COMMANDS, Session

__all__ = ["LmtpSession"]


class LmtpSession(Session):
    """The dialogue with a mail server on this machine or near it.

    Custody is taken of the message as a whole, so all its recipients get the same reply.
    """

    protocol_name = "LMTP"
    commands: ClassVar[Mapping[str, Callable[..., None]]] = {
        **{verb: act for verb, act in COMMANDS.items() if verb not in {"HELO", "EHLO"}},
        "LHLO": Session.on_ehlo,
    }

    def say_taken(self, given: Reply) -> None:
        """RFC 2033 §4.2: one reply for each RCPT that succeeded, in order."""
        for _ in range(self.accepted_rcpts):
            super().say_taken(given)
