"""Is the sender who he says he is? What is known without asking the network: trusted hosts, and a gateway's word.

Only the topmost Authentication-Results field counts, and only when it carries the authserv-id of the gateway that
spoke to us: everything below it, and everything signed by another name, may have been written by the sender
(RFC 8601 §5, RELIABILITY C50-C52). Mail with more than one author is proven by nobody.
"""

import asyncio
from collections.abc import Iterator

import authres

from supportrelay.core.decision import Proof, Verdict
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.facts import Facts
from supportrelay.core.ports import Domains

__all__ = ["AuthenticationResultsProver"]

_LONGEST = 4096  # characters of a field that are still read; authres takes quadratic time, 0.1 s at 8,000
_DEEPEST_COMMENT = 8
_NOBODY = "nothing vouches for it"
_FEATURES = authres.all_features()

# Where each method names the domain it vouches for. An HELO name is no author's domain, so smtp.helo does not count.
_PROPERTIES = {
    "dmarc": (("header", "from"),),
    "spf": (("smtp", "mailfrom"), ("smtp", "mfrom")),
    "dkim": (("header", "d"), ("header", "i")),
}


class AuthenticationResultsProver:
    """`core.ports.SenderProver` for trusted networks and gateways; our own SPF, DKIM and DMARC come behind it later.

    ``Proof.by`` is ``trusted network``, or ``gateway`` and the aligned methods that passed, DKIM last:
    ``gateway dmarc=pass``, ``gateway dmarc=pass spf=pass dkim=pass``. So ``dkim=pass`` in it tells that an aligned
    DKIM signature stands behind it, which staff outside ``internal_domains`` need (DESIGN 6). Else it says why not.

    Args:
        domains: For relaxed alignment: the same registrable domain.
    """

    def __init__(self, domains: Domains) -> None:
        self._domains = domains

    async def prove(self, facts: Facts, envelope: Envelope) -> Proof:
        """The verdict for the author's domain; never raises, unknown on weather."""
        if facts.from_fields != 1 or len(facts.from_) != 1:
            return Proof(Verdict.UNPROVEN, "not exactly one author")
        peer = envelope.peer
        if peer.is_trusted:
            return Proof(Verdict.PROVEN, "trusted network")
        if peer.gateway:
            return self._word_of_gateway(facts, peer)
        return Proof(Verdict.UNPROVEN, _NOBODY)

    def _word_of_gateway(self, facts: Facts, peer: Peer) -> Proof:
        fields = facts.fields.get("authentication-results", ())
        if not fields:
            return Proof(Verdict.UNPROVEN, "the gateway wrote no Authentication-Results")
        header = _parse(fields[0])
        if header is None:
            return Proof(Verdict.UNPROVEN, "the gateway's Authentication-Results cannot be read")
        if header.authserv_id != peer.gateway.lower():
            return Proof(Verdict.UNPROVEN, "the topmost Authentication-Results is not the gateway's")
        passed = self._aligned_passes(header, facts.from_[0].domain)
        if not passed:
            return Proof(Verdict.UNPROVEN, "the gateway does not vouch for it")
        return Proof(Verdict.PROVEN, "gateway " + " ".join(f"{method}=pass" for method in passed))

    def _aligned_passes(self, header: authres.AuthenticationResultsHeader, author_domain: str) -> list[str]:
        """Methods that passed for the author's domain, in the order of `_PROPERTIES`."""
        passed = []
        for method in _PROPERTIES:
            results = [result for result in header.results if result.method.lower() == method]
            # There is one SPF and one DMARC verdict on a mail. A second one got in through a comment or a quoted
            # local part that the gateway copied from the sender; then neither is believed. DKIM has one a signature.
            if method != "dkim" and len(results) > 1:
                return []
            if any(self._is_aligned_pass(result, method, author_domain) for result in results):
                passed.append(method)
        return passed

    def _is_aligned_pass(self, result: authres.core.AuthenticationResult, method: str, author_domain: str) -> bool:
        if result.result.lower() != "pass":
            return False
        named = [
            _domain_of(prop.value)
            for prop in result.properties
            if (prop.type.lower(), prop.name.lower()) in _PROPERTIES[method]
        ]
        # All that name a domain must agree: a signature with d= and i= of different companies aligns with neither.
        author = self._domains.registrable(author_domain)
        return bool(named) and bool(author) and all(self._domains.registrable(domain) == author for domain in named)


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
