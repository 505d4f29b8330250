"""The dialogue of one SMTP session: command in, reply out (RFC 5321 §4).

What the policy answers is said as it is; what breaks inside is said as 451 (RELIABILITY C29). `transaction` has MAIL,
RCPT and DATA, `auth` has AUTH; here is how a line becomes a command, and the session's own ones.
"""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from supportrelay.core import reply as say
from supportrelay.core.reply import Reply
from supportrelay.edge.smtp_in.auth import AUTH_LINE_LIMIT, MECHANISMS
from supportrelay.edge.smtp_in.connection import LONG_LINE_LIMIT
from supportrelay.edge.smtp_in.transaction import TransactionDialogue

__all__ = ["Session"]

_LINE_LIMIT = 512  # RFC 5321 §4.5.3.1.4, with CRLF
_HELO_LIMIT = 255

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_NOT_HELO = re.compile(r"[^A-Za-z0-9.:\[\]_-]")
_FOREIGN_VERBS = frozenset({"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "PRI", "PROXY"})


class Session(TransactionDialogue):
    """The dialogue.

    Attributes:
        commands: What is understood.
    """

    commands: ClassVar[Mapping[str, Callable[..., None]]]

    # --- lines ---

    def answer(self, line: bytes) -> None:
        """Answer one line."""
        if self.is_logging_in:
            self.answer_challenge(line)
        else:
            self._answer_command(line)
        if self._points >= self.limits.error_points:
            self.leave(say.TOO_MANY_ERRORS)
        elif self._idle_commands > self.limits.idle_commands:
            self.leave(say.TOO_MANY_COMMANDS)

    def _answer_command(self, line: bytes) -> None:
        verb, argument = self._read_line(line)
        if isinstance(argument, Reply):
            self._say(argument)
        elif verb not in self.commands:
            self._refuse_verb(verb)
        elif self.started_at + self.limits.session_s < self.heard_at and self._mail is None:
            self.leave(say.TIMED_OUT)
        else:
            self.commands[verb](self, argument)

    def _read_line(self, line: bytes) -> tuple[str, str | Reply]:
        verb_octets, _, argument = line[:-2].partition(b" ")
        verb = verb_octets.decode("ascii", "replace").upper()
        if line[-2:] != b"\r\n":
            return verb, say.BAD_SYNTAX
        if len(line) > self._line_limit(verb):
            return verb, say.LINE_TOO_LONG
        if _CONTROL.search(argument):
            return verb, _CONTROL_REPLIES.get(verb, say.BAD_SYNTAX)
        try:
            return verb, argument.decode("utf-8").strip(" ")
        except UnicodeDecodeError:
            return verb, _CONTROL_REPLIES.get(verb, say.BAD_SYNTAX)

    def _line_limit(self, verb: str) -> int:
        if verb == "AUTH" and self.offers_login:
            return AUTH_LINE_LIMIT
        return LONG_LINE_LIMIT if verb in {"MAIL", "RCPT"} else _LINE_LIMIT

    def _refuse_verb(self, verb: str) -> None:
        if not self.helo and (verb in _FOREIGN_VERBS or verb.startswith(("SSH-", "\x16"))):
            self.leave(say.NO_HTTP)  # C31
        else:
            self._say(say.UNKNOWN_COMMAND if verb and verb.isascii() and verb.isprintable() else say.BAD_SYNTAX)

    # --- the session's commands ---

    def _greet(self, argument: str) -> bool:
        self._idle_commands += 1
        if self._is_early():
            return False
        name = argument.partition(" ")[0]
        if not name or len(name) > _HELO_LIMIT or not name.isascii():
            self._say(say.BAD_ARGUMENT)
            return False
        self.helo = _NOT_HELO.sub("?", name)
        self.forget_transaction()
        return True

    def on_helo(self, argument: str) -> None:
        """RFC 5321 §4.1.1.1."""
        if self._greet(argument):
            self.is_extended = False
            self.say_line(f"250 {self.intake.hostname}")

    def on_ehlo(self, argument: str) -> None:
        """RFC 5321 §4.1.1.1."""
        if self._greet(argument):
            self.is_extended = True
            self.say_line("\r\n".join(self._extensions()))

    def _extensions(self) -> list[str]:
        names = [self.intake.hostname, "PIPELINING", f"SIZE {self.intake.max_size()}", "8BITMIME", "SMTPUTF8"]
        if not self.tls and self.intake.tls_context() is not None:
            names.append("STARTTLS")
        if self.offers_login:
            names.append(f"AUTH {' '.join(MECHANISMS)}")
        return [*(f"250-{name}" for name in names), "250 ENHANCEDSTATUSCODES"]

    def on_starttls(self, argument: str) -> None:
        """RFC 3207."""
        context = self.intake.tls_context()
        if argument:
            self._say(say.BAD_ARGUMENT)
        elif self.tls:
            self._say(say.NOT_IMPLEMENTED)
        elif context is None:
            self._say(say.TLS_NOT_AVAILABLE)
        elif not self._is_early():
            self._say(say.TLS_READY)
            self.begin_tls(context)

    def on_rset(self, argument: str) -> None:
        """RFC 5321 §4.1.1.5."""
        self._idle_commands += 1
        self.forget_transaction()
        self._say(say.BAD_ARGUMENT if argument else say.OK)

    def on_noop(self, _argument: str) -> None:
        """RFC 5321 §4.1.1.9."""
        self._idle_commands += 1
        self._say(say.OK)

    def on_vrfy(self, argument: str) -> None:
        """RFC 5321 §7.3: who is here is nobody's business."""
        self._idle_commands += 1
        self._say(say.CANNOT_VERIFY if argument else say.BAD_ARGUMENT)

    def on_quit(self, argument: str) -> None:
        """RFC 5321 §4.1.1.10."""
        if argument:
            self._say(say.BAD_ARGUMENT)
        else:
            self.leave(say.BYE)

    def on_unoffered(self, _argument: str) -> None:
        """HELP, EXPN."""
        self._say(say.NOT_IMPLEMENTED)


_CONTROL_REPLIES = {
    "HELO": say.BAD_ARGUMENT,
    "EHLO": say.BAD_ARGUMENT,
    "MAIL": say.BAD_SENDER,
    "RCPT": say.BAD_RECIPIENT,
}

COMMANDS: dict[str, Callable[[Session, str], None]] = {
    "HELO": Session.on_helo,
    "EHLO": Session.on_ehlo,
    "STARTTLS": Session.on_starttls,
    "MAIL": Session.on_mail,
    "RCPT": Session.on_rcpt,
    "DATA": Session.on_data,
    "RSET": Session.on_rset,
    "NOOP": Session.on_noop,
    "VRFY": Session.on_vrfy,
    "QUIT": Session.on_quit,
    "BDAT": Session.on_bdat,
    "AUTH": Session.on_auth,
    "EXPN": Session.on_unoffered,
    "HELP": Session.on_unoffered,
}
"""What is understood; anything else is 500."""

Session.commands = COMMANDS
