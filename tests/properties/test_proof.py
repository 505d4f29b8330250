"""Whatever a stranger writes or publishes: the proof is an answer, and what we sign ourselves holds."""

import asyncio
import re
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.mails import ANY_MAIL, OCTETS
from properties.profile import SOME
from properties.samples import ADDRESS, BANNER, copy_of
from supportrelay.core.decision import Verdict
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.ports import ProofAsked
from supportrelay.core.reading import read_facts
from supportrelay.edge.dkim import DkimSealer, public_record, seal_key
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.proof import Prover
from supportrelay.edge.proof.dkim import check_signatures
from zone import Zone

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_DOMAIN = ADDRESS.sender_address.rpartition("@")[2]
_SEALER = DkimSealer([seal_key(_DOMAIN, "s1", _KEY)])
_ZONE = {f"s1._domainkey.{_DOMAIN}": public_record(_KEY)}
_AT = datetime(2026, 3, 9, 7, 5, 1, tzinfo=UTC)
_WORDS = """
v=1 a=ed25519-sha256 a=rsa-sha256 c=relaxed/relaxed d=a.example s=s1 h=from h=to:from b=AAAA b= l=0 l=-1 l=99999999999
bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= i=1 i=@a.example t=1 x=0 q=dns/txt cv=none cv=pass d=\u3042.example s= =
"""
_TAGS = st.lists(st.sampled_from(_WORDS.split()), max_size=12).map("; ".join)


def _prove(octets: bytes, zone: dict[str, object], sender: str) -> Verdict:
    prover = Prover(PublicDomains(), Zone(zone), sealers=frozenset({"a.example"}))
    envelope = Envelope(sender, ("support@desk.test",), Peer("192.0.2.7", "h.a.example"))
    asked = ProofAsked(read_facts(octets), envelope, octets, is_needed=False)
    try:
        proof = asyncio.run(prover.prove(asked))
    finally:
        prover.close()
    assert proof.by != "the check broke"
    return proof.verdict


@settings(SOME, max_examples=50)
@given(ANY_MAIL, st.lists(st.tuples(st.sampled_from(["DKIM-Signature", "ARC-Seal", "ARC-Message-Signature"]), _TAGS)))
def test_no_mail_is_proven_by_what_nobody_signed(octets: bytes, marks: list[tuple[str, str]]) -> None:
    top = "".join(f"{name}: {value}\r\n" for name, value in marks) + "From: ann@a.example\r\n"
    zone: dict[str, object] = {"s1._domainkey.a.example": public_record(_KEY), "_dmarc.a.example": "v=DMARC1; p=none"}

    assert _prove(top.encode() + octets, zone, "ann@a.example") in {Verdict.UNPROVEN, Verdict.UNKNOWN}


@settings(SOME, max_examples=50)
@given(OCTETS, OCTETS, st.sampled_from(["v=spf1 ", "v=spf1 include:", "v=spf1 exists:%{", "v=spf1 redirect=", ""]))
def test_no_record_breaks_the_check(first: bytes, second: bytes, start: str) -> None:
    zone: dict[str, object] = {
        "a.example": {"TXT": [start.encode() + first]},
        "_dmarc.a.example": {"TXT": [b"v=DMARC1; " + second]},
        "s1._domainkey.a.example": {"TXT": [b"p=" + second]},
    }
    signature = b"DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s1; h=from; bh=AAAA; b=AAAA\r\n"

    assert _prove(signature + b"From: ann@a.example\r\n\r\nx\r\n", zone, "ann@a.example") in set(Verdict)


@SOME
@given(ANY_MAIL, st.sampled_from([DeliveryKind.OWNER, DeliveryKind.LIST]))
def test_what_we_sign_holds_when_we_check_it(octets: bytes, kind: DeliveryKind) -> None:
    copy = copy_of(octets, BANNER, kind).octets
    signed = _SEALER.seal(copy, _AT) + copy

    (found,) = asyncio.run(check_signatures(signed, Zone(_ZONE), lambda _: 30.0)) or (None,)

    header, _, body = signed.partition(b"\r\n\r\n")
    if found is None:  # a header that is too long to be read whole proves nothing
        assert len(header) > 200 * 1024 or len(re.findall(rb"\r\n(?![ \t])", header)) >= 1000
        return
    assert found.result == "pass", found
    broken = header + b"\r\n\r\n" + body + b"one more line\r\n"
    (after,) = asyncio.run(check_signatures(broken, Zone(_ZONE), lambda _: 30.0))
    assert after.result == "fail"
