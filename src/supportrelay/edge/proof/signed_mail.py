"""A signed mail as dkimpy sees it: the header fields that we read ourselves, and a body that is hashed piece by piece.

What dkimpy (1.1.8) leaves to its caller is decided here: a signature that does not cover From, one with ``l=`` that
leaves text unsigned, rsa-sha1, RSA keys that are too short or absurdly long, and the difference between a key that
nobody published and a DNS that did not answer (RELIABILITY C52, C59). Its patterns take quadratic time and more on long
runs of spaces, so a signature with such a run, or of more than 8 KiB, is not shown to it. RSA is computed by
``cryptography``, which takes half of what dkimpy's own numbers take.
"""

import logging
import re
from collections import Counter
from functools import lru_cache
from typing import Any

import dkim  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from dkim.canonicalization import (  # type: ignore[import-untyped]
    CanonicalizationPolicy,
    InvalidCanonicalizationPolicyError,
    Relaxed,
)

from supportrelay.core.dkim_body import body_hash
from supportrelay.core.headers import split_headers

__all__ = ["QUIET", "Key", "NotVerifiedError", "SignedMail", "is_domain", "tags_of", "verify_part"]

_ALGORITHMS = {b"rsa-sha256": b"rsa", b"ed25519-sha256": b"ed25519"}  # rsa-sha1 proves nothing any more (RFC 8301)
_LEAST_RSA_BITS = 1024
_MOST_RSA_BITS = 8192
_MOST_EXPONENT_BITS = 32
_LONGEST_KEY_RECORD = 2048
_LONGEST_SIGNATURE = 8 * 1024
_MOST_SIGNED_NAMES = 150
_MOST_FIELDS = 1000
# What a mail has once (RFC 5322 §3.6). Signatures hold from the bottom up, so one more on top of a signed mail would be
# believed: somebody else's Subject, To or Cc over a colleague's signature (RFC 6376 §8.15).
_SINGLE = frozenset(
    b"to cc subject date message-id reply-to in-reply-to references content-type content-transfer-encoding".split()
)
_LONG_SPACE = re.compile(rb"\s{25}")
_BARE = re.compile(rb"\r?\n")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")

QUIET = logging.Logger("dkim", logging.CRITICAL + 1)  # noqa: LOG001  outside the tree, so that nobody listens
"""For dkimpy, which would write strangers' words into the log; what came of a signature is told by its result."""

Key = bytes | str | None
"""A key record; a text says why the DNS gave no answer; None: asked, and there is none."""

_Field = tuple[bytes, bytes]


class NotVerifiedError(Exception):
    """A signature that does not count.

    Args:
        result: A word of RFC 8601 §2.7.1: ``fail``, ``policy``, ``permerror`` or ``temperror``.
    """

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result = result


class SignedMail:
    """The octets of a mail, its fields as ``[name, value]``, and the hashes of its body, made once each."""

    def __init__(self, octets: bytes) -> None:
        header = split_headers(octets)
        self._octets = octets
        self._end = header.end
        self._hashes: dict[bool, tuple[bytes, int]] = {}
        has_all = bool(header.fields) and len(header.fields) <= _MOST_FIELDS
        # Of a header that is too long to be read whole nothing is proven.
        last = header.fields[-1] if has_all else None
        self.is_readable = last is not None and header.end - (last.start + len(last.raw)) <= len(b"\r\n")
        self.fields: list[_Field] = [_as_pair(one.raw) for one in header.fields if one.name] if self.is_readable else []
        self.counts = Counter(one.name.encode("ascii") for one in header.fields)

    def body(self, *, is_relaxed: bool) -> tuple[bytes, int]:
        """``(SHA-256, length)`` of the canonical body."""
        if is_relaxed not in self._hashes:
            self._hashes[is_relaxed] = body_hash(self._octets, self._end, is_relaxed=is_relaxed)
        return self._hashes[is_relaxed]

    def named(self, name: bytes) -> list[_Field]:
        """Fields of a lower-case name, topmost first."""
        return [one for one in self.fields if one[0].lower() == name]


def _as_pair(raw: bytes) -> _Field:
    name, _, value = raw.partition(b":")
    if not value.endswith(b"\n"):
        value += b"\r\n"
    if value.count(b"\n") != value.count(b"\r\n"):
        value = _BARE.sub(b"\r\n", value)
    return name.rstrip(b" \t"), value


