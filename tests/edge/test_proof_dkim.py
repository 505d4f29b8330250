"""Signatures of real keys, and what must not count as one (C52): dkimpy alone would let several of these pass."""

import base64
import hashlib
import random
import re
from typing import Any

import pytest
from dkim.canonicalization import Relaxed, Simple  # type: ignore[import-untyped]

from signed import ED25519, RSA, SHORT, letter, signed
from supportrelay.core import dkim_body
from supportrelay.core.dkim_body import body_hash
from supportrelay.edge.proof.dkim import Signature, check_signatures
from zone import SILENT, Zone

KEY = "s1._domainkey.a.example"
ZONE: dict[str, Any] = {KEY: RSA.record.decode(), "ed._domainkey.a.example": ED25519.record.decode()}
MAIL = letter("Ann <ann@a.example>", subject="Hello  there", body="Some words \t of it.\r\n\r\nMore.\r\n\r\n")


async def results(octets: bytes, zone: dict[str, Any] | None = None) -> list[str]:
    """Result and why not, of each signature."""
    found = await check_signatures(octets, Zone(ZONE if zone is None else zone), lambda _: 30.0)
    return [f"{one.result} {one.why}".strip() for one in found]


@pytest.mark.parametrize("body", [b"relaxed", b"simple"])
@pytest.mark.parametrize("header", [b"relaxed", b"simple"])
async def test_a_signature_passes_and_a_change_breaks_it(header: bytes, body: bytes) -> None:
    octets = signed(MAIL, "a.example", canonicalize=(header, body))

    assert await results(octets) == ["pass"]
    assert await results(octets.replace(b"Some words", b"Other words")) == ["fail body was changed"]
    assert await results(octets.replace(b"Hello", b"Hullo")) == ["fail signature does not fit"]


async def test_relaxed_forgives_spaces_and_line_ends_and_simple_does_not() -> None:
    spaced = (b"words \t of", b"words of")

    assert await results(signed(MAIL, "a.example", canonicalize=(b"relaxed", b"relaxed")).replace(*spaced)) == ["pass"]
    assert await results(signed(MAIL, "a.example", canonicalize=(b"relaxed", b"simple")).replace(*spaced)) == [
        "fail body was changed"
    ]
    assert await results(signed(MAIL, "a.example").replace(b"\r\n", b"\n")) == ["pass"]


async def test_ed25519_passes() -> None:
    octets = signed(MAIL, "a.example", selector="ed", key=ED25519)

    assert await results(octets) == ["pass"]
    assert await results(octets.replace(b"More", b"Less")) == ["fail body was changed"]


async def test_c52_text_behind_l_is_not_signed() -> None:
    """dkimpy alone passes what was appended."""
    octets = signed(MAIL, "a.example", length=True)

    assert await results(octets) == ["pass"]
    assert await results(octets + b"Pay to this account instead.\r\n") == ["policy text behind l= is not signed"]


async def test_c52_every_signature_is_looked_at() -> None:
    """dkimpy alone looks at the topmost."""
    octets = signed(signed(MAIL, "a.example"), "list.example", selector="nokey")

    assert await results(octets) == ["permerror no key", "pass"]


async def test_c52_ten_signatures_are_enough() -> None:
    octets = MAIL
    for number in range(12):
        octets = signed(octets, "a.example", selector=f"no{number}")

    assert await results(octets) == ["permerror no key"] * 10


async def test_c52_a_second_from_breaks_the_signature() -> None:
    octets = signed(MAIL, "a.example", include_headers=["from", "subject"])

    assert await results(octets) == ["pass"]
    assert await results(b"From: boss@a.example\r\n" + octets) == ["fail signature does not fit"]


@pytest.mark.parametrize("field", ["Subject: Close it", "To: victim@b.example", "Message-ID: <other@a.example>"])
async def test_c52_a_signed_field_that_stands_there_once_more_breaks_the_signature(field: str) -> None:
    """RFC 6376 §8.15; dkimpy alone takes the lowest one for the signed, and readers the highest."""
    octets = signed(MAIL, "a.example", include_headers=["from", "to", "subject", "message-id"])

    assert await results(octets) == ["pass"]
    assert await results(field.encode() + b"\r\n" + octets) == ["policy a signed field stands there once more"]
    assert await results(b"Comments: x\r\nComments: y\r\n" + octets) == ["pass"]


async def test_c52_a_signature_that_does_not_cover_from_proves_nothing() -> None:
    """RFC 6376 §5.4; dkimpy alone does not look."""
    octets = signed(MAIL, "a.example", include_headers=["from", "subject"])
    without = re.sub(rb"h=from : subject", b"h=subject", octets, count=1)

    assert without != octets
    assert await results(without) == ["permerror does not sign From"]


async def test_keys_that_are_too_short_are_refused() -> None:
    """RFC 8301: 1024 bits at least."""
    octets = signed(MAIL, "a.example", key=SHORT)
    shorter = "p=" + base64.b64encode(_of_512_bits()).decode()

    assert await results(octets, {KEY: SHORT.record.decode()}) == ["pass"]
    assert await results(octets, {KEY: shorter}) == ["policy key too short"]


