"""Was a mail sent twice, as two mails? Some programs give each try an id of its own (RULES_OF_MAIL 5.5).

The store only says that the same person wrote under the same subject some minutes ago. Here the two mails are compared;
that is rare, so that no key of any mail's content has to be made and kept for it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from supportrelay.core.content_key import content_key
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.reading import read_facts
from supportrelay.core.ticket import Hit, HitBy
from supportrelay.flow.assess import Assessment
from supportrelay.flow.office import Office
from supportrelay.flow.turns import is_quick

__all__ = ["only_the_same"]


async def only_the_same(office: Office, assessment: Assessment, octets: bytes) -> Assessment:
    """The assessment without the mails that only look as if they were this one.

    Raises:
        TransientFailure: The store cannot be read now.
    """
    hits = assessment.gathered.hits
    if not any(hit.by == HitBy.AGAIN for hit in hits):
        return assessment
    is_asked = not assessment.gathered.duplicate_of and not assessment.sight.is_automatic
    left = [
        hit
        for hit in hits
        if hit.by != HitBy.AGAIN or (is_asked and await _is_the_same(office, hit, assessment.facts, octets))
    ]
    return replace(assessment, gathered=replace(assessment.gathered, hits=tuple(left)))


async def _is_the_same(office: Office, hit: Hit, facts: Facts, octets: bytes) -> bool:
    try:
        earlier = await office.store.content(hit.queue_id)
    except KeyError:
        return False
    if is_quick(octets) and is_quick(earlier):
        return _are_the_same(facts, octets, earlier)
    return await asyncio.to_thread(_are_the_same, facts, octets, earlier)


def _are_the_same(facts: Facts, octets: bytes, earlier: bytes) -> bool:
    """Same author, people and parts; the subject is the same already, and dates and ways may differ."""
    other = read_facts(earlier)
    people = (facts.from_, facts.to, facts.cc), (other.from_, other.to, other.cc)
    return all(_keys(one) == _keys(two) for one, two in zip(*people, strict=True)) and (
        content_key(octets) == content_key(earlier)
    )


def _keys(mailboxes: Iterable[Mailbox]) -> set[str]:
    return {mailbox.key for mailbox in mailboxes}
