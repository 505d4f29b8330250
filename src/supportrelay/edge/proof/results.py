"""Our own Authentication-Results (RFC 8601): what was checked, and what came of it."""

from collections.abc import Sequence

import authres
import authres.arc
import authres.dmarc

from supportrelay.core.dmarc import Policy
from supportrelay.edge.proof.dkim import Signature
from supportrelay.edge.proof.spf import SpfResult

__all__ = ["print_results", "print_word"]

_MOST_SIGNATURES = 4  # told about; a reader's program wants the ones that passed


def print_results(
    authserv_id: str,
    author_domain: str,
    *,
    dmarc: str,
    policy: Policy | None,
    spf: SpfResult | None,
    signatures: Sequence[Signature],
) -> str:
    """The field's value; none of it is text of the sender's but domain names.

    Args:
        dmarc: Its result. policy: what the author's domain asks for, None when nobody knows or it asks nothing.
        spf: None when it was not checked.
    """
    results = [
        authres.dmarc.DMARCAuthenticationResult(
            result=dmarc, result_comment=f"p={policy}" if policy else None, header_from=author_domain
        )
    ]
    if spf is not None:
        results.append(
            authres.SPFAuthenticationResult(
                result=spf.result,
                smtp_helo=spf.domain if spf.is_helo and spf.domain else None,
                smtp_mailfrom=spf.domain if not spf.is_helo and spf.domain else None,
            )
        )
    told = sorted(signatures, key=lambda one: one.result != "pass")[:_MOST_SIGNATURES]
    results += [
        authres.DKIMAuthenticationResult(result=one.result, result_comment=one.why or None, header_d=one.domain or None)
        for one in told
    ]
    if not told:
        results.append(authres.DKIMAuthenticationResult(result="none"))
    return _printed(authserv_id, results)


def print_word(authserv_id: str, author_domain: str, methods: Sequence[str], *, gateway: str, sealer: str = "") -> str:
    """The field's value when another one's word was taken: a gateway's, or a trusted sealer's."""
    results = [authres.arc.ARCAuthenticationResult(result="pass", header_as_d=sealer)] if sealer else []
    for method in methods:
        says = f"{gateway or sealer} says so"
        if method == "dmarc":
            results.append(
                authres.dmarc.DMARCAuthenticationResult(result="pass", result_comment=says, header_from=author_domain)
            )
        elif method == "spf":
            results.append(authres.SPFAuthenticationResult(result="pass", result_comment=says))
        else:
            results.append(authres.DKIMAuthenticationResult(result="pass", result_comment=says))
    return _printed(authserv_id, results)


def _printed(authserv_id: str, results: Sequence[authres.core.AuthenticationResult]) -> str:
    header = authres.AuthenticationResultsHeader(authserv_id=authserv_id, results=list(results))
    value: str = header.header_value()
    return value if value.isascii() and value.isprintable() else ""
