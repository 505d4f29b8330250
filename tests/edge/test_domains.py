"""Which part of a domain a company registered, and which domains are nobody's company."""

import pytest

from supportrelay.edge.domains import PublicDomains


@pytest.fixture(scope="module")
def domains() -> PublicDomains:
    return PublicDomains(free_mail=["members.example", "*.club.test"])


@pytest.mark.parametrize(
    ("domain", "registrable"),
    [
        pytest.param("example.co.jp", "example.co.jp", id="itself"),
        pytest.param("mail.tokyo.example.co.jp", "example.co.jp", id="below co.jp"),
        pytest.param("a.b.example.com.pl", "example.com.pl", id="below com.pl"),
        pytest.param("a.b.kobe.jp", "a.b.kobe.jp", id="city of Kobe"),
        pytest.param("city.kobe.jp", "city.kobe.jp", id="exception rule"),
        pytest.param("sales.customer.test", "customer.test", id="top level nobody knows"),
        pytest.param("xn--wgv71a119e.xn--example-a.jp", "xn--example-a.jp", id="A-labels"),
        pytest.param("one.github.io", "one.github.io", id="hoster's suffix"),
        pytest.param("co.jp", "co.jp", id="bare suffix is itself"),
        pytest.param("localhost", "localhost", id="single label is itself"),
        pytest.param("[192.0.2.1]", "[192.0.2.1]", id="literal is itself"),
        pytest.param("[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]", id="IPv6 literal is itself"),
        pytest.param("Sales.Example.COM", "example.com", id="case does not matter"),
        pytest.param("example.com.", "example.com", id="root dot is dropped"),
        pytest.param("", "", id="empty"),
        pytest.param("a..b", "a..b", id="empty label"),
        pytest.param("x" * 300 + ".com", "x" * 300 + ".com", id="longer than a name may be"),
    ],
)
def test_the_registrable_domain_is_the_part_a_company_bought(
    domains: PublicDomains, domain: str, registrable: str
) -> None:
    assert domains.registrable(domain) == registrable


@pytest.mark.parametrize(
    "domain",
    [
        "gmail.com",
        "yahoo.co.jp",
        "icloud.com",
        "outlook.jp",
        "docomo.ne.jp",
        "ezweb.ne.jp",
        "au.com",
        "softbank.ne.jp",
        "i.softbank.jp",
        "nifty.com",
        "ocn.ne.jp",
        "biglobe.ne.jp",
        "wp.pl",
        "o2.pl",
        "onet.pl",
        "interia.pl",
        "orange.fr",
        "free.fr",
        "laposte.net",
        "sfr.fr",
        "web.de",
        "blue.ocn.ne.jp",
        "jcom.home.ne.jp",
        "di.pdx.ne.jp",
        "foo.docomo.ne.jp",
        "t.vodafone.ne.jp",
        "privaterelay.appleid.com",
        "members.example",
        "mail.members.example",
        "club.test",
        "a.club.test",
        "GMAIL.com",
    ],
)
def test_mail_from_a_provider_is_never_a_companys(domains: PublicDomains, domain: str) -> None:
    """RULES 9.5; a provider's customer would else see his mail go to the owners of the provider."""
    assert domains.is_free_mail(domain)


@pytest.mark.parametrize(
    "domain",
    [
        "example.com",
        "reflectle.jp",
        "ne.jp",
        "jp",
        "softbank.jp",
        "notocn.ne.jp",
        "apple.com",
        "appleid.com",
        "kddi.com",
        "nttdocomo.com",
        "test",
        "[192.0.2.1]",
        ".",
        "a..gmail.com",
    ],
)
def test_a_company_is_not_taken_for_a_provider(domains: PublicDomains, domain: str) -> None:
    assert not domains.is_free_mail(domain)


def test_without_configuration_only_the_kept_lists_count() -> None:
    assert not PublicDomains().is_free_mail("members.example")
