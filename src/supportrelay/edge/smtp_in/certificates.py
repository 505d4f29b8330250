"""The certificates that listeners show: read anew when their files change, for new handshakes only (RELIABILITY D13).

A pair that cannot be used, or whose halves do not belong together yet, leaves the old one in use and is logged once
(F33). An expired one is used: mail in clear would be worse.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from supportrelay.core.errors import InputError
from supportrelay.log import get_logger

__all__ = ["Certificates", "Pair", "server_context"]

log = get_logger()

Place = tuple[str, int]
Pair = tuple[Path, Path]
"""Certificate with its chain, and key; PEM."""

_WARN_BEFORE = timedelta(days=14)
_WARN_EVERY = timedelta(days=1)
_LOOK_EVERY_S = 60.0


def server_context(pair: Pair) -> ssl.SSLContext:
    """TLS 1.2 and later with Python's ciphers for servers (AEAD and forward secrecy; no SHA-1), ours before theirs.

    Raises:
        InputError: The pair cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        # Asking for a password on the terminal would hang a daemon: an empty one is given instead.
        context.load_cert_chain(*pair, password=lambda: "")
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise InputError(f"certificate cannot be used: {exc}") from exc
    return context


@dataclass(slots=True)
class _Held:
    """A pair in use. stamp: the state of its files that was read last, also when they could not be used."""

    pair: Pair
    context: ssl.SSLContext
    stamp: object
    warned_at: datetime | None = None


class Certificates:
    """Contexts by place: host and port of a listener.

    Args:
        until: When the certificate in a file expires; None when that cannot be told.
    """

    def __init__(self, until: Callable[[Path], datetime | None]) -> None:
        self._until = until
        self._held: dict[Place, _Held] = {}

    def context(self, place: Place) -> ssl.SSLContext | None:
        """The present one; None: this listener has no TLS."""
        held = self._held.get(place)
        return held.context if held else None

    def use(self, pairs: Mapping[Place, Pair | None]) -> None:
        """Use these from now on; a place that is not named keeps what it has.

        Raises:
            InputError: One cannot be used; nothing was changed.
        """
        fresh = {place: _Held(pair, server_context(pair), _stamp(pair)) for place, pair in pairs.items() if pair}
        for place, pair in pairs.items():
            if pair:
                self._held[place] = fresh[place]
            else:
                self._held.pop(place, None)

    def look(self, now: datetime, *, warns: bool = True) -> None:
        """Take over files that changed, and warn of certificates that end soon, once a day. Blocks."""
        for place, held in self._held.items():
            stamp = _stamp(held.pair)
            if stamp != held.stamp:
                held.stamp = stamp
                self._renew(place, held)
            if warns:
                self._warn(held, now)

    def _renew(self, place: Place, held: _Held) -> None:
        try:
            held.context = server_context(held.pair)
        except InputError as exc:
            log.error("tls.refused", host=place[0], port=place[1], cert=str(held.pair[0]), detail=str(exc))
        else:
            held.warned_at = None
            log.info("tls.renewed", host=place[0], port=place[1], cert=str(held.pair[0]))

    def _warn(self, held: _Held, now: datetime) -> None:
        until = self._until(held.pair[0])
        if until is None or until > now + _WARN_BEFORE:
            return
        if held.warned_at is None or now - held.warned_at >= _WARN_EVERY:
            held.warned_at = now
            log.warning("tls.expiring", cert=str(held.pair[0]), until=until.isoformat(timespec="minutes"))

    def ending(self, now: datetime) -> dict[str, datetime]:
        """Certificates that end within 14 days, or have ended: file -> when. Blocks."""
        untils = {str(held.pair[0]): self._until(held.pair[0]) for held in self._held.values()}
        return {file: until for file, until in untils.items() if until is not None and until <= now + _WARN_BEFORE}

    async def watch(self, now: Callable[[], datetime], *, warns: bool = True, every_s: float = _LOOK_EVERY_S) -> None:
        """Look every minute until cancelled."""
        while True:
            await asyncio.to_thread(self.look, now(), warns=warns)
            await asyncio.sleep(every_s)


def _stamp(pair: Pair) -> object:
    """What differs when a file was written or replaced; links are followed, as certbot changes those."""
    found: list[object] = []
    for file in pair:
        try:
            stat = file.stat()
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)
