"""What others found out about a sender: a gateway's Authentication-Results, and a sealer's within ARC.

Only the topmost Authentication-Results field counts, and only when it carries the authserv-id of the gateway that
spoke to us: everything below it, and everything signed by another name, may have been written by the sender
(RFC 8601 §5, RELIABILITY C50-C52).
"""

import asyncio
from collections.abc import Iterator

import authres

from supportrelay.core.ports import Domains
from supportrelay.core.value import value_class

__all__ = ["Vouched", "vouched_by_gateway", "vouched_by_sealer"]

_LONGEST = 4096  # characters of a field that are still read; authres takes quadratic time, 0.1 s at 8,000
_DEEPEST_COMMENT = 8
_FEATURES = authres.all_features()

# Where each method names the domain it vouches for. An HELO name is no author's domain, so smtp.helo does not count.
_PROPERTIES = {
    "dmarc": (("header", "from"),),
    "spf": (("smtp", "mailfrom"), ("smtp", "mfrom")),
    "dkim": (("header", "d"), ("header", "i")),
}


@value_class
class Vouched:
    """What a field says for the author's domain.

    Attributes:
        methods: Those that passed and are aligned, in the order dmarc, spf, dkim.
        why_not: In words, when there are none.
        fails_dmarc: It says ``dmarc=fail`` of it.
    """

    methods: tuple[str, ...] = ()
    why_not: str = ""
    fails_dmarc: bool = False


def vouched_by_gateway(fields: tuple[str, ...], gateway: str, author_domain: str, domains: Domains) -> Vouched:
    """What a gateway says.

    Args:
        fields: Values of all Authentication-Results, topmost first.
        gateway: Its authserv-id.
        domains: For relaxed alignment: the same registrable domain.
    """
    if not fields:
        return Vouched(why_not="the gateway wrote no Authentication-Results")
    header = _parse(fields[0])
    if header is None:
        return Vouched(why_not="the gateway's Authentication-Results cannot be read")
    if header.authserv_id != gateway.lower():
        return Vouched(why_not="the topmost Authentication-Results is not the gateway's")
    methods = _aligned_passes(header, author_domain, domains)
    if methods:
        return Vouched(methods)
    said = [result.result.lower() for result in header.results if result.method.lower() == "dmarc"]
    return Vouched(why_not="the gateway does not vouch for it", fails_dmarc=said == ["fail"])


def vouched_by_sealer(value: str, author_domain: str, domains: Domains) -> Vouched:
    """What an ARC-Authentication-Results says whose seal was verified; ``value`` without its ``i=``."""
    header = _parse(value)
    methods = _aligned_passes(header, author_domain, domains) if header else ()
    return Vouched(methods, "" if methods else "the sealer does not vouch for it")


def _aligned_passes(
    header: authres.AuthenticationResultsHeader, author_domain: str, domains: Domains
) -> tuple[str, ...]:
    """Methods that passed for the author's domain, in the order of `_PROPERTIES`."""
    passed = []
    for method in _PROPERTIES:
        results = [result for result in header.results if result.method.lower() == method]
        # There is one SPF and one DMARC verdict on a mail. A second one got in through a comment or a quoted
        # local part that the gateway copied from the sender; then neither is believed. DKIM has one a signature.
        if method != "dkim" and len(results) > 1:
            return ()
        if any(_is_aligned_pass(result, method, author_domain, domains) for result in results):
            passed.append(method)
    return tuple(passed)


def _is_aligned_pass(
    result: authres.core.AuthenticationResult, method: str, author_domain: str, domains: Domains
) -> bool:
    if result.result.lower() != "pass":
        return False
    named = [
        _domain_of(prop.value)
        for prop in result.properties
        if (prop.type.lower(), prop.name.lower()) in _PROPERTIES[method]
    ]
    # All that name a domain must agree: a signature with d= and i= of different companies aligns with neither.
    author = domains.registrable(author_domain)
    return bool(named) and bool(author) and all(domains.registrable(domain) == author for domain in named)


def _parse(value: str) -> authres.AuthenticationResultsHeader | None:
    """Read a field's value without its comments; None when it is malformed, too long, or authres gives up."""
    if len(value) > _LONGEST or not value.isascii():
        return None
    try:
        return _FEATURES.parse_value("".join(_without_comments(value)))
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001  authres raises whatever its parser trips over; strangers' text must not reach us
        return None


def _without_comments(value: str) -> Iterator[str]:
    """Characters outside comments. authres skips errors inside a comment and reads on within it, so none reach it.

    Raises:
        ValueError: A comment or a quoted string that never ends, or comments nested too deep.
    """
    depth = 0
    is_quoted = False
    characters = iter(value)
    for character in characters:
        if character == "\\" and (depth or is_quoted):
            following = next(characters, "")
            if not depth:
                yield character + following
        elif character == '"' and not depth:
            is_quoted = not is_quoted
            yield character
        elif character == "(" and not is_quoted:
            depth += 1
            if depth > _DEEPEST_COMMENT:
                raise ValueError("comments nested too deep")
            yield " "
        elif character == ")" and depth:
            depth -= 1
        elif not depth:
            yield character
    if depth or is_quoted:
        raise ValueError("a comment or quoted string never ends")


def _domain_of(value: str) -> str:
    return value.rpartition("@")[2].lower().removesuffix(".")
