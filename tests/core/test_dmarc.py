"""DMARC records, the walk up the names, and who speaks for whom (RFC 9989)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.dmarc import (
    DmarcRecord,
    Policy,
    is_aligned,
    names_to_ask,
    organisation,
    parse_record,
    record_among,
    rule,
)

PLAIN = DmarcRecord()
REJECT = DmarcRecord(policy=Policy.REJECT, subdomain_policy=Policy.REJECT)


@pytest.mark.parametrize(
    ("text", "record"),
    [
        pytest.param("v=DMARC1; p=none", PLAIN, id="the least"),
        pytest.param("v=DMARC1;p=reject", REJECT, id="no spaces"),
        pytest.param(" v = DMARC1 ; p = Reject ;", REJECT, id="spaces, case"),
        pytest.param("v=DMARC1; p=reject; sp=none", DmarcRecord(policy=Policy.REJECT), id="subdomains"),
        pytest.param(
            "v=DMARC1; p=none; adkim=s; aspf=s",
            DmarcRecord(is_strict_dkim=True, is_strict_spf=True),
            id="strict",
        ),
        pytest.param("v=DMARC1; p=none; adkim=x; pct=50; ri=1; new=tag", PLAIN, id="what nobody knows"),
        pytest.param("v=DMARC1; p=none; psd=y", DmarcRecord(psd="y"), id="a public suffix"),
        pytest.param("v=DMARC1; p=none; psd=n; t=y", DmarcRecord(psd="n", is_test=True), id="an organisation, testing"),
        pytest.param("v=DMARC1; rua=mailto:a@a.example", PLAIN, id="only reports are wanted"),
        pytest.param("v=DMARC1; p=reject; sp=what; rua=mailto:a@a.example", PLAIN, id="half of it cannot be read"),
        pytest.param("v=DMARC1", None, id="nothing asked"),
        pytest.param("v=DMARC1; p=what", None, id="asks for what nobody knows"),
        pytest.param("v=DMARC2; p=none", None, id="another version"),
        pytest.param("v=dmarc1; p=none", None, id="the version has one spelling"),
        pytest.param("p=none; v=DMARC1", None, id="the version comes first"),
        pytest.param("v=spf1 -all", None, id="not DMARC"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_record_is_read(text: str, record: DmarcRecord | None) -> None:
    assert parse_record(text.encode()) == record


def test_two_records_are_none() -> None:
    """RFC 9989 §4.10; texts that are no DMARC records do not count."""
    assert record_among([b"v=spf1 -all", b"v=DMARC1; p=none", b""]) == PLAIN
    assert record_among([b"v=DMARC1; p=none", b"v=DMARC1; p=reject"]) is None


@given(st.binary(max_size=200))
def test_any_octets_are_read_without_an_exception(octets: bytes) -> None:
    parse_record(octets)
    parse_record(b"v=DMARC1;" + octets)


@pytest.mark.parametrize(
    ("domain", "registrable", "names"),
    [
        ("a.example", "a.example", ["a.example"]),
        ("x.y.a.example", "a.example", ["x.y.a.example", "y.a.example", "a.example"]),
        (
            "1.2.3.4.5.6.7.a.example",
            "a.example",
            [
                "1.2.3.4.5.6.7.a.example",
                "3.4.5.6.7.a.example",
                *(f"{rest}.a.example" for rest in ("4.5.6.7", "5.6.7", "6.7", "7")),
                "a.example",
            ],
        ),
        ("com", "com", ["com"]),
        ("[192.0.2.1]", "[192.0.2.1]", ["[192.0.2.1]"]),
    ],
)
def test_names_are_asked_up_to_the_registrable_domain(domain: str, registrable: str, names: list[str]) -> None:
    """At most eight questions, however long the name (RFC 9989 §4.10)."""
    assert list(names_to_ask(domain, registrable)) == names


@pytest.mark.parametrize(
    ("domain", "published", "organised"),
    [
        pytest.param("x.a.example", {}, "a.example", id="nobody publishes anything: the registrable domain"),
        pytest.param("x.a.example", {"a.example": PLAIN}, "a.example", id="the usual"),
        pytest.param("x.y.a.example", {"x.y.a.example": PLAIN, "a.example": PLAIN}, "a.example", id="the shortest"),
        pytest.param("x.a.example", {"x.a.example": PLAIN}, "x.a.example", id="the only one"),
        pytest.param(
            "x.dept.a.example",
            {"dept.a.example": DmarcRecord(psd="n"), "a.example": PLAIN},
            "dept.a.example",
            id="psd=n ends an organisation",
        ),
        pytest.param("x.y.a.example", {"a.example": DmarcRecord(psd="y")}, "y.a.example", id="psd=y begins one below"),
        pytest.param("a.example", {"a.example": DmarcRecord(psd="y")}, "a.example", id="psd=y of its own"),
    ],
)
def test_the_organisation_of_a_name(domain: str, published: dict[str, DmarcRecord | None], organised: str) -> None:
    """RFC 9989 §4.10.2."""
    assert organisation(domain, "a.example", published) == organised


@pytest.mark.parametrize(
    ("proven", "author", "is_strict", "published", "aligned"),
    [
        pytest.param("a.example", "a.example", True, {}, True, id="itself"),
        pytest.param("mail.a.example", "a.example", False, {}, True, id="relaxed"),
        pytest.param("a.example", "mail.a.example", False, {"a.example": PLAIN}, True, id="relaxed, the other way"),
        pytest.param("mail.a.example", "a.example", True, {}, False, id="strict"),
        pytest.param("b.example", "a.example", False, {}, False, id="another company"),
        pytest.param("aa.example", "a.example", False, {}, False, id="a name that only ends like it"),
        pytest.param(
            "mail.a.example",
            "dept.a.example",
            False,
            {"dept.a.example": DmarcRecord(psd="n"), "a.example": PLAIN},
            False,
            id="a department on its own",
        ),
        pytest.param("", "", False, {}, False, id="nobody"),
    ],
)
def test_who_speaks_for_whom(
    proven: str, author: str, is_strict: bool, published: dict[str, DmarcRecord | None], aligned: bool
) -> None:
    """RFC 9989 §4.4."""
    registrables = (".".join(proven.split(".")[-2:]), ".".join(author.split(".")[-2:]))

    said = is_aligned(proven, author, is_strict=is_strict, registrables=registrables, records=published)

    assert said == aligned


@pytest.mark.parametrize(
    ("author", "published", "policy"),
    [
        pytest.param("a.example", {}, Policy.NONE, id="none"),
        pytest.param("a.example", {"a.example": REJECT}, Policy.REJECT, id="its own"),
        pytest.param(
            "x.a.example",
            {"a.example": DmarcRecord(policy=Policy.REJECT, subdomain_policy=Policy.QUARANTINE)},
            Policy.QUARANTINE,
            id="the organisation's for subdomains",
        ),
        pytest.param("x.a.example", {"x.a.example": PLAIN, "a.example": REJECT}, Policy.NONE, id="its own goes first"),
        pytest.param(
            "a.example", {"a.example": DmarcRecord(policy=Policy.REJECT, is_test=True)}, Policy.QUARANTINE, id="testing"
        ),
        pytest.param(
            "a.example", {"a.example": DmarcRecord(policy=Policy.QUARANTINE, is_test=True)}, Policy.NONE, id="testing 2"
        ),
    ],
)
def test_what_a_domain_asks_for(author: str, published: dict[str, DmarcRecord | None], policy: Policy) -> None:
    assert rule(author, "a.example", published)[1] == policy
