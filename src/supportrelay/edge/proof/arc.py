"""ARC (RFC 8617): what a sealer that is trusted saw before the mail was changed on its way to us."""

import asyncio
import re

import dkim  # type: ignore[import-untyped]

from supportrelay.core.dns import Dns
from supportrelay.core.ports import Domains
from supportrelay.core.value import value_class
from supportrelay.edge.proof.dkim import fetch_keys
from supportrelay.edge.proof.signed_mail import QUIET, Key, NotVerifiedError, SignedMail, tags_of, verify_part
from supportrelay.edge.proof.word import vouched_by_sealer

__all__ = ["SealerWord", "ask_sealers"]

_MOST_SETS = 10  # RFC 8617 allows 50; a mail that went through ten hands proves little
_SETS = (b"arc-seal", b"arc-message-signature")
_INSTANCE = re.compile(rb"\A\s*i\s*=\s*(\d{1,2})\s*;")


@value_class
class SealerWord:
    """What a trusted sealer says.

    Attributes:
        sealer: Its domain, "" when none of them vouches.
        methods: Aligned methods that passed there (`word.Vouched`).
        is_unknown: The DNS did not give a key, so nobody can tell.
    """

    sealer: str = ""
    methods: tuple[str, ...] = ()
    is_unknown: bool = False


async def ask_sealers(
    octets: bytes, dns: Dns, *, sealers: frozenset[str], author_domain: str, domains: Domains, limit_s: float
) -> SealerWord:
    """What the trusted sealers say about the author; never raises.

    The chain is verified only when its last seal is a trusted one, and only the words of the trusted sealers in an
    unbroken row from there count: whoever is not trusted may have changed everything before he sealed.
    """
    mail = await asyncio.to_thread(SignedMail, octets)
    names = _key_names(mail, sealers)
    if not names:
        return SealerWord()
    keys = await fetch_keys(dns, ((name, limit_s) for name in names))
    results = await asyncio.to_thread(_verify, mail, keys)
    for result in results:
        sealer = result["as-domain"].decode("ascii").lower()
        if sealer not in sealers:
            break
        said = result["aar-value"].partition(b";")[2].decode("ascii", "replace").strip()
        vouched = vouched_by_sealer(said, author_domain, domains)
        if vouched.methods:
            return SealerWord(sealer, vouched.methods)
    return SealerWord(is_unknown=not results and any(isinstance(key, str) for key in keys.values()))


def _key_names(mail: SignedMail, sealers: frozenset[str]) -> set[str]:
    """Names of all keys of the chain; none when its last seal is nobody's whom we trust."""
    names = set()
    seals: dict[int, str] = {}
    for kind in _SETS:
        fields = mail.named(kind)
        if len(fields) > _MOST_SETS:
            return set()
        for _, value in fields:
            found = _INSTANCE.match(value)
            try:
                tags = tags_of(value)
            except NotVerifiedError:
                return set()
            domain = tags[b"d"].decode("ascii").lower()
            if found and kind == b"arc-seal":
                seals[int(found[1])] = domain
            names.add(f"{tags[b's'].decode('ascii')}._domainkey.{domain}")
    return names if seals and seals[max(seals)] in sealers else set()


class _Chain(dkim.ARC):  # type: ignore[misc]  # dkimpy has no types
    """dkimpy's verifier of chains, fed with what we read and looked up."""

    def __init__(self, mail: SignedMail, keys: dict[str, Key]) -> None:
        super().__init__(None, logger=QUIET)
        self.headers = mail.fields
        self._mail = mail
        self._keys = keys

    def verify_sig(
        self, sig: dict[bytes, bytes], include_headers: list[bytes], sig_header: tuple[bytes, bytes], _dnsfunc: object
    ) -> bool:
        """In place of dkimpy's, as in `dkim`; one signature of a chain that does not count is no exception."""
        name = f"{sig[b's'].decode('ascii')}._domainkey.{sig[b'd'].decode('ascii').lower()}"
        try:
            verify_part(self, self._mail, sig, include_headers, sig_header, self._keys.get(name))
        except NotVerifiedError:
            return False
        return True


def _verify(mail: SignedMail, keys: dict[str, Key]) -> list[dict[str, bytes]]:
    """The sets of a chain that is whole, the last one first; empty when it is not."""
    try:
        outcome, results, _ = _Chain(mail, keys).verify()
    except Exception:  # noqa: BLE001  dkimpy on a stranger's octets
        return []
    return results if outcome == dkim.CV_Pass else []
