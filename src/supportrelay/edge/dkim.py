"""DKIM keys on disk, and the sealer that signs with them (`cryptography`; docs/decisions/dkim-signing.md)."""

import base64
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from supportrelay.core.dkim_signature import SealKey, signature_fields, still_holds
from supportrelay.core.errors import InputError
from supportrelay.core.headers import HeaderBlock, fields_named, raw_value, split_headers
from supportrelay.core.mailbox import parse_mailboxes

__all__ = ["KINDS", "DkimSealer", "key_kind", "make_key_file", "public_record", "read_key", "seal_key", "txt_strings"]

KINDS = ("rsa-2048", "ed25519")
_LEAST_BITS = 1024  # RFC 8301 §3.2: must; 2048 should
_STRING = 255  # octets of one character-string (RFC 1035 §3.3)

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class DkimSealer:
    """Signs what we send in the name of domains whose keys we hold."""

    def __init__(self, keys: Sequence[SealKey]) -> None:
        self._keys: dict[str, tuple[SealKey, ...]] = {}
        for key in sorted(keys, key=lambda one: one.algorithm, reverse=True):  # rsa on top: some readers know no other
            self._keys[key.domain] = (*self._keys.get(key.domain, ()), key)

    def seal(self, octets: bytes, at: datetime) -> bytes:
        """Return the signatures to put in front of a message: of the domain in its From, b"" when it is not ours.

        A message with two From fields, or two mailboxes in one, has no single author and is not signed (C38).

        Args:
            octets: With CRLF line ends.
            at: When it was accepted, so that a second attempt sends the same octets.
        """
        header = split_headers(octets)
        keys = self._keys.get(_domain_of(octets, header), ())
        return signature_fields(octets, header, [key for key in keys if not still_holds(octets, header, key)], at)


def _domain_of(octets: bytes, header: HeaderBlock) -> str:
    """The domain of the only author; "" when there is not exactly one."""
    found = fields_named(octets, header, frozenset({"from"}))
    authors = parse_mailboxes(raw_value(found[0])) if len(found) == 1 else ()
    return authors[0].domain if len(authors) == 1 else ""


# --- keys


def read_key(pem: bytes) -> PrivateKey:
    """The private key in a PEM text (PKCS#8 or PKCS#1, no password).

    Raises:
        InputError: It is no such key, of another kind, or RSA of under 1024 bits.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("no private key in PEM without password") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise InputError("DKIM knows RSA and Ed25519 keys only (RFC 8463)")
    if isinstance(key, RSAPrivateKey) and key.key_size < _LEAST_BITS:
        raise InputError(f"RSA of {key.key_size} bits; nobody believes fewer than {_LEAST_BITS} (RFC 8301)")
    return key


def key_kind(key: PrivateKey) -> str:
    """``rsa-2048`` or ``ed25519``."""
    return f"rsa-{key.key_size}" if isinstance(key, RSAPrivateKey) else "ed25519"


def public_record(key: PrivateKey) -> str:
    """The text of the TXT record at ``SELECTOR._domainkey.DOMAIN`` (RFC 6376 §3.6.1, RFC 8463 §4)."""
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(octets).decode('ascii')}"
    octets = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(octets).decode('ascii')}"


def txt_strings(record: str) -> list[str]:
    """The record in strings of at most 255 octets, as a zone file takes them; readers join them without a space."""
    return [record[at : at + _STRING] for at in range(0, len(record), _STRING)]


def make_key_file(kind: str, file: Path) -> PrivateKey:
    """Make a key and write it to a new file that only its owner may read.

    Raises:
        InputError: The file exists; a key that is in use must not be lost.
        OSError: It cannot be written.
    """
    key = generate_private_key(65537, 2048) if kind == "rsa-2048" else Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{file} exists; a key is never written over") from None
    with os.fdopen(descriptor, "wb") as writer:
        writer.write(pem)
        writer.flush()
        os.fsync(writer.fileno())
    return key


def seal_key(domain: str, selector: str, key: PrivateKey) -> SealKey:
    """The key as the sealer uses it."""
    if isinstance(key, RSAPrivateKey):
        return _rsa(domain, selector, key)
    return _ed25519(domain, selector, key)


def _rsa(domain: str, selector: str, key: RSAPrivateKey) -> SealKey:
    public, padding, sha256 = key.public_key(), PKCS1v15(), hashes.SHA256()

    def verify(octets: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, octets, padding, sha256)
        except InvalidSignature:
            return False
        return True

    return SealKey(domain, selector, "rsa-sha256", lambda octets: key.sign(octets, padding, sha256), verify)


def _ed25519(domain: str, selector: str, key: Ed25519PrivateKey) -> SealKey:
    """RFC 8463 §3: the hash is signed, not the octets."""
    public = key.public_key()

    def hashed(octets: bytes) -> bytes:
        digest = hashes.Hash(hashes.SHA256())
        digest.update(octets)
        return digest.finalize()

    def verify(octets: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, hashed(octets))
        except InvalidSignature:
            return False
        return True

    return SealKey(domain, selector, "ed25519-sha256", lambda octets: key.sign(hashed(octets)), verify)