def _of_512_bits() -> bytes:
    """A public key of 512 bits, written by hand: today's libraries make none."""
    modulus = (1 << 511 | 12345678901234567891).to_bytes(65, "big")
    inner = b"\x30" + bytes([len(modulus) + 7]) + b"\x02" + bytes([len(modulus)]) + modulus + b"\x02\x03\x01\x00\x01"
    bits = b"\x03" + bytes([len(inner) + 1]) + b"\x00" + inner
    return b"\x30" + bytes([len(bits) + 15]) + bytes.fromhex("300d06092a864886f70d0101010500") + bits


async def test_rsa_sha1_proves_nothing_any_more() -> None:
    """RFC 8301."""
    octets = signed(MAIL, "a.example").replace(b"a=rsa-sha256", b"a=rsa-sha1", 1)

    assert await results(octets) == ["policy algorithm not accepted"]


@pytest.mark.parametrize(
    ("record", "result"),
    [
        pytest.param([], "permerror no key", id="none"),
        pytest.param(SILENT, "temperror DNS did not answer", id="no answer"),
        pytest.param("v=DKIM1; k=rsa; p=", "permerror key cannot be read", id="revoked"),
        pytest.param("v=DKIM1; k=rsa; p=AAAA", "permerror key cannot be read", id="no key"),
        pytest.param("v=DKIM2; p=AAAA", "permerror key cannot be read", id="another version"),
        pytest.param(ED25519.record.decode(), "permerror key of another kind", id="of another kind"),
        pytest.param("p=" + "A" * 5000, "permerror key too long", id="endless"),
        pytest.param(["some text", RSA.record.decode()], "pass", id="among other texts"),
    ],
)
async def test_c59_no_key_is_told_from_no_answer(record: Any, result: str) -> None:
    """dkimpy alone says False for all of these."""
    assert await results(signed(MAIL, "a.example"), {KEY: record}) == [result]


@pytest.mark.parametrize(
    "field",
    [
        pytest.param("v=1", id="nothing in it"),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; h=from; bh=!!; b=!!", id="no base64"),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; h=from; bh=AAAA; b=AAAA; b=AAAA", id="a tag twice"),
        pytest.param("v=1; a=rsa-sha256; d=; s=s1; h=from; bh=AAAA; b=AAAA", id="no domain"),
        pytest.param("v=1; a=rsa-sha256; d=a.example@evil; s=s1; h=from; bh=AAAA; b=AAAA", id="no domain name"),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=../x; h=from; bh=AAAA; b=AAAA", id="no selector"),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; i=@b.example; h=from; bh=AAAA; b=AAAA", id="another's i="),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; c=x/y; h=from; bh=AAAA; b=AAAA", id="c="),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; l=x; h=from; bh=AAAA; b=AAAA", id="l="),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; x=1; h=from; bh=AAAA; b=AAAA", id="expired"),
        pytest.param(
            "v=1; a=rsa-sha256; d=a.example; s=s1; h=" + "x:" * 200 + "from; bh=AAAA; b=AAAA", id="many names"
        ),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; h=from;" + " " * 5000 + "; bh=AAAA; b=AAAA", id="spaces"),
        pytest.param("v=1; a=rsa-sha256; d=a.example; s=s1; h=from; bh=AAAA; b=" + "A" * 100_000, id="endless"),
        pytest.param("\xff\xfe=;;;==", id="garbage"),
    ],
)
async def test_what_is_no_signature_breaks_nothing(field: str) -> None:
    octets = b"DKIM-Signature: " + field.encode("latin-1") + b"\r\n" + MAIL
    (result,) = await results(octets)

    assert result.split()[0] in {"permerror", "fail", "policy"}
    assert await results(signed(octets, "a.example")) == ["pass", result]


async def test_a_header_too_long_to_be_read_whole_proves_nothing() -> None:
    octets = signed(MAIL, "a.example")

    assert await results(b"X-Long: x\r\n" * 2000 + octets) == []


async def test_key_names_are_asked_once_and_together() -> None:
    zone = Zone(ZONE)
    octets = signed(signed(MAIL, "a.example"), "a.example")

    found = await check_signatures(octets, zone, lambda _: 30.0)

    assert (found, zone.asked) == ((Signature("a.example", "pass"),) * 2, [KEY])


def test_the_body_hash_is_dkimpys_whatever_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6376 §3.4.3 and §3.4.4; random bodies of what matters, cut at every possible place."""
    chance = random.Random(7)
    words = [b"a", b" ", b"\t", b"\r\n", b"\n", b"\r", b"bc", b"\r\n\r\n"]
    for piece in (64 * 1024, 5, 2):
        monkeypatch.setattr(dkim_body, "_PIECE", piece)
        for _ in range(1500):
            body = b"".join(chance.choice(words) for _ in range(chance.randrange(30))) + b"\r\n"
            for is_relaxed, by in ((True, Relaxed), (False, Simple)):
                canonical = by.canonicalize_body(b"\r\n".join(re.split(b"\r?\n", body)))
                assert body_hash(b"x\r\n" + body, 3, is_relaxed=is_relaxed) == (
                    hashlib.sha256(canonical).digest(),
                    len(canonical),
                )


async def test_strangers_words_do_not_get_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """dkimpy writes what it could not verify."""
    with caplog.at_level(0):
        await results(signed(MAIL, "a.example").replace(b"Hello", b"Hullo"))
        await results(b"DKIM-Signature: v=1; forged\r\n" + MAIL)

    assert [record.name for record in caplog.records if record.name != "asyncio"] == []
