"""One mail transaction: MAIL, RCPT, DATA, the content, and the reply to the dot (RFC 5321 §3.3, §4.1.1).

It is forgotten as a whole, whatever ended it.
"""

import asyncio
from dataclasses import replace

from supportrelay.core import reply as say
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.reply import Reply
from supportrelay.edge.smtp_in.auth import LoginDialogue
from supportrelay.edge.smtp_in.command import MailCommand, parse_mail, parse_rcpt
from supportrelay.edge.smtp_in.connection import PENDING_LIMIT
from supportrelay.edge.smtp_in.content import ContentReader
from supportrelay.edge.smtp_in.intake import Intake

__all__ = ["TransactionDialogue"]

_SIZE_DIGITS = 11

_SENDER_OK = str(say.SENDER_OK)
_RECIPIENT_OK = str(say.RECIPIENT_OK)
_START_INPUT = str(say.START_INPUT)


class TransactionDialogue(LoginDialogue):
    """What is said about a message; `Session` has the other commands.

    Attributes:
        helo: What the client calls itself, made harmless; "" before HELO.
        is_extended: It said EHLO.
        accepted_rcpts: RCPT commands of this transaction that got 250.
    """

    def __init__(self, intake: Intake, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(intake, loop)
        self.helo = ""
        self.is_extended = False
        self.accepted_rcpts = 0
        self._surplus_rcpts = 0
        self._points = 0
        self._idle_commands = 0
        self._skip_octets = 0
        self.forget_transaction()

    def forget_transaction(self) -> None:
        """As RSET."""
        self._mail: MailCommand | None = None
        self._peer: Peer | None = None
        self._forward_paths: list[str] = []
        self._known_paths: set[str] = set()

    def forget_session(self) -> None:
        """TLS was started."""
        self.helo = ""
        self.is_extended = False
        self.forget_login()
        self.forget_transaction()

    def _say(self, given: Reply) -> None:
        if given.code >= 500:  # noqa: PLR2004  permanent: the client's mistake
            self._points += 5
        self.say_line(str(given))

    def _is_early(self) -> bool:
        """EHLO, DATA and STARTTLS end a group of pipelined commands (RFC 2920 §3.1); more may be forged (C12)."""
        if not self.pending:
            return False
        self.turn_away(say.TALKED_TOO_EARLY)
        return True

    def on_mail(self, argument: str) -> None:
        """RFC 5321 §4.1.1.2."""
        refusal = self._mail_refusal()
        mail = refusal or parse_mail(argument, is_extended=self.is_extended)
        if isinstance(mail, Reply):
            self._say(mail)
            return
        if mail.size > self.intake.max_size():
            self._say(say.TOO_LARGE)
            return
        peer = self.peer()
        refusal = self.intake.policy().check_sender(mail.reverse_path, peer, mail.size)
        if refusal == say.SENDER_REFUSED:
            refusal = self.login_first() or refusal
        if refusal is not None:
            self.intake.refusals.tell_message(self.ip, refusal, reverse_path=mail.reverse_path)
            self._say(refusal)
            return
        self._mail, self._peer = mail, peer
        self.accepted_rcpts = self._surplus_rcpts = 0
        self.say_line(_SENDER_OK)

    def peer(self) -> Peer:
        """Who speaks, with the name of who is logged in."""
        peer = self.intake.policy().peer(self.ip, self.helo, self.intake.role, self.tls)
        return replace(peer, user=self.user) if self.user else peer

    def refuse(self, given: Reply) -> None:
        """Say a refusal."""
        self._say(given)

    def auth_refusal(self) -> Reply | None:
        """AUTH comes after EHLO and before MAIL (RFC 4954 §4)."""
        if not self.helo:
            return say.HELO_FIRST
        return say.ALREADY_MAIL if self._mail is not None else None

    def _mail_refusal(self) -> Reply | None:
        if not self.helo:
            return say.HELO_FIRST
        if self.intake.tls_required and not self.tls:
            return say.TLS_FIRST
        return say.ALREADY_MAIL if self._mail is not None else None

    def on_rcpt(self, argument: str) -> None:
        """RFC 5321 §4.1.1.3."""
        if self._mail is None or self._peer is None:
            self._say(say.MAIL_FIRST)
            return
        forward_path = parse_rcpt(argument, is_smtputf8=self._mail.is_smtputf8)
        if isinstance(forward_path, Reply):
            self._say(forward_path)
            return
        key = forward_path.lower()
        if key in self._known_paths and self.accepted_rcpts < self.limits.recipients:
            self.accepted_rcpts += 1
            self.say_line(_RECIPIENT_OK)
            return
        refusal = self._recipient_refusal(forward_path, self._peer)
        if refusal is None:
            self._known_paths.add(key)
            self._forward_paths.append(forward_path)
            self.accepted_rcpts += 1
            self.say_line(_RECIPIENT_OK)
        else:
            self._count_refusal(refusal)
            self.say_line(str(refusal))

    def _count_refusal(self, refusal: Reply) -> None:
        """One mistaken address is nobody's fault, a hundred are an attack: it costs less than a wrong command.

        One too many is no mistake (RFC 5321 §4.5.3.1.10): who asks for ten times as many goes too far.
        """
        if refusal is say.TOO_MANY_RECIPIENTS:
            self._surplus_rcpts += 1
        if refusal is not say.TOO_MANY_RECIPIENTS or self._surplus_rcpts > 9 * self.limits.recipients:
            self._points += 1

    def _recipient_refusal(self, forward_path: str, peer: Peer) -> Reply | None:
        if self.accepted_rcpts >= self.limits.recipients:  # one that was named before counts again
            return say.TOO_MANY_RECIPIENTS
        refusal = self.intake.policy().check_recipient(forward_path, peer)
        if refusal is not None:
            self.intake.refusals.tell_message(self.ip, refusal, forward_path=forward_path)
        return refusal

    def on_data(self, argument: str) -> None:
        """RFC 5321 §4.1.1.4."""
        if argument:
            self._say(say.BAD_ARGUMENT)
        elif self._mail is None:
            self._say(say.MAIL_FIRST)
        elif not self._forward_paths:
            self._say(say.RCPT_FIRST)
        elif not self._is_early():
            self.content = ContentReader(self.intake.max_size(), self.intake.spool_folder)
            self.data_at = self.heard_at
            self.say_line(_START_INPUT)

    def read_content(self, data: bytes) -> None:
        """Octets after DATA, up to the dot and whatever comes behind it."""
        content = self.content
        assert content is not None
        if self._skip_octets:
            self._skip(data)
            return
        rest = content.feed(data)
        if rest is None:
            if content.size_octets > 2 * self.intake.max_size() + PENDING_LIMIT:
                self.leave(say.TOO_LARGE)  # it had its chance to come to an end (C17)
            elif content.wants_to_write:
                self.is_waiting = True
                self.intake.begin_write(content).add_done_callback(self._end_write)
            return
        self.content = None
        self.pending += rest
        mail, peer, forward_paths = self._mail, self._peer, tuple(self._forward_paths)
        self.forget_transaction()
        if content.is_too_large or mail is None or peer is None:
            self.say_taken(say.TOO_LARGE)
            self._after_message()
            return
        envelope = Envelope(mail.reverse_path, forward_paths, peer, is_smtputf8=mail.is_smtputf8)
        self.is_waiting = True
        self.intake.begin_take(envelope, content).add_done_callback(self._end_take)

    def _skip(self, data: bytes) -> None:
        skipped = min(self._skip_octets, len(data))
        self._skip_octets -= skipped
        if not self._skip_octets:
            self.content = None
            self.pending += data[skipped:]
            self.answer_lines()

    def _end_write(self, _task: asyncio.Task[None]) -> None:
        self.is_waiting = False
        self.answer_lines()

    def _end_take(self, task: asyncio.Task[Reply]) -> None:
        self.is_waiting = False
        given = say.NOT_STORED if task.cancelled() else task.result()
        if given.is_positive:
            self._points = self._idle_commands = 0
        self.heard_at = self.prompted_at = self.loop.time()
        self.say_taken(given)
        self._after_message()

    def say_taken(self, given: Reply) -> None:
        """The reply to the dot."""
        self._say(given)

    def _after_message(self) -> None:
        if self.intake.is_closing:
            self.leave(say.SHUTTING_DOWN)
        else:
            self.answer_lines()

    def on_bdat(self, argument: str) -> None:
        """CHUNKING is not offered; octets of who uses it nevertheless must not be read as commands (C30)."""
        size, _, last = argument.partition(" ")
        is_sized = size.isascii() and size.isdigit() and len(size) <= _SIZE_DIGITS and last.upper() in {"", "LAST"}
        if is_sized and int(size) <= 2 * self.intake.max_size():
            self._skip_octets = int(size)
            self.content = ContentReader(0)  # collects nothing
        else:
            self.leave(say.TOO_LARGE)
            return
        self._say(say.NOT_IMPLEMENTED)
        if not self._skip_octets:
            self.content = None
