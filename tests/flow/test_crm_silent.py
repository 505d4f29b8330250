"""A CRM that does not say who the owners are: the mail waits, and not for ever; and what old answers leave behind."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flow.desk_samples import NOW, an_answer, decide, rulebook_of
from supportrelay.core.decision import Decision
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.directory import DirectoryAnswer
from supportrelay.core.errors import CrmDown
from supportrelay.core.mailbox import Mailbox
from supportrelay.flow.assess import CrmSilentError
from supportrelay.flow.compose import CopyOrder, Original, compose
from supportrelay.flow.examples import _office
from supportrelay.flow.journey import _ask_again_at


class Forgetful:
    """A directory that knows customers but not, just now, all owners."""

    async def find(self, customer: Mailbox) -> DirectoryAnswer:
        return an_answer(is_last_known=True)

    async def deal(self, deal_id: str) -> None:
        return None

    async def owners(self) -> frozenset[str]:
        raise CrmDown("connect timeout", retry_at=NOW + timedelta(seconds=7))


async def test_mail_waits_for_the_owners_as_for_the_customer(tmp_path: Path) -> None:
    book = rulebook_of(tmp_path, Forgetful())

    with pytest.raises(CrmSilentError) as silent:
        await decide(book, may_wait=True)
    assert silent.value.retry_at == NOW + timedelta(seconds=7)


async def test_in_the_end_it_goes_on_and_tells_so(tmp_path: Path) -> None:
    decision: Decision = (await decide(rulebook_of(tmp_path, Forgetful()), may_wait=False)).decision

    codes = [reason.code for reason in decision.reasons]
    assert codes[0] == "author.owners_unknown"
    assert "owners.last_known" in codes
    assert decision.owners == ("ann@staff.example",)
    assert decision.directory is not None
    assert decision.directory.is_last_known
    assert decision.copy is not None
    assert decision.copy.as_of == "2026-03-02T00:00:00Z"


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [
        pytest.param(None, 5, id="nobody-said"),
        pytest.param(0.1, 1, id="not-more-often-than-every-second"),
        pytest.param(9, 9, id="when-it-said"),
        pytest.param(3600, 60, id="not-longer-than-mail-may-wait"),
    ],
)
def test_when_a_silent_crm_is_asked_again(retry_after: float | None, waits: int) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    retry_at = None if retry_after is None else now + retry_after * SECOND

    assert _ask_again_at(retry_at, now, now + 60 * SECOND) == now + waits * SECOND


async def test_the_banner_says_from_when_the_owners_are(tmp_path: Path) -> None:
    book = rulebook_of(tmp_path, Forgetful())
    assigned = await decide(book, may_wait=False)
    octets = b"From: bob@acme.example\r\nTo: support@desk.test\r\nSubject: hello\r\n\r\nhello\r\n"
    facts, plan = assigned.assessment.facts, assigned.decision.copy
    original = Original("q", assigned.assessment.envelope, octets, facts, NOW, plan, 1)

    copy = compose(_office(book, NOW), book, original, CopyOrder(DeliveryKind.OWNER))

    assert b"SR-1 (O; as of 2026-03-02 00:00 UTC)" in copy.octets
