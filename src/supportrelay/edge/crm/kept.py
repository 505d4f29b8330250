"""Answers of a CRM as they are kept in the store: their JSON, and the objects made of it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from supportrelay.core.crm_ports import CrmMemory
from supportrelay.core.directory import Company, Deal, DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.errors import TransientFailure
from supportrelay.log import get_logger

__all__ = ["CompanyDeal", "Kept", "Shelf", "answer_from_json", "answer_to_json", "deal_from_json", "deal_to_json"]

T = TypeVar("T")

CompanyDeal = tuple[str, Deal]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STATES = {state.value: state for state in DealState}
_AT_A_TIME_S = 0.002  # of making JSON values; writing them takes some three times as long
_MEMORY = 4_000  # decoded answers a shelf keeps; a busy desk hears from fewer customers in an hour


class Kept(Generic[T]):
    """An answer and from when it is; fresh until ``expires_at``."""

    __slots__ = ("expires_at", "known_at", "value")

    def __init__(self, value: T, known_at: datetime, expires_at: datetime) -> None:
        self.value = value
        self.known_at = known_at
        self.expires_at = expires_at


class Shelf(Generic[T]):
    """One kind of answer in the store, which is the cache: all workers see what one of them learned.

    Objects are decoded once for each time they were learned; every recall reads the row's times, so that what another
    process refreshed or expired counts at once.

    Args:
        encode: To JSON values. decode: Back; ``known_at`` is the row's. Raises anything for what it cannot read.
        on_made: Told of each object that is new here.
    """

    def __init__(
        self,
        memory: CrmMemory,
        kind: str,
        encode: Callable[[T], Any],
        decode: Callable[[Any, datetime], T],
        on_made: Callable[[str, Kept[T]], None] = lambda _key, _kept: None,
    ) -> None:
        self._memory = memory
        self._kind = kind
        self._encode = encode
        self._decode = decode
        self._on_made = on_made
        self._made: dict[str, Kept[T]] = {}

    def recall(self, key: str) -> Kept[T] | None:
        """What is kept, fresh or not; a body that an older version wrote and that cannot be read counts as none."""
        made = self._made.get(key)
        if made is not None:
            stamp = self._memory.stamp(self._kind, key)
            if stamp is not None and stamp[0] == made.known_at:
                made.expires_at = stamp[1]
                return made
        row = self._memory.recall(self._kind, key)
        if row is None:
            return None
        try:
            value = self._decode(row.body, row.known_at)
        except (ValueError, TypeError, LookupError, AttributeError):
            return None
        return self._put(key, Kept(value, row.known_at, row.expires_at))

    def peek(self, key: str) -> Kept[T] | None:
        """The object as it was recalled last, without a look at the store."""
        return self._made.get(key)

    async def remember(self, answers: Mapping[str, T], known_at: datetime, fresh_for: timedelta) -> None:
        """Keep these. What cannot be kept is logged: the answer itself is none the worse for it.

        In one commit, unless they are long: a hundred people of a company with a hundred deals would stop the event
        loop for a tenth of a second.
        """
        expires_at = known_at + fresh_for
        bodies: dict[str, Any] = {}
        left, began = len(answers), time.perf_counter()
        for key, value in answers.items():
            bodies[key] = self._encode(value)
            left -= 1
            if left and time.perf_counter() - began < _AT_A_TIME_S:
                continue
            try:
                await self._memory.remember(self._kind, bodies, known_at, expires_at)
            except TransientFailure as exc:
                get_logger().warning("crm.answer_not_kept", kind=self._kind, answers=left + len(bodies), error=str(exc))
                return
            for kept in bodies:
                self._put(kept, Kept(answers[kept], known_at, expires_at))
            await asyncio.sleep(0)
            bodies, began = {}, time.perf_counter()

    async def expire(self, now: datetime, domain: str = "") -> int:
        """Answers about a domain, "" for all, are no longer fresh; how many."""
        return await self._memory.expire(self._kind, domain, now=now)

    def _put(self, key: str, kept: Kept[T]) -> Kept[T]:
        if len(self._made) >= _MEMORY:
            self._made.clear()
        self._made[key] = kept
        self._on_made(key, kept)
        return kept


def answer_to_json(answer: DirectoryAnswer) -> dict[str, Any]:
    """JSON values of an answer; its ``known_at`` stands in the row."""
    return {
        "source": answer.source,
        "matched_by": answer.matched_by.value,
        "is_known_contact": answer.is_known_contact,
        "contact_language": answer.contact_language,
        "contact_id": answer.contact_id,
        "companies": [
            {"id": company.id, "name": company.name, "deals": [_deal_to_json(deal) for deal in company.deals]}
            for company in answer.companies
        ],
    }


def answer_from_json(body: Any, known_at: datetime) -> DirectoryAnswer:
    """Read what `answer_to_json` wrote.

    Raises:
        ValueError, TypeError, LookupError: Something else, or an older version wrote it.
    """
    companies = tuple(
        Company(one["id"], one["name"], tuple(_deal_from_json(deal, one["id"]) for deal in one["deals"]))
        for one in body["companies"]
    )
    return DirectoryAnswer(
        companies,
        MatchedBy(body["matched_by"]),
        body["source"],
        known_at,
        body["is_known_contact"],
        body["contact_language"],
        body["contact_id"],
    )


def deal_to_json(found: CompanyDeal | None) -> dict[str, Any]:
    """JSON values of a deal with its company's name; of a deal that is gone."""
    if found is None:
        return {"deal": None}
    company_name, deal = found
    return {"company_name": company_name, "company_id": deal.company_id, "deal": _deal_to_json(deal)}


def deal_from_json(body: Any, _known_at: datetime) -> CompanyDeal | None:
    """Read what `deal_to_json` wrote; errors as for `answer_from_json`."""
    if body["deal"] is None:
        return None
    return body["company_name"], _deal_from_json(body["deal"], body["company_id"])


def _deal_to_json(deal: Deal) -> list[Any]:
    # A list, times in microseconds: a company may have thousands, and they are read on the event loop.
    return [
        deal.id,
        deal.name,
        deal.state.value,
        list(deal.owners),
        deal.owners_gone,
        (deal.moved_at - _EPOCH) // _MICROSECOND,
        (deal.created_at - _EPOCH) // _MICROSECOND,
    ]


def _deal_from_json(body: Any, company_id: str) -> Deal:
    number, name, state, owners, gone, moved_at, created_at = body
    return Deal(
        number,
        name,
        company_id,
        _STATES[state],
        tuple(owners),
        _EPOCH + timedelta(microseconds=moved_at),
        _EPOCH + timedelta(microseconds=created_at),
        gone,
    )
