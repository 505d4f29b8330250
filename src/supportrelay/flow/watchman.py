"""watchman: looks at what nobody would notice before it breaks: the disk, the certificates."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from supportrelay.core.alarm import AlarmKind
from supportrelay.flow.alarms import alarm
from supportrelay.flow.office import Office
from supportrelay.log import get_logger

__all__ = ["Watchman"]

log = get_logger()

_EVERY_S = 600.0
_CERTIFICATES_EVERY = timedelta(days=1)
_MIB = 1024 * 1024
# Nearly full: room for so few of the largest mails, or under a fiftieth of the disk, of which a GiB is enough.
_LARGEST_MAILS = 4
_ENOUGH = 1024 * _MIB
_SHARE = 50


class Watchman:
    """Looks every ten minutes; one process's is enough.

    Args:
        folder: Where the store is, as the alarm names it.
        space: ``(free, whole)`` octets of its disk.
        ending: Certificates that end soon, by file, and when. Both block.
    """

    def __init__(
        self,
        office: Office,
        folder: str,
        space: Callable[[], tuple[int, int]],
        ending: Callable[[datetime], Mapping[str, datetime]],
    ) -> None:
        self._office = office
        self._folder = folder
        self._space = space
        self._ending = ending
        self._certificates_at: datetime | None = None

    async def run(self) -> None:
        """Look until cancelled; never raises."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """One look."""
        try:
            await self._at_disk()
            now = self._office.now()
            if self._certificates_at is None or now - self._certificates_at >= _CERTIFICATES_EVERY:
                self._certificates_at = now
                await self._at_certificates(now)
        except OSError as exc:
            log.warning("worker.chore_failed", detail=str(exc))
        except Exception:
            log.exception("worker.chore_failed")

    async def _at_disk(self) -> None:
        free, whole = await asyncio.to_thread(self._space)
        largest = self._office.rulebook().desk.max_size_octets
        if free < max(_LARGEST_MAILS * largest, min(whole // _SHARE, _ENOUGH)):
            await alarm(self._office, AlarmKind.DISK_NEARLY_FULL, self._folder, free=free // _MIB)

    async def _at_certificates(self, now: datetime) -> None:
        for file, until in (await asyncio.to_thread(self._ending, now)).items():
            await alarm(self._office, AlarmKind.CERTIFICATE_EXPIRES, file, text=f"{until:%Y-%m-%d %H:%M} UTC")
