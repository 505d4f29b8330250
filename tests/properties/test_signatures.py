"""Whatever the mail: its copy is signed, and dkimpy's verifier agrees."""

import re
from datetime import UTC, datetime

import dkim  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from properties.mails import ANY_MAIL
from properties.profile import SOME
from properties.samples import ADDRESS, BANNER, copy_of
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.next_hop import NextHop
from supportrelay.core.rewrite import fit_copy
from supportrelay.edge.dkim import DkimSealer, public_record, seal_key

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_DOMAIN = ADDRESS.sender_address.rpartition("@")[2]
_SEALER = DkimSealer([seal_key(_DOMAIN, "s1", _KEY)])
_RECORD = public_record(_KEY).encode()
_AT = datetime(2026, 3, 9, 7, 5, 1, tzinfo=UTC)


def _as_dkimpy_reads(octets: bytes) -> bytes:
    """``To : x`` is a field that dkimpy does not take; in the relaxed form it is ``to:x`` as well (RFC 6376 §3.4.2)."""
    header, blank, body = octets.partition(b"\r\n\r\n")
    return re.sub(rb"(?m)^([!-9;-~]+)[ \t]+:", rb"\1:", header) + blank + body


@SOME
@given(ANY_MAIL, st.sampled_from([DeliveryKind.OWNER, DeliveryKind.LIST]), st.booleans())
def test_every_copy_carries_a_signature_that_holds(octets: bytes, kind: DeliveryKind, is_narrow: bool) -> None:
    copy = copy_of(octets, BANNER, kind)
    if is_narrow:
        copy = fit_copy(copy, NextHop(eight_bit=False, utf8=False), lambda: copy)
    signature = _SEALER.seal(copy.octets, _AT)

    assert signature
    assert dkim.DKIM(_as_dkimpy_reads(signature + copy.octets)).verify(dnsfunc=lambda _name, **_: _RECORD)
    assert _SEALER.seal(signature + copy.octets, _AT) == b""
