"""digest: what waits for a person is named to the administrators, and named again until somebody sees to it (DESIGN 5).

Where it stands is kept in the notes of the clerk's duty and in ``digest_told``, in the commit that puts the mail into
the queue, so that neither a restart nor another worker repeats or skips anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from supportrelay.core.digest import MOST_LINES, STATES, Digest, DigestEvent, digest_subject, digest_text
from supportrelay.core.own_mail import OwnKind, OwnMail, Wording
from supportrelay.core.own_ports import DigestNews, OwnMailStore
from supportrelay.core.ports import Lease
from supportrelay.core.value import value_class
from supportrelay.flow.office import Office, Rulebook
from supportrelay.flow.tell_admins import mail_to_admins

__all__ = ["DigestRound", "look_every"]

_LOOK_AT_LEAST = timedelta(minutes=1)
_LOOK_AT_MOST = timedelta(seconds=1)
_LOOKED_AT_AGAIN = 10_000
_MOST_KEPT = 1000  # muted mails and events remembered until the digest


def look_every(after: timedelta) -> timedelta:
    """How often to look for what is to be told ``after`` that time at most."""
    return max(_LOOK_AT_MOST, min(_LOOK_AT_LEAST, after / 4))


@value_class
class _Standing:
    """Where it stands, as the duty's notes keep it.

    Attributes:
        cursor: Last row of the record that was looked at.
        since: When the first of what is untold was seen.
        daily_at: When all that is open was named last.
        muted, events: Collected since the last digest.
    """

    cursor: int | None
    since: datetime | None
    daily_at: datetime | None
    muted: tuple[int, ...]
    events: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, notes: Mapping[str, Any]) -> "_Standing":
        kept = notes.get("digest") or {}
        return cls(
            kept.get("cursor"),
            _instant(kept.get("since")),
            _instant(kept.get("daily_at")),
            tuple(kept.get("muted", ())),
            tuple(kept.get("events", ())),
        )

    def to_notes(self, notes: Mapping[str, Any]) -> dict[str, Any]:
        kept = {
            "cursor": self.cursor,
            "since": self.since.isoformat() if self.since else None,
            "daily_at": self.daily_at.isoformat() if self.daily_at else None,
            "muted": list(self.muted[:_MOST_KEPT]),
            "events": list(self.events[:_MOST_KEPT]),
        }
        return {**notes, "digest": kept}


class DigestRound:
    """Looks for what is to be told, and writes the digest when it is time."""

    def __init__(self, office: Office, store: OwnMailStore, wording: Callable[[str], Wording], duty: str) -> None:
        self._office = office
        self._store = store
        self._wording = wording
        self._duty = duty

    async def look(self, notes: Mapping[str, Any], lease: Lease) -> OwnMail | None:
        """One look; the digest that was put into the queue, None when it is not time.

        Args:
            notes: Of the duty, which is ours.

        Raises:
            TransientFailure: The store cannot be used now.
        """
        rulebook, now = self._office.rulebook(), self._office.now()
        desk = rulebook.desk
        before = _Standing.of(notes)
        news = await self._store.digest_news(before.cursor, desk.admins, now)
        standing = _seen(before, news, now)
        is_open = any(news.counts.values())
        is_daily = is_open and standing.daily_at is not None and now - standing.daily_at >= desk.digest_every
        is_new = standing.since is not None and now - standing.since >= desk.digest_after
        if not (is_daily or is_new):
            if news.ended or _is_worth_keeping(before, standing):
                await self._keep(None, (), news, standing, notes, lease, now)
            return None
        mail = await self._write(rulebook, news, standing, is_daily=is_daily)
        daily_at = now if is_daily or standing.daily_at is None else standing.daily_at
        after = _Standing(standing.cursor, None, daily_at if is_open else None, (), ())
        await self._keep(mail, news.untold, news, after, notes, lease, now)
        return mail

    async def _keep(
        self,
        mail: OwnMail | None,
        told: tuple[tuple[int, str], ...],
        news: DigestNews,
        standing: _Standing,
        notes: Mapping[str, Any],
        lease: Lease,
        now: datetime,
    ) -> None:
        await self._store.tell_digest(mail, told, news.ended, self._duty, lease, standing.to_notes(notes), now)

    async def _write(self, rulebook: Rulebook, news: DigestNews, standing: _Standing, *, is_daily: bool) -> OwnMail:
        numbers = [*(seq for seq, _ in news.untold), *standing.muted]
        items = await self._store.digest_items(numbers, rulebook.desk.admins, is_daily=is_daily, most=MOST_LINES)
        counts = dict(news.counts) if is_daily else {s: sum(one == s for _, one in news.untold) for s in STATES}
        counts["muted"] = len(standing.muted)
        order = {state: place for place, state in enumerate((*STATES, "muted"))}
        digest = Digest(
            counts=counts,
            items=tuple(sorted(items, key=lambda one: (order[one.state], not one.is_new))),
            events=tuple(DigestEvent(e["what"], datetime.fromisoformat(e["at"]), e["values"]) for e in standing.events),
            is_daily=is_daily,
            stops=news.stops,
        )
        address = rulebook.desk.addresses[0]
        words = self._wording(address.language)
        return mail_to_admins(
            self._office,
            rulebook,
            OwnKind.DIGEST,
            rulebook.desk.admins,
            digest_subject(digest, address.address, words),
            digest_text(digest, address.address, words),
        )


def _seen(before: _Standing, news: DigestNews, now: datetime) -> _Standing:
    """With what this look found."""
    muted = (*before.muted, *news.muted)
    fresh = tuple({"what": e.what, "at": e.at.isoformat(), "values": dict(e.values)} for e in news.events)
    events = (*before.events, *fresh)
    has_news = bool(news.untold or muted or events)
    return _Standing(news.cursor, (before.since or now) if has_news else None, before.daily_at, muted, events)


def _is_worth_keeping(before: _Standing, after: _Standing) -> bool:
    """That only others' mail went by is looked at again; it costs less than a commit."""
    has_changed = replace(before, cursor=after.cursor) != after
    return has_changed or before.cursor is None or (after.cursor or 0) - before.cursor > _LOOKED_AT_AGAIN


def _instant(written: object) -> datetime | None:
    return datetime.fromisoformat(str(written)) if written else None
