"""Signed mail of our own making: keys, their records in the DNS, DKIM signatures and ARC seals."""

import base64
from functools import cache
from typing import Any

import dkim  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nacl.encoding import Base64Encoder
from nacl.signing import SigningKey

__all__ = ["ED25519", "RSA", "SHORT", "Key", "letter", "sealed", "signed"]


class Key:
    """A private key as dkimpy takes it, and its public record."""

    def __init__(self, private: bytes, record: bytes, algorithm: bytes) -> None:
        self.private = private
        self.record = record
        self.algorithm = algorithm


@cache
def _rsa(bits: int) -> Key:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(private, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public), b"rsa-sha256")


def _ed25519() -> Key:
    key = SigningKey.generate()
    public = key.verify_key.encode(Base64Encoder)
    return Key(key.encode(Base64Encoder), b"v=DKIM1; k=ed25519; p=" + public, b"ed25519-sha256")


RSA = _rsa(2048)
SHORT = _rsa(1024)
ED25519 = _ed25519()


def letter(
    sender: str, *, to: str = "support@desk.test", subject: str = "Hello", body: str = "A question.", extra: str = ""
) -> bytes:
    """A plain mail."""
    return (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{abs(hash((sender, subject, body)))}@mail.example>\r\n{extra}"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
    ).encode()


def signed(octets: bytes, domain: str, *, selector: str = "s1", key: Key = RSA, **how: Any) -> bytes:
    """The mail with one more signature on top."""
    field: bytes = dkim.sign(
        octets, selector.encode(), domain.encode(), key.private, signature_algorithm=key.algorithm, **how
    )
    return field + octets


def sealed(
    octets: bytes, domain: str, results: str, *, authserv_id: str, selector: str = "arc", key: Key = RSA
) -> bytes:
    """The mail with one more ARC set on top, which says what these Authentication-Results say."""
    found = f"Authentication-Results: {authserv_id}; {results}\r\n".encode()
    fields = dkim.arc_sign(
        found + octets, selector.encode(), domain.encode(), key.private, authserv_id.encode(), standardize=False
    )
    return b"".join(field if field.endswith(b"\r\n") else field + b"\r\n" for field in fields) + octets
