"""Mailbox: an address with its display name; our own RFC 5321 grammar (no library parses it safely on 3.11.7).

`parse_path` is strict, for what SMTP says and people configure. `parse_mailboxes` is tolerant, for header fields, but
never guesses: of an entry that can be read in two ways nothing is taken (CVE-2023-27043 came from guessing).
"""

import ipaddress
import re
from functools import lru_cache

from supportrelay.core.encoded_word import decode_words, encode_words, one_line
from supportrelay.core.errors import AddressError
from supportrelay.core.value import value_class

__all__ = ["Mailbox", "comparing_form", "parse_mailboxes", "parse_path", "print_mailbox", "print_path", "split_detail"]


@value_class
class Mailbox:
    """One mailbox.

    Attributes:
        local: Local part as written, unquoted.
        domain: A-label, lower case; may be an address literal with its brackets.
        name: Decoded display name, "" without.
    """

    local: str
    domain: str
    name: str = ""

    @property
    def key(self) -> str:
        """Comparing form: ``local@domain``, all lower case, local part unquoted (RULES 9.8)."""
        return f"{self.local.lower()}@{self.domain}"


_MAX_PATH = 512  # characters; RFC 5321 says 256, rewriting forwarders make longer ones
_MAX_LOCAL = 256  # RFC 5321 says 64, SRS and bounce addresses do not keep to it
_MAX_DOMAIN = 253

# Japanese carriers hand out "abc." and "x..y" (RULES 0.5), so dots may stand anywhere.
_ATOMS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u00a0-\ud7ff\ue000-\U0010ffff]+"
_LOCAL = re.compile(_ATOMS)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
_QUOTED_LOCAL = re.compile(r'"((?:[^"\\]++|\\.)*+)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SOURCE_ROUTE = re.compile(r"@[^:\"<>\s]*:")
_DOT_ATOM = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]+)*"
)


def parse_path(text: str) -> Mailbox:
    """Parse a Mailbox as RFC 5321 §4.1.2 writes it, without angle brackets; a source route in front is dropped.

    Local parts may be quoted, may hold dots anywhere (carriers) and characters outside ASCII (RFC 6531). Domains
    become lower-case A-labels; address literals are checked.

    Raises:
        AddressError: Anything else: two @, a trailing dot, controls, a bad domain, over 512 characters.
    """
    if len(text) > _MAX_PATH:
        raise AddressError("address is too long")
    if _FORBIDDEN.search(text):
        raise AddressError("control character in address")
    if text.startswith("@"):
        route = _SOURCE_ROUTE.match(text)
        text = text[route.end() :] if route else text
    if text.startswith('"'):
        quoted = _QUOTED_LOCAL.match(text)
        if not quoted or not text.startswith("@", quoted.end()):
            raise AddressError(f"not an address: {text!r}")
        local, domain = _QUOTED_PAIR.sub(r"\1", quoted[1]), text[quoted.end() + 1 :]
    else:
        local, at, domain = text.partition("@")
        if not at or not _LOCAL.fullmatch(local):
            raise AddressError(f"not an address: {text!r}")
    if not local or len(local) > _MAX_LOCAL:
        raise AddressError(f"not an address: {text!r}")
    return Mailbox(local, _parse_domain(domain))


def _parse_domain(text: str) -> str:
    if text.startswith("["):
        return _parse_literal(text)
    domain = text.lower()
    if not domain.isascii():
        if len(domain) > _MAX_DOMAIN:
            raise AddressError("domain is too long")
        try:
            domain = domain.encode("idna").decode("ascii").lower()
        except UnicodeError as exc:
            raise AddressError(f"not a domain: {text!r}") from exc
    if len(domain) > _MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise AddressError(f"not a domain: {text!r}")
    return domain


def _parse_literal(text: str) -> str:
    inner = text[1:-1].lower()
    is_v6 = inner.startswith("ipv6:")
    try:
        if text.endswith("]") and is_v6 and "%" not in inner:
            return f"[ipv6:{ipaddress.IPv6Address(inner[5:]).compressed}]"
        if text.endswith("]"):
            return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        pass
    raise AddressError(f"not an address literal: {text!r}")