def tags_of(value: bytes) -> dict[bytes, bytes]:
    """The tags of a signature or seal.

    Raises:
        NotVerifiedError: It cannot be read, or is of a kind that nobody writes.
    """
    if len(value) > _LONGEST_SIGNATURE or _LONG_SPACE.search(value):
        raise NotVerifiedError("permerror", "signature too long")
    try:
        tags: dict[bytes, bytes] = dkim.util.parse_tag_value(value)
    except dkim.util.InvalidTagValueList as exc:
        raise NotVerifiedError("permerror", "signature cannot be read") from exc
    for name in (b"d", b"s"):
        if not is_domain(tags.get(name, b"").decode("ascii", "replace").lower()):
            raise NotVerifiedError("permerror", f"no usable {name.decode()}=")
    return tags


def is_domain(name: str) -> bool:
    """A domain name in A-label form that may be asked for and printed."""
    return _DOMAIN.fullmatch(name) is not None


def verify_part(
    signer: Any, mail: SignedMail, tags: dict[bytes, bytes], names: list[bytes], field: _Field, key: Key
) -> None:
    """Verify one signature or seal with dkimpy's own code, the body aside.

    Args:
        signer: A ``dkim.DKIM`` or ``dkim.ARC`` that has the mail's fields.
        names: Names of the signed fields, lower case, as ``h=`` has them.
        field: The signature's own.

    Raises:
        NotVerifiedError: It does not count.
    """
    if len(names) > _MOST_SIGNED_NAMES:
        raise NotVerifiedError("permerror", "signs too many fields")
    signer.pk, signer.keysize, signer.ktag, signer.seqtlsrpt = _public_key(tags, key)
    if b"bh" in tags:
        if b"from" not in names:
            raise NotVerifiedError("permerror", "does not sign From")
        if any(mail.counts[name] > names.count(name) for name in _SINGLE.intersection(names)):
            raise NotVerifiedError("policy", "a signed field stands there once more")
        _check_body(mail, tags)
    without_body = {name: value for name, value in tags.items() if name not in {b"bh", b"l"}}
    try:
        if not signer.verify_sig_process(without_body, names, field, None):
            raise NotVerifiedError("fail", "signature does not fit")
    except dkim.DKIMException as exc:
        raise NotVerifiedError("permerror", type(exc).__name__) from exc


def _public_key(tags: dict[bytes, bytes], key: Key) -> tuple[Any, int, bytes, bool]:
    kind = _ALGORITHMS.get(tags.get(b"a", b"").lower())
    if kind is None:
        raise NotVerifiedError("policy", "algorithm not accepted")
    if isinstance(key, str):
        raise NotVerifiedError("temperror", key)
    if key is None:
        raise NotVerifiedError("permerror", "no key")
    if len(key) > _LONGEST_KEY_RECORD:
        raise NotVerifiedError("permerror", "key too long")
    try:
        public, bits, found_kind, is_for_reports = _read_key(key)
    except Exception as exc:
        raise NotVerifiedError("permerror", "key cannot be read") from exc
    if found_kind != kind or public is None:
        raise NotVerifiedError("permerror", "key of another kind")
    if kind == b"rsa":
        if bits < _LEAST_RSA_BITS:
            raise NotVerifiedError("policy", "key too short")
        if bits > _MOST_RSA_BITS or public["publicExponent"].bit_length() > _MOST_EXPONENT_BITS:
            raise NotVerifiedError("policy", "key too long")
    return public, bits, found_kind, is_for_reports


@lru_cache(maxsize=256)
def _read_key(key: bytes) -> tuple[Any, int, bytes, bool]:
    public, bits, kind, is_for_reports = dkim.evaluate_pk("key", key)
    return public, bits, kind, is_for_reports


def _verify_rsa(digest: Any, signature: bytes, public: dict[str, int]) -> bool:
    """In place of dkimpy's own, with which it computes on numbers of Python's."""
    try:
        key = _rsa_key(public["modulus"], public["publicExponent"])
        key.verify(signature, digest.digest(), PKCS1v15(), Prehashed(SHA256()))
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=256)
def _rsa_key(modulus: int, exponent: int) -> RSAPublicKey:
    return RSAPublicNumbers(exponent, modulus).public_key()


dkim.RSASSA_PKCS1_v1_5_verify = _verify_rsa


def _check_body(mail: SignedMail, tags: dict[bytes, bytes]) -> None:
    try:
        policy = CanonicalizationPolicy.from_c_value(tags.get(b"c", b"simple/simple"))
    except InvalidCanonicalizationPolicyError as exc:
        raise NotVerifiedError("permerror", "unknown canonicalisation") from exc
    digest, length = mail.body(is_relaxed=policy.body_algorithm is Relaxed)
    if b"l" in tags and int(tags[b"l"] or b"-1") != length:
        raise NotVerifiedError("policy", "text behind l= is not signed")
    if dkim.base64.b64decode(b"".join(tags[b"bh"].split())) != digest:
        raise NotVerifiedError("fail", "body was changed")
