"""Signed marks: delivery and ticket tokens in addresses, the loop trail, our own Message-IDs, probes.

All are HMAC-SHA-256 cut to 80 bits (RULES 3.1); the newest key signs, every kept key verifies. Tokens in addresses are
lower-case base32 without padding, because some MTAs fold the case of local parts; the others are hexadecimal.
"""

import base64
import hmac
from collections.abc import Sequence

from supportrelay.core.ports import SigningKey
from supportrelay.core.value import value_class

__all__ = [
    "Trail",
    "delivery_token",
    "marker_code",
    "new_message_id",
    "read_delivery_token",
    "read_message_id",
    "read_probe",
    "read_ticket_token",
    "read_trail",
    "sign_probe",
    "ticket_token",
    "trail",
]

_MAC_OCTETS = 10
_MAC_CHARACTERS = 20
_NUMBER_OCTETS = 5
_DAY_OCTETS = 2
_VALID_DAYS = 14


def _mac(key: SigningKey, purpose: bytes, said: bytes) -> bytes:
    return hmac.digest(key.secret, purpose + b"\0" + said, "sha256")[:_MAC_OCTETS]


def _is_signed(keys: Sequence[SigningKey], purpose: bytes, said: str, mac: str) -> bool:
    """Whether any of our keys wrote this MAC (lower-case hexadecimal)."""
    told, written = said.encode("utf-8", "replace"), mac.encode("utf-8", "replace")
    return any(hmac.compare_digest(_mac(key, purpose, told).hex().encode(), written) for key in keys)


# Two digits for each ten bits: `base64.b32encode` is written in Python and takes twice as long.
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)


def _spell(octets: bytes) -> str:
    """Base32 (RFC 4648 §6) in lower case without padding."""
    bits = 8 * len(octets)
    whole = bits + -bits % 10
    number = int.from_bytes(octets, "big") << (whole - bits)
    pairs = [_PAIRS[(number >> shift) & 1023] for shift in range(whole - 10, -1, -10)]
    return "".join(pairs)[: -(-bits // 5)]


def _unspell(text: str) -> bytes:
    """Octets of a token, b"" when it is none; a token has one spelling, the last bits count too."""
    try:
        octets = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:
        return b""
    return octets if _spell(octets) == text.lower() else b""


def _signed_number(key: SigningKey, purpose: bytes, number: int, day: int) -> str:
    said = number.to_bytes(_NUMBER_OCTETS, "big") + day.to_bytes(_DAY_OCTETS, "big")
    return _spell(said + _mac(key, purpose, said))


def _read_number(keys: Sequence[SigningKey], purpose: bytes, token: str) -> tuple[int, int] | None:
    octets = _unspell(token)
    if len(octets) != _NUMBER_OCTETS + _DAY_OCTETS + _MAC_OCTETS:
        return None
    said, mac = octets[:-_MAC_OCTETS], octets[-_MAC_OCTETS:]
    if not any(hmac.compare_digest(_mac(key, purpose, said), mac) for key in keys):
        return None
    return int.from_bytes(said[:_NUMBER_OCTETS], "big"), int.from_bytes(said[_NUMBER_OCTETS:], "big")


def delivery_token(key: SigningKey, delivery_id: int, day: int) -> str:
    """Token of a delivery's reverse-path: 28 characters. ``day`` counts days since 1970-01-01."""
    return _signed_number(key, b"delivery", delivery_id, day)


def read_delivery_token(keys: Sequence[SigningKey], token: str, today: int) -> int | None:
    """The delivery a token names, None when the MAC is wrong or it is older than 14 days."""
    found = _read_number(keys, b"delivery", token)
    if found is None or today - found[1] > _VALID_DAYS:
        return None
    return found[0]


def ticket_token(key: SigningKey, ticket_id: int) -> str:
    """Token of a plus-address that leads to a ticket; does not expire (the ticket's own rules do)."""
    return _signed_number(key, b"ticket", ticket_id, 0)


def read_ticket_token(keys: Sequence[SigningKey], token: str) -> int | None:
    """The ticket a token names, None when the MAC is wrong."""
    found = _read_number(keys, b"ticket", token)
    return found[0] if found else None


@value_class
class Trail:
    """What our loop mark says: which instance wrote which message's copy."""

    instance: str
    queue_id: str


def trail(key: SigningKey, instance: str, queue_id: str) -> str:
    """Value of ``X-Supportrelay-Trail``."""
    said = f"v1; inst={instance}; msg={queue_id}"
    return f"{said}; mac={_mac(key, b'trail', said.encode()).hex()}"


def read_trail(keys: Sequence[SigningKey], value: str) -> Trail | None:
    """The trail in a field's value; None for a foreign or forged one, which is never a reason to drop (RULES 2A.1)."""
    if not value:
        return None
    said, _, mac_text = value.strip().rpartition("; mac=")
    if not said or not _is_signed(keys, b"trail", said, mac_text.strip()):
        return None
    parts = dict(part.strip().partition("=")[::2] for part in said.split(";")[1:])
    return Trail(parts.get("inst", ""), parts.get("msg", ""))


def new_message_id(key: SigningKey, seed: str, domain: str) -> str:
    """A Message-ID that only we can make: ``<seed.mac@domain>``; ``seed`` is a dot-free word."""
    return f"<{seed}.{_mac(key, b'message-id', seed.encode()).hex()}@{domain}>"


def read_message_id(keys: Sequence[SigningKey], message_id: str) -> str | None:
    """The seed of a Message-ID that we made, None for anybody else's."""
    local = message_id.strip("<> ").rpartition("@")[0]
    seed, _, mac_text = local.rpartition(".")
    if not seed or len(mac_text) != _MAC_CHARACTERS:
        return None
    if not _is_signed(keys, b"message-id", seed, mac_text):
        return None
    return seed


def marker_code(key: SigningKey, ticket_id: int, queue_id: str) -> str:
    """Short check code of a banner's marker line: 6 characters."""
    return _mac(key, b"marker", f"{ticket_id}:{queue_id}".encode()).hex()[:6]


def sign_probe(key: SigningKey, reader: str, day: int) -> str:
    """Value of ``X-Supportrelay-Probe``: who alone gets the probe's copy."""
    said = f"{day}; {reader}"
    return f"{said}; {_mac(key, b'probe', said.encode()).hex()}"


def read_probe(keys: Sequence[SigningKey], value: str, today: int) -> str | None:
    """The reader of a probe that we signed today or yesterday, None otherwise."""
    said, _, mac_text = value.strip().rpartition("; ")
    if not said or not _is_signed(keys, b"probe", said, mac_text):
        return None
    day, _, reader = said.partition("; ")
    return reader if day.isdigit() and today - int(day) in {0, 1} else None
