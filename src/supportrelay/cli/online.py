"""``check --online``: try each smarthost as far as one can without sending a mail; compare DKIM keys with DNS."""

import base64
import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supportrelay.cli.printing import printable
from supportrelay.core.dns import Dns
from supportrelay.core.errors import TransientFailure
from supportrelay.log import hide, masked

__all__ = ["Step", "compare_dkim", "try_smarthosts"]

_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried; ``online.CODE`` of the catalogues says it in words."""

    code: str
    is_good: bool
    values: Mapping[str, Any]


def try_smarthosts(config: Any) -> Iterator[Step]:
    """Connect, EHLO, encrypt and log in at each smarthost of ``outbound``, in order."""
    for one in config.outbound:
        if one.host is None:
            yield Step("outbox", is_good=True, values={"folder": config.outbox_folder})
            continue
        host = f"{one.host}:{one.port}"
        try:
            with _connected(one, config.hostname) as session:
                yield from _talked(session, one, host)
        except (OSError, smtplib.SMTPException, ValueError) as exc:
            yield Step("failed", is_good=False, values={"host": host, "cause": _cause(exc)})


def _context(one: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(one.tls_ca) if one.tls_ca else None)
    if not one.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if one.auth and one.auth.kind == "client_certificate":
        context.load_cert_chain(str(one.auth.cert), str(one.auth.key))
    return context


def _connected(one: Any, hostname: str) -> smtplib.SMTP:
    if one.tls == "implicit":
        return smtplib.SMTP_SSL(one.host, one.port, hostname, timeout=_TIMEOUT_S, context=_context(one))
    return smtplib.SMTP(one.host, one.port, hostname, timeout=_TIMEOUT_S)


def _talked(session: smtplib.SMTP, one: Any, host: str) -> Iterator[Step]:
    session.ehlo_or_helo_if_needed()
    yield Step("answers", is_good=True, values={"host": host})
    if one.tls == "starttls":
        session.starttls(context=_context(one))
        session.ehlo()
        yield Step("encrypted", is_good=True, values={"host": host})
    if one.auth and one.auth.kind == "password":
        session.login(one.auth.user or "", _secret(one.auth.user, one.auth.password, one.auth.password_file))
        yield Step("logged_in", is_good=True, values={"host": host, "user": one.auth.user})
    elif one.auth and one.auth.kind == "xoauth2":
        yield _xoauth2(session, one, host)
    limit = session.esmtp_features.get("size", "")
    if limit:
        yield Step("size", is_good=True, values={"host": host, "octets": limit})


def _secret(user: str, inline: Any, file: Any) -> str:
    """The secret; from now on it is masked in what servers say (some say back what they heard)."""
    secret = str(inline.get_secret_value()) if inline is not None else ""
    if inline is None and file:
        secret = file.read_text(encoding="utf-8").strip()
    hide(secret, f"\0{user}\0{secret}", f"user={user}\x01auth=Bearer {secret}\x01\x01")
    return secret


def _xoauth2(session: smtplib.SMTP, one: Any, host: str) -> Step:
    said = f"user={one.auth.user}\x01auth=Bearer {_secret(one.auth.user, one.auth.token, one.auth.token_file)}\x01\x01"
    code, text = session.docmd("AUTH", "XOAUTH2 " + base64.b64encode(said.encode()).decode("ascii"))
    if code == 334:  # noqa: PLR2004  a challenge that holds the error; an empty answer fetches the reply
        code, text = session.docmd("")
    if code == 235:  # noqa: PLR2004  RFC 4954 §4: authentication successful
        return Step("logged_in", is_good=True, values={"host": host, "user": one.auth.user})
    cause = f"{code} {printable(masked(text.decode('utf-8', 'replace')))}"
    return Step("failed", is_good=False, values={"host": host, "cause": cause})


def _cause(exc: Exception) -> str:
    if isinstance(exc, smtplib.SMTPResponseException):
        text = exc.smtp_error.decode("utf-8", "replace") if isinstance(exc.smtp_error, bytes) else str(exc.smtp_error)
        return f"{exc.smtp_code} {printable(masked(text))}"
    return printable(masked(str(exc))) or type(exc).__name__


async def compare_dkim(entries: Sequence[Any], records: Sequence[str], dns: Dns) -> list[Step]:
    """Ask DNS for each key of ``dkim`` and compare.

    Args:
        records: What DNS should hold, one for each entry (`edge.dkim.public_record`).
    """
    return [await _compared(one, record, dns) for one, record in zip(entries, records, strict=True)]


async def _compared(entry: Any, record: str, dns: Dns) -> Step:
    name = f"{entry.selector}._domainkey.{entry.domain}"
    try:
        published = await dns.ask(name, "TXT")
    except TransientFailure as exc:
        return Step("dkim_unknown", is_good=False, values={"name": name, "cause": printable(exc.detail or str(exc))})
    # A name with several records has no key that can be relied on (RFC 6376 §3.6.2.2).
    keys = [_key_of(one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)) for one in published]
    if not keys:
        return Step("dkim_missing", is_good=False, values={"name": name})
    is_good = keys == [_key_of(record)]
    return Step("dkim_good" if is_good else "dkim_other", is_good=is_good, values={"name": name})


def _key_of(record: str) -> tuple[str, str]:
    """Kind and public key of a DKIM record; ``("rsa", "")`` of one that is revoked, or is none."""
    tags = {
        name.strip(): "".join(value.split()) for name, _, value in (one.partition("=") for one in record.split(";"))
    }
    return tags.get("k", "rsa"), tags.get("p", "")
