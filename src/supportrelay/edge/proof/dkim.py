"""DKIM (RFC 6376): every signature of a mail, up to ten, each with its result."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import dkim  # type: ignore[import-untyped]

from supportrelay.core.dns import Dns
from supportrelay.core.errors import TransientFailure
from supportrelay.core.value import value_class
from supportrelay.edge.proof.signed_mail import QUIET, Key, NotVerifiedError, SignedMail, tags_of, verify_part

__all__ = ["Signature", "check_signatures", "fetch_keys"]

_MOST_SIGNATURES = 10


@value_class
class Signature:
    """What came of one signature.

    Attributes:
        domain: ``d=``, lower case; "" when it cannot be read.
        result: ``pass``, ``fail``, ``policy`` (not accepted as it is), ``permerror`` or ``temperror``.
        why: In words, "" for a pass.
    """

    domain: str
    result: str
    why: str = ""


@value_class
class _Read:
    """A signature field that can be looked at."""

    index: int
    domain: str
    key_name: str


async def check_signatures(octets: bytes, dns: Dns, limit_s: Callable[[str], float]) -> tuple[Signature, ...]:
    """The results, topmost signature first; never raises.

    Args:
        limit_s: Seconds that the key of a domain may be waited for.
    """
    mail, read, broken = await asyncio.to_thread(_read, octets)
    keys = await fetch_keys(dns, ((one.key_name, limit_s(one.domain)) for one in read))
    verified = await asyncio.to_thread(_verify, mail, read, keys)
    return tuple(result for _, result in sorted([*broken, *verified], key=lambda pair: pair[0]))


def _read(octets: bytes) -> tuple[SignedMail, list[_Read], list[tuple[int, Signature]]]:
    mail = SignedMail(octets)
    read: list[_Read] = []
    broken: list[tuple[int, Signature]] = []
    for index, (_, value) in enumerate(mail.named(b"dkim-signature")[:_MOST_SIGNATURES]):
        try:
            tags = tags_of(value)
        except NotVerifiedError as exc:
            broken.append((index, Signature("", exc.result, str(exc))))
            continue
        domain = tags[b"d"].decode("ascii").lower()
        read.append(_Read(index, domain, f"{tags[b's'].decode('ascii')}._domainkey.{domain}"))
    return mail, read, broken


async def fetch_keys(dns: Dns, names: Iterable[tuple[str, float]]) -> dict[str, Key]:
    """Key records by their names, all asked at once; each is waited for as many seconds as stand beside it."""
    limits = dict(names)
    found = await asyncio.gather(*(_fetch(dns, name, limit) for name, limit in limits.items()))
    return dict(zip(limits, found, strict=True))


async def _fetch(dns: Dns, name: str, limit_s: float) -> Key:
    try:
        records = await asyncio.wait_for(dns.ask(name, "TXT"), limit_s)
    except TransientFailure as exc:
        return exc.text
    except TimeoutError:
        return "DNS did not answer in time"
    texts = [record for record in records if isinstance(record, bytes)]
    return next((text for text in texts if b"p=" in text), texts[0] if texts else None)


def _verify(mail: SignedMail, read: list[_Read], keys: Mapping[str, Key]) -> list[tuple[int, Signature]]:
    return [(one.index, _verified(mail, one, keys[one.key_name])) for one in read]


class _Signer(dkim.DKIM):  # type: ignore[misc]  # dkimpy has no types
    """dkimpy's verifier, fed with what we read and looked up."""

    def __init__(self, mail: SignedMail, key: Key) -> None:
        super().__init__(None, logger=QUIET)
        self.headers = mail.fields
        self._mail = mail
        self._key = key

    def verify_sig(
        self, sig: dict[bytes, bytes], include_headers: list[bytes], sig_header: tuple[bytes, bytes], _dnsfunc: object
    ) -> bool:
        """In place of dkimpy's, which takes a silent DNS and a missing key for the same."""
        wanted = set(include_headers)
        self.headers = [one for one in self.headers if one[0].lower() in wanted]
        verify_part(self, self._mail, sig, include_headers, sig_header, self._key)
        return True


def _verified(mail: SignedMail, one: _Read, key: Key) -> Signature:
    try:
        _Signer(mail, key).verify(one.index)
    except NotVerifiedError as exc:
        return Signature(one.domain, exc.result, str(exc))
    except dkim.ValidationError as exc:
        return Signature(one.domain, "fail" if "x=" in str(exc) else "permerror", "not valid")
    except Exception as exc:  # noqa: BLE001  dkimpy on a stranger's octets
        return Signature(one.domain, "permerror", type(exc).__name__)
    return Signature(one.domain, "pass")
