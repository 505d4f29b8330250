"""DMARC (RFC 9989): what a domain publishes, and whether a domain that was proven may speak for the author's.

Names are asked from the author's domain up to its registrable domain, at most eight; `organisation` follows the tree
walk among their records (``psd=n`` ends an organisation, ``psd=y`` begins one below itself, else the shortest name with
a record). Two things are ours: nothing above the registrable domain is asked, for no two companies are one by what
their registry publishes; and where nobody publishes anything, the registrable domain is the organisation (as in RFC
7489), so that a company without DMARC can prove a subdomain. A name's own domain always speaks for itself.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from supportrelay.core.value import value_class

__all__ = [
    "DmarcRecord",
    "Policy",
    "is_aligned",
    "names_to_ask",
    "organisation",
    "parse_record",
    "record_among",
    "rule",
]

_MAX_WALK = 8  # labels (RFC 9989 §4.10); longer names are cut to their last seven after the first question
_LONGEST = 4096  # octets of a record that are read


class Policy(StrEnum):
    """What a domain asks receivers to do with mail that fails."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@value_class
class DmarcRecord:
    """What stands at ``_dmarc.DOMAIN``.

    Attributes:
        policy: ``p``; ``subdomain_policy`` is ``sp``, or ``p`` without.
        is_strict_dkim, is_strict_spf: ``adkim=s``, ``aspf=s``: only the very same domain speaks for the author's.
        psd: ``y``, ``n`` or ``u``.
        is_test: ``t=y``: one step milder than it says.
    """

    policy: Policy = Policy.NONE
    subdomain_policy: Policy = Policy.NONE
    is_strict_dkim: bool = False
    is_strict_spf: bool = False
    psd: str = "u"
    is_test: bool = False


def names_to_ask(domain: str, registrable: str) -> tuple[str, ...]:
    """The domains whose ``_dmarc`` is asked, from ``domain`` up to its registrable domain (RFC 9989 §4.10)."""
    labels = domain.split(".")
    names = [domain]
    if len(labels) >= _MAX_WALK:
        labels = labels[-_MAX_WALK + 1 :]
        names.append(".".join(labels))
    while len(labels) > 1 and names[-1] != registrable:
        labels = labels[1:]
        names.append(".".join(labels))
    return tuple(names) if names[-1] == registrable else (domain,)


def record_among(texts: Iterable[bytes]) -> DmarcRecord | None:
    """The DMARC record among the TXT records of a name; none when there are several (RFC 9989 §4.10)."""
    found = [text for text in texts if _is_dmarc(text)]
    return parse_record(found[0]) if len(found) == 1 else None


def _is_dmarc(text: bytes) -> bool:
    name, equals, value = text[:64].partition(b";")[0].partition(b"=")
    return bool(equals) and name.strip() == b"v" and value.strip() == b"DMARC1"


def parse_record(text: bytes) -> DmarcRecord | None:
    """Read a record; None for what is none, or asks for nothing that can be understood (RFC 9989 §4.7). Never raises.

    A record without a policy that can be read counts as ``p=none`` when it names where reports go, else as no record.
    """
    if not _is_dmarc(text) or len(text) > _LONGEST:
        return None
    tags: dict[str, str] = {}
    for part in text.decode("ascii", "replace").split(";")[1:]:
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    policy = _policy(tags.get("p", ""))
    subdomains = _policy(tags["sp"]) if "sp" in tags else policy
    if policy is None or subdomains is None:
        if not tags.get("rua", "").lower().startswith(("mailto:", "https:")):
            return None
        policy = subdomains = Policy.NONE
    psd = tags.get("psd", "u").lower()
    return DmarcRecord(
        policy=policy,
        subdomain_policy=subdomains,
        is_strict_dkim=tags.get("adkim", "r").lower() == "s",
        is_strict_spf=tags.get("aspf", "r").lower() == "s",
        psd=psd if psd in {"y", "n"} else "u",
        is_test=tags.get("t", "n").lower() == "y",
    )


def _policy(word: str) -> Policy | None:
    try:
        return Policy(word.lower())
    except ValueError:
        return None


def organisation(domain: str, registrable: str, records: Mapping[str, DmarcRecord | None]) -> str:
    """The organisational domain (RFC 9989 §4.10.2).

    Args:
        records: Domain -> what it publishes, for every name of ``names_to_ask(domain, registrable)``.
    """
    shortest = ""
    below = domain
    for name in names_to_ask(domain, registrable):
        record = records.get(name)
        if record is not None:
            if record.psd == "n":
                return name
            if record.psd == "y" and name != domain:
                return below
            shortest = name
        below = name
    return shortest or registrable


def is_aligned(
    proven: str,
    author: str,
    *,
    is_strict: bool,
    registrables: tuple[str, str],
    records: Mapping[str, DmarcRecord | None],
) -> bool:
    """Whether a proven domain speaks for the author's (RFC 9989 §4.4).

    Args:
        proven, author: Lower case, A-labels.
        registrables: Of ``proven`` and of ``author``; different ones never align.
        records: For both walks; asked for only when it matters.
    """
    if proven == author:
        return bool(author)
    if is_strict or registrables[0] != registrables[1]:
        return False
    of_proven, of_author = registrables
    return organisation(proven, of_proven, records) == organisation(author, of_author, records)


def rule(author: str, registrable: str, records: Mapping[str, DmarcRecord | None]) -> tuple[DmarcRecord | None, Policy]:
    """The record that holds for an author's domain, and what it asks for there (RFC 9989 §4.10.1)."""
    own = records.get(author)
    if own is not None:
        return own, _milder(own, own.policy)
    above = organisation(author, registrable, records)
    record = records.get(above)
    return record, _milder(record, record.subdomain_policy) if record else Policy.NONE


def _milder(record: DmarcRecord, policy: Policy) -> Policy:
    if not record.is_test:
        return policy
    return Policy.QUARANTINE if policy == Policy.REJECT else Policy.NONE
