"""Reply: SMTP code, enhanced status code and text; the replies we give, by name.

The texts are for strangers: they say what to do, never what is inside (RELIABILITY D01).
"""

import re

from supportrelay.core.value import value_class

__all__ = [
    "ACCEPTED",
    "ALREADY_LOGGED_IN",
    "ALREADY_MAIL",
    "AUTHOR_NOT_YOURS",
    "BAD_ARGUMENT",
    "BAD_LOGIN",
    "BAD_PARAMETER",
    "BAD_RECIPIENT",
    "BAD_SENDER",
    "BAD_SYNTAX",
    "BYE",
    "CANNOT_GO_ON",
    "CANNOT_VERIFY",
    "HELO_FIRST",
    "LINE_TOO_LONG",
    "LOGGED_IN",
    "LOGIN_CANCELLED",
    "LOGIN_FAILED",
    "LOGIN_FIRST",
    "LOGIN_LATER",
    "LOGIN_NEEDS_TLS",
    "LOGIN_TOO_LONG",
    "LOOP",
    "MAIL_FIRST",
    "NEEDS_SMTPUTF8",
    "NOT_IMPLEMENTED",
    "NOT_OURS",
    "NOT_STORED",
    "NO_HTTP",
    "NO_ROOM",
    "OK",
    "RCPT_FIRST",
    "RECIPIENT_OK",
    "SENDER_NOT_YOURS",
    "SENDER_OK",
    "SENDER_REFUSED",
    "SHUTTING_DOWN",
    "START_INPUT",
    "TALKED_TOO_EARLY",
    "TIMED_OUT",
    "TLS_FIRST",
    "TLS_NOT_AVAILABLE",
    "TLS_READY",
    "TOO_LARGE",
    "TOO_MANY_COMMANDS",
    "TOO_MANY_CONNECTIONS",
    "TOO_MANY_ERRORS",
    "TOO_MANY_FROM_YOU",
    "TOO_MANY_LOGINS",
    "TOO_MANY_RECIPIENTS",
    "TOO_OFTEN",
    "TOO_SLOW",
    "UNKNOWN_COMMAND",
    "UNKNOWN_MECHANISM",
    "WEAK_MECHANISM",
    "Reply",
    "enhanced_status",
    "printable_line",
]


@value_class
class Reply:
    """One reply of ours.

    Attributes:
        code: RFC 5321 §4.2.
        status: RFC 3463; "" for the few replies that carry none (220, 354).
        text: One line of printable ASCII.
    """

    code: int
    status: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"

    @property
    def is_positive(self) -> bool:
        """2xx or 3xx."""
        return self.code < 400  # noqa: PLR2004  the first digit is the class


OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient ok")
ACCEPTED = Reply(250, "2.0.0", "Accepted, it is ours to deliver now")
START_INPUT = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
BYE = Reply(221, "2.0.0", "Bye")
CANNOT_VERIFY = Reply(252, "2.1.5", "Cannot verify, but will take mail for what is ours")
TLS_READY = Reply(220, "2.0.0", "Ready to start TLS")
LOGGED_IN = Reply(235, "2.7.0", "Authentication successful")

# Ours or weather: the client keeps the mail and tries again.
NOT_STORED = Reply(451, "4.3.0", "Cannot take mail now, please try again")
NO_ROOM = Reply(452, "4.3.1", "Cannot take mail now, please try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients, send the rest separately")  # RFC 5321 §4.5.3.1.10
TLS_NOT_AVAILABLE = Reply(454, "4.7.0", "TLS is not available now")
SHUTTING_DOWN = Reply(421, "4.3.2", "Service is shutting down, please try again")
CANNOT_GO_ON = Reply(421, "4.3.0", "Cannot go on now, please try again")
TIMED_OUT = Reply(421, "4.4.2", "Timed out")
TOO_SLOW = Reply(421, "4.4.2", "Data comes too slowly")
TOO_MANY_CONNECTIONS = Reply(421, "4.3.2", "Too many connections, please try again")
TOO_MANY_FROM_YOU = Reply(421, "4.7.0", "Too many connections from your address")
TOO_OFTEN = Reply(421, "4.7.0", "Too many connections a minute from your address")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TOO_MANY_LOGINS = Reply(421, "4.7.0", "Too many failed logins, please try again later")
LOGIN_LATER = Reply(454, "4.7.0", "Cannot check a login now, please try again later")  # RFC 4954 §6
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "Too many commands without mail")

