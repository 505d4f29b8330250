"""Which domains may name a customer's company."""

from supportrelay.core.ports import Domains

__all__ = ["domains_to_ask"]


def domains_to_ask(domain: str, domains: Domains) -> list[str]:
    """The domain and its parents down to the registrable one, most specific first.

    None of a free-mail provider, which says nothing about a company, and none of an address literal.
    """
    registrable = domains.registrable(domain)
    if domain.startswith("[") or domains.is_free_mail(domain) or domains.is_free_mail(registrable):
        return []
    asked = [domain]
    while domain != registrable and "." in domain:
        domain = domain.partition(".")[2]
        asked.append(domain)
    return asked if domain == registrable else asked[:1]
