"""One call over the wire: what is sent, how long it may take, and how much may come back (RELIABILITY C61).

Redirects are not followed and proxies of the environment are not used: the token goes to `base_url` and nowhere else.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module, metadata
from ipaddress import ip_address
from typing import Any

import httpx

from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot.body import GarbageAnswer, read_body
from supportrelay.edge.crm.hubspot.errors import Fault
from supportrelay.edge.crm.hubspot.pacing import CONNECTIONS
from supportrelay.edge.crm.hubspot.reading import printable
from supportrelay.edge.crm.hubspot.settings import HubSpotAccount

__all__ = ["NoReply", "Reply", "Wire", "check_base_url", "check_token"]


@value_class
class Reply:
    """Status, headers (names in lower case) and octets as they came, except for our token, should they repeat it."""

    status: int
    headers: Mapping[str, str]
    octets: bytes


@value_class
class NoReply:
    """There was none, or none that is worth reading.

    Attributes:
        was_kept: It went over a connection from before, and nothing came back: HubSpot may have closed it meanwhile.
    """

    cause: str
    fault: Fault
    status: int = 0
    was_kept: bool = False


class Wire:
    """Connections to one account.

    Raises:
        ValueError: An address or token that must not be used (`check_base_url`, `check_token`).
    """

    def __init__(self, account: HubSpotAccount) -> None:
        if wrong := check_base_url(account.base_url) or check_token(account.token):
            raise ValueError(wrong)
        self._account = account
        self._http = _connections(account)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def exchange(
        self, method: str, path: str, content: bytes | None, query: Mapping[str, Any]
    ) -> Reply | NoReply:
        """Send and receive. Returns failures, so that no exception of ours has one with the request in its chain."""
        is_fresh = False
        status = 0

        async def trace(event: str, _info: Mapping[str, Any]) -> None:
            nonlocal is_fresh
            is_fresh = is_fresh or event == "connection.connect_tcp.started"

        sent = {} if content is None else {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._account.timeout_s),
                self._http.stream(
                    method,
                    self._account.base_url + path,
                    content=content,
                    params=query or None,
                    headers=sent,
                    extensions={"trace": trace},
                ) as response,
            ):
                status = response.status_code
                headers = {name.lower(): self._silent(value) for name, value in response.headers.items()}
                octets = (await read_body(response)).replace(self._account.token.encode(), b"***")
                return Reply(status, headers, octets)
        except TimeoutError:
            return NoReply(f"no answer within {self._account.timeout_s:g} s", Fault.UNAVAILABLE, status)
        except GarbageAnswer as exc:
            return NoReply(str(exc), Fault.GARBAGE, status)
        except (httpx.HTTPError, httpx.StreamError, OSError) as exc:
            cause = self._silent(f"{type(exc).__name__}: {exc}")
            return NoReply(printable(cause, 200), Fault.UNAVAILABLE, status, was_kept=not is_fresh and not status)

    def _silent(self, text: str) -> str:
        return text.replace(self._account.token, "***")


def _connections(account: HubSpotAccount) -> httpx.AsyncClient:
    trusted: ssl.SSLContext | bool = False
    if account.base_url.startswith("https:"):
        # Mozilla's list, which comes with httpx, and the machine's own (SSL_CERT_FILE), for a company's authority.
        trusted = httpx.create_ssl_context(trust_env=False)
        trusted.load_default_certs()
    # httpx imports these within its first call, which stops the event loop for a tenth of a second and more.
    for name in ("sniffio", "httpcore", "httpcore._backends.anyio", "anyio._backends._asyncio"):
        with suppress(ImportError):
            import_module(name)
    try:
        version = metadata.version("supportrelay")
    except metadata.PackageNotFoundError:
        version = "0"
    return httpx.AsyncClient(
        headers={
            "Authorization": f"Bearer {account.token}",
            "User-Agent": f"supportrelay/{version}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        },
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        verify=trusted,
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113  one for everything, around the whole call
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=20.0),
    )


def check_base_url(base_url: str) -> str:
    """What is wrong with an address for a token to go to, "" when nothing is: https, or this machine itself."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        return "not an address like https://api.hubapi.com"
    if not url.host or url.userinfo or url.query or url.fragment or base_url.endswith("/"):
        return "not an address like https://api.hubapi.com, without login, query or a slash at the end"
    if url.scheme != "https" and not (url.scheme == "http" and _is_here(url.host)):
        return "only https, or http to this machine itself: the token would be read on the way"
    return ""


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_token(token: str) -> str:
    """What is wrong with a token, without showing it; "" when nothing is."""
    if not token:
        return "the HubSpot token is empty"
    if not (token.isascii() and token.isprintable()) or " " in token:
        return "the HubSpot token has blanks, line breaks or characters outside of ASCII"
    return ""