# The client's command.
UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognised")
BAD_SYNTAX = Reply(500, "5.5.2", "Syntax error; lines are printable and end in CR LF")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
BAD_ARGUMENT = Reply(501, "5.5.4", "Syntax error in the argument")
BAD_SENDER = Reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT = Reply(501, "5.1.3", "Bad recipient address syntax")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
HELO_FIRST = Reply(503, "5.5.1", "Say EHLO first")
ALREADY_MAIL = Reply(503, "5.5.1", "MAIL was already given")
MAIL_FIRST = Reply(503, "5.5.1", "Need MAIL first")
RCPT_FIRST = Reply(503, "5.5.1", "Need an accepted RCPT first")
TLS_FIRST = Reply(530, "5.7.0", "Must issue STARTTLS first")  # RFC 3207 §4
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "Address needs SMTPUTF8")  # RFC 6531 §3.5
# Login (RFC 4954 §4, §6).
LOGIN_TOO_LONG = Reply(500, "5.5.6", "Authentication line too long")
BAD_LOGIN = Reply(501, "5.5.2", "Not what this mechanism says")
LOGIN_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
ALREADY_LOGGED_IN = Reply(503, "5.5.1", "Already authenticated")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Mechanism not known here")
LOGIN_FIRST = Reply(530, "5.7.0", "Authentication required")
WEAK_MECHANISM = Reply(534, "5.7.9", "Mechanism is too weak; PLAIN or LOGIN over TLS")
LOGIN_FAILED = Reply(535, "5.7.8", "User name or password is wrong")
LOGIN_NEEDS_TLS = Reply(538, "5.7.11", "Start TLS before you log in")
TALKED_TOO_EARLY = Reply(554, "5.5.0", "You spoke before it was your turn")  # RFC 2920 §3.1
NO_HTTP = Reply(554, "5.5.0", "Only SMTP is spoken here")
BAD_PARAMETER = Reply(555, "5.5.4", "Parameter not recognised or not implemented")

# The mail.
NOT_OURS = Reply(550, "5.7.1", "We do not take mail for this address")
SENDER_REFUSED = Reply(550, "5.7.1", "We do not take mail from this sender")
SENDER_NOT_YOURS = Reply(550, "5.7.1", "You may not send as this address; use one of your own")
AUTHOR_NOT_YOURS = Reply(550, "5.7.1", "From must be one address of your own, or one that the desk shares")
TOO_LARGE = Reply(552, "5.3.4", "Message is too large")  # RFC 1870 §6.1
LOOP = Reply(554, "5.4.6", "Too many hops, the message goes round in a loop")  # RFC 5321 §6.3

_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u2027\u2030-\u2065\u2070-\ud7ff\uf900-\ufffd]+")
_STATUS = re.compile(r"(?:^|[\s(:;,-])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_LINE_LIMIT = 500


def printable_line(text: str) -> str:
    """A stranger's text as one printable line of at most 500 characters (RELIABILITY C60).

    Controls, line ends, lone surrogates and characters that turn the writing direction become spaces.
    """
    line = _NOT_PRINTABLE.sub(" ", text[: 4 * _LINE_LIMIT]).strip()
    return line if len(line) <= _LINE_LIMIT else line[: _LINE_LIMIT - 1] + "…"


def enhanced_status(text: str) -> str:
    """The first enhanced status code (RFC 3463) in the beginning of a reply's text, "" when there is none."""
    found = _STATUS.search(text, 0, 200)
    return found[1] if found else ""