def print_path(mailbox: Mailbox) -> str:
    """``local@domain`` for SMTP, the local part quoted when it is no dot-atom: ``"abc."@ezweb.ne.jp``."""
    if _DOT_ATOM.fullmatch(mailbox.local):
        return f"{mailbox.local}@{mailbox.domain}"
    return f"{_quote(mailbox.local)}@{mailbox.domain}"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def comparing_form(text: str) -> str:
    """The form in which addresses are compared: ``parse_path(text).key``.

    Raises:
        AddressError: As `parse_path`.
    """
    return parse_path(text).key


def split_detail(local: str, delimiter: str) -> tuple[str, str]:
    """``(base, detail)`` of a local part: ``("support", "t12")`` for ``support+t12``; detail "" without."""
    base, found, detail = local.partition(delimiter) if delimiter else (local, "", "")
    return (base, detail) if found and base else (local, "")


# --- address lists of header fields

_MAX_MAILBOXES = 2000
_MAX_ENTRIES = 4000  # including those that are none

# Order matters: an encoded word is one token, although careless senders leave commas in it.
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]++)"
    r"|(?P<word>=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]*+\?=)"
    r'|(?P<quoted>"(?:[^"\\]++|\\.)*+")'
    r"|(?P<literal>\[[^\[\]\s<>]{0,100}\])"
    r'|(?P<atom>(?:(?!=\?)[^\s"()<>,;:\[\]])++|=)'
    r"|(?P<separator>[,;][,; \t]*+)"
    r"|(?P<special>.)",
    re.DOTALL,
)
# What nearly every list consists of; anything else takes the long way. No character here has a second meaning.
_PLAIN_ENTRY = re.compile(
    r'\s*+(?:(?:"([^"\\<>]*+)"|((?:[A-Za-z0-9!#$%&\'*+/=?^_`{|}~.\- \u00a0-\ud7ff\ue000-\U0010ffff])*+))[ ]*+'
    r"<([A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]+@[A-Za-z0-9.\-]+)>|([A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]+@[A-Za-z0-9.\-]+))"
    r"\s*+(?:,|\Z)"
)


def parse_mailboxes(value: str) -> tuple[Mailbox, ...]:
    """Read the address list of a header field; never raises, linear, at most 2,000 mailboxes.

    ``value`` is unfolded with its encoded words still encoded (`headers.raw_value`): decoding first would let a name
    bring addresses of its own. Groups are flattened, comments dropped, names decoded. An entry that is no mailbox, or
    could be read as two, is left out.
    """
    return _parse_again(value) if len(value) <= _REMEMBERED_CHARACTERS else _parse_list(value)


def _parse_list(value: str) -> tuple[Mailbox, ...]:
    value = value.strip()
    found: list[Mailbox] = []
    position, stop = 0, len(value)
    while position < stop and len(found) < _MAX_MAILBOXES:
        match = _PLAIN_ENTRY.match(value, position)
        if not match:
            return _read_list(value, position, found)
        quoted, phrase, angle, bare = match.groups()
        name = quoted if quoted is not None else phrase
        local, _, domain = (angle or bare).partition("@")
        domain = domain.lower()
        if len(local) <= _MAX_LOCAL and len(domain) <= _MAX_DOMAIN and _DOMAIN.fullmatch(domain):
            found.append(Mailbox(local, domain, _decoded_name(name) if name else ""))
        position = match.end()
    return tuple(found)


# The same few people write to the same few addresses, and one mail's From and To are asked for several times.
_REMEMBERED_CHARACTERS = 200
_parse_again = lru_cache(maxsize=2048)(_parse_list)


def _read_list(value: str, position: int, found: list[Mailbox]) -> tuple[Mailbox, ...]:
    """Read the rest of a list token by token."""
    reader = _ListReader(found)
    stop = len(value)
    while position < stop and reader.may_go_on:
        if value[position] == "(":
            position = _after_comment(value, position)
            if position < 0:
                return tuple(found)  # never closed: what it swallows is not known
            reader.pause()
            continue
        if value[position] == '"' and not _CLOSED_QUOTE.match(value, position):
            return tuple(found)
        match = _TOKEN.match(value, position)
        assert match
        position = match.end()
        reader.take(match.lastgroup or "", match[0])
    reader.finish()
    return tuple(found)


def _accepted(address: str, name: str) -> tuple[Mailbox, ...]:
    try:
        mailbox = parse_path(address)
    except AddressError:
        return ()
    return (Mailbox(mailbox.local, mailbox.domain, name) if name else mailbox,)


def _decoded_name(text: str) -> str:
    text = " ".join(text.split())
    return one_line(decode_words(text)) if "=?" in text else one_line(text)


_CLOSED_QUOTE = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_PAREN_OR_ESCAPE = re.compile(r"[^()\\]*+(\(|\)|\\.?|\Z)", re.DOTALL)


def _after_comment(value: str, position: int) -> int:
    """Offset after the comment that opens at ``position``, -1 when it is never closed."""
    depth = 0
    while position < len(value):
        match = _PAREN_OR_ESCAPE.match(value, position)
        assert match
        position = match.end()
        if match[1] == "(":
            depth += 1
        elif match[1] == ")":
            depth -= 1
            if not depth:
                return position
    return -1


class _ListReader:
    """Takes the tokens of an address list one by one."""

    __slots__ = ("_after", "_angle", "_bad", "_entries", "_found", "_phrase")

    def __init__(self, found: list[Mailbox]) -> None:
        self._found = found
        self._entries = 0
        self._begin()

    @property
    def may_go_on(self) -> bool:
        return self._entries < _MAX_ENTRIES and len(self._found) < _MAX_MAILBOXES

    def _begin(self) -> None:
        self._phrase: list[tuple[str, str]] = []
        self._angle: list[str] | None = None
        self._after = False  # the angle bracket was closed
        self._bad = False

    def pause(self) -> None:
        """White space or a comment."""
        self.take("space", " ")

    def take(self, kind: str, text: str) -> None:
        if self._angle is not None and not self._after:
            self._take_inside_angle(kind, text)
        elif kind == "separator":
            self.finish()
        elif kind == "special":
            self._take_special(text)
        elif kind == "space":
            if self._phrase:
                self._phrase.append((kind, " "))
        elif self._after:
            self._bad = True  # words after the address: which one is meant?
        else:
            self._phrase.append((kind, text))

    def _take_special(self, text: str) -> None:
        if text == "<" and self._angle is None:
            self._angle = []
        elif text == ":" and self._angle is None:
            bad = self._bad
            self._begin()  # what stood there was the name of a group
            self._bad = bad
        else:
            self._bad = True

    def _take_inside_angle(self, kind: str, text: str) -> None:
        assert self._angle is not None
        if kind == "special" and text == ">":
            self._after = True
        elif kind == "special" and text == "<":
            self._bad = True
        elif kind != "space":
            self._angle.append(text.strip() if kind == "separator" else text)

    def finish(self) -> None:
        """End of an entry."""
        self._entries += 1
        phrase, angle, is_open = self._phrase, self._angle, self._angle is not None and not self._after
        bad = self._bad or is_open
        self._begin()
        if bad or (angle is None and not phrase):
            return
        if angle is not None:
            self._found += _accepted("".join(angle), _phrase_text(phrase))
            return
        while phrase and phrase[-1][0] == "space":
            phrase.pop()
        if all(kind != "space" for kind, _ in phrase):  # "foo bar@x" is not one address
            self._found += _accepted("".join(text for _, text in phrase), "")


def _phrase_text(phrase: list[tuple[str, str]]) -> str:
    return _decoded_name(
        "".join(_QUOTED_PAIR.sub(r"\1", text[1:-1]) if kind == "quoted" else text for kind, text in phrase)
    )


# --- writing

_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*")


def print_mailbox(mailbox: Mailbox, *, utf8: bool = False) -> str:
    """A mailbox for a header field: ASCII only, on one line, the name quoted or encoded where it needs to be.

    A local part outside ASCII cannot stand there; the address is then named in an empty group (RFC 6857 §3.1.1).

    Args:
        utf8: The field may hold UTF-8 (RFC 6532): such an address is written as it is.
    """
    name = one_line(mailbox.name)
    if not name.isascii() or "=?" in name:
        shown = encode_words(name)
    else:
        shown = name if not name or _PLAIN_PHRASE.fullmatch(name) else _quote(name)
    path = print_path(mailbox)
    if not path.isascii():
        if not utf8:
            return f"{encode_words(f'{name} {path}'.strip())}:;"
        shown = _quote(name) if name else ""
    return f"{shown} <{path}>" if shown else path
