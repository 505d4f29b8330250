"""What a CRM said is remembered: asked seldom, for many at once, and good for something when it is silent."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from supportrelay.core.crm_ports import CrmMemory
from supportrelay.core.directory import Company, Deal, DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.errors import CrmDown, CrmRefusal, TransientFailure
from supportrelay.core.mailbox import Mailbox, parse_path
from supportrelay.edge.crm.remembering import RememberingDirectory
from supportrelay.edge.store import SqliteStore

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANN, BOB, EVE = parse_path("ann@acme.example"), parse_path("bob@acme.example"), parse_path("eve@other.example")


class Clock:
    def __init__(self) -> None:
        self.at = T0

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class FakeCrm:
    """A CRM with one company a domain; counts what it was asked, fails or hangs as it is told to."""

    kind = "fake"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.companies = {"acme.example": Company("7", "Acme", (a_deal("D1"), a_deal("D2")))}
        self.loose_deals = {"D9": ("Loose", a_deal("D9", company_id="9"))}
        self.staff = frozenset({"mori@relay.test"})
        self.calls: list[tuple[str, ...]] = []
        self.failure: Exception | None = None
        self.poison = ""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()
        self.is_closed = False

    async def _asked(self, *what: str) -> None:
        self.calls.append(what)
        self.was_asked.set()
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        if self.poison in what:
            raise CrmRefusal("not an address", status=400)

    async def look_up(self, customers: Sequence[Mailbox]) -> Mapping[str, DirectoryAnswer]:
        assert 0 < len(customers) <= 100
        await self._asked("look_up", *(customer.key for customer in customers))
        return {customer.key: self._answer(customer.domain) for customer in customers}

    def _answer(self, domain: str) -> DirectoryAnswer:
        company = self.companies.get(domain)
        if company is None:
            return DirectoryAnswer((), MatchedBy.NOTHING, self.kind, self.clock())
        return DirectoryAnswer((company,), MatchedBy.DOMAIN, self.kind, self.clock())

    async def deals(self, deal_ids: Sequence[str]) -> Mapping[str, tuple[str, Deal]]:
        await self._asked("deals", *deal_ids)
        known = {deal.id: (one.name, deal) for one in self.companies.values() for deal in one.deals} | self.loose_deals
        return {deal_id: known[deal_id] for deal_id in deal_ids if deal_id in known}

    async def owners(self) -> frozenset[str]:
        await self._asked("owners")
        return self.staff

    async def aclose(self) -> None:
        self.is_closed = True


def a_deal(deal_id: str, **values: Any) -> Deal:
    known: dict[str, Any] = {
        "id": deal_id,
        "name": f"Deal {deal_id}",
        "company_id": "7",
        "state": DealState.OPEN,
        "owners": ("Mori@relay.test", "ann.o@relay.test"),
        "moved_at": T0 - timedelta(days=1, microseconds=7),
        "created_at": T0 - timedelta(days=90),
        "owners_gone": 1,
    }
    return Deal(**(known | values))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crm(clock: Clock) -> FakeCrm:
    return FakeCrm(clock)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


@pytest.fixture
async def directory(crm: FakeCrm, store: SqliteStore, clock: Clock) -> AsyncIterator[RememberingDirectory]:
    made = a_directory(crm, store, clock)
    yield made
    crm.may_answer.set()
    await made.aclose()


def a_directory(crm: FakeCrm, memory: CrmMemory, clock: Clock, **values: Any) -> RememberingDirectory:
    return RememberingDirectory(
        crm, memory, cache_for=timedelta(minutes=5), now=clock, **({"patience_s": 2.0, "gather_s": 0.005} | values)
    )


async def settled(directory: RememberingDirectory) -> None:
    """Everything asked for is answered and kept."""
    for questions in (directory._ask_customers, directory._ask_deals, directory._ask_owners):
        while questions._rounds or questions._gathered:
            await asyncio.gather(*questions._rounds)
            await asyncio.sleep(0)


# --- the cache


async def test_a_known_customers_mail_costs_no_call(
    crm: FakeCrm, directory: RememberingDirectory, store: SqliteStore, clock: Clock
) -> None:
    """Customer, the ticket's deal and owners; also in another worker, and after a restart."""
    answer = await directory.find(ANN)
    assert answer == DirectoryAnswer((crm.companies["acme.example"],), MatchedBy.DOMAIN, "fake", T0)
    await directory.owners()
    await settled(directory)
    crm.calls.clear()

    clock.forward(299)
    for worker in (directory, a_directory(crm, store, clock)):
        assert await worker.find(ANN) == answer
        assert await worker.deal("D1") == ("Acme", a_deal("D1"))
        assert await worker.owners() == {"mori@relay.test"}
    assert crm.calls == []

    clock.forward(2)
    assert (await directory.find(ANN)).known_at == clock()
    assert crm.calls == [("look_up", ANN.key)]


async def test_a_kept_answer_is_read_once_and_then_only_looked_at(
    crm: FakeCrm, directory: RememberingDirectory, store: SqliteStore, clock: Clock
) -> None:
    """A company may have thousands of deals; each mail would read them all."""
    first = await directory.find(ANN)
    kept = store.recall("customer", ANN.key)
    assert kept is not None
    assert store.stamp("customer", ANN.key) == (kept.known_at, kept.expires_at) == (T0, T0 + timedelta(minutes=5))
    assert store.stamp("customer", BOB.key) is None

    assert await directory.find(ANN) is first
    other_worker = a_directory(crm, store, clock)
    assert await other_worker.find(ANN) is await other_worker.find(ANN)


async def test_many_of_the_same_moment_are_asked_for_in_one(crm: FakeCrm, directory: RememberingDirectory) -> None:
    answers = await asyncio.gather(*(directory.find(one) for one in (ANN, BOB, EVE, ANN)))

    assert crm.calls == [("look_up", ANN.key, BOB.key, EVE.key)]
    assert [len(answer.companies) for answer in answers] == [1, 1, 0, 1]


async def test_long_answers_are_kept_bit_by_bit(
    crm: FakeCrm, store: SqliteStore, directory: RememberingDirectory
) -> None:
    """A hundred people of a company with many deals: the event loop is not stopped for all of them at once."""
    crm.companies["acme.example"] = Company("7", "Acme", tuple(a_deal(f"D{n}") for n in range(500)))
    commits = store.commits

    await asyncio.gather(*(directory.find(parse_path(f"u{n}@acme.example")) for n in range(100)))

    assert len(crm.calls) == 1
    assert store.commits - commits > 5
    kept = [store.recall("customer", f"u{n}@acme.example") for n in range(100)]
    assert all(one is not None and len(one.body["companies"][0]["deals"]) == 500 for one in kept)


async def test_at_most_a_hundred_are_asked_for_at_once(crm: FakeCrm, directory: RememberingDirectory) -> None:
    many = [parse_path(f"u{n}@acme.example") for n in range(250)]

    assert all(await asyncio.gather(*(directory.find(one) for one in many)))
    assert [len(call) - 1 for call in crm.calls] == [100, 100, 50]


async def test_whoever_asks_while_it_is_being_asked_gets_that_answer(
    crm: FakeCrm, directory: RememberingDirectory
) -> None:
    crm.may_answer.clear()
    first = asyncio.ensure_future(directory.find(ANN))
    await crm.was_asked.wait()
    second = asyncio.ensure_future(directory.find(ANN))
    await asyncio.sleep(0)
    crm.may_answer.set()

    assert await first == await second
    assert len(crm.calls) == 1


async def test_nobody_is_asked_about_again_after_a_minute(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    """A company made in the CRM just now shall be found soon."""
    assert not (await directory.find(EVE)).companies
    await settled(directory)
    clock.forward(59)
    assert not (await directory.find(EVE)).companies
    assert len(crm.calls) == 1

    crm.companies["other.example"] = Company("8", "Other")
    clock.forward(2)
    assert (await directory.find(EVE)).companies[0].name == "Other"


async def test_a_deal_outside_the_customers_answer_is_remembered_by_itself(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    found, gone = await asyncio.gather(directory.deal("D9"), directory.deal("D404"))
    assert found == ("Loose", a_deal("D9", company_id="9"))
    assert gone is None
    await settled(directory)
    assert crm.calls == [("deals", "D9", "D404")]

    assert await directory.deal("D9") is not None
    assert await directory.deal("D404") is None
    assert len(crm.calls) == 1
    clock.forward(61)
    await directory.deal("D404")
    assert crm.calls[1:] == [("deals", "D404")]


async def test_a_deal_that_left_its_company_is_asked_for(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    await directory.find(ANN)
    await settled(directory)
    crm.companies["acme.example"] = Company("7", "Acme", (a_deal("D1"),))
    clock.forward(301)
    await directory.find(ANN)
    await settled(directory)

    assert await directory.deal("D2") is None
    assert crm.calls[-1] == ("deals", "D2")
    assert await directory.deal("D1") == ("Acme", a_deal("D1"))


# --- a silent CRM


async def test_the_last_known_answer_stands_in_while_the_crm_is_down(
    crm: FakeCrm, directory: RememberingDirectory, store: SqliteStore, clock: Clock
) -> None:
    await directory.find(ANN)
    await directory.deal("D9")
    await directory.owners()
    await settled(directory)
    crm.failure = CrmDown("503")
    clock.forward(7200)

    for worker in (directory, a_directory(crm, store, clock)):
        answer = await worker.find(ANN)
        assert (answer.is_last_known, answer.known_at, answer.companies[0].name) == (True, T0, "Acme")
        assert await worker.deal("D1") == ("Acme", a_deal("D1", as_of=T0))
        assert await worker.deal("D9") == ("Loose", a_deal("D9", company_id="9", as_of=T0))
        assert await worker.owners() == {"mori@relay.test"}


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(CrmDown("503"), id="down"),
        pytest.param(CrmRefusal("no such property"), id="refused"),
        pytest.param(TransientFailure("4.4.1", "weather"), id="weather"),
        pytest.param(KeyError("results"), id="a mistake of ours"),
    ],
)
async def test_without_a_last_known_answer_the_mail_comes_again(
    crm: FakeCrm, directory: RememberingDirectory, failure: Exception
) -> None:
    crm.failure = failure

    for question in (directory.find(ANN), directory.deal("D1"), directory.owners()):
        with pytest.raises(CrmDown):
            await question
    crm.failure = None
    assert (await directory.find(ANN)).companies


async def test_a_last_known_nobody_holds_for_an_hour_only(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    """Somebody who has become a customer must not be sent to Allmember by what the CRM said yesterday."""
    await directory.find(EVE)
    await settled(directory)
    crm.failure = CrmDown("503")
    clock.forward(3600)
    assert (await directory.find(EVE)).is_last_known

    clock.forward(1)
    with pytest.raises(CrmDown):
        await directory.find(EVE)


async def test_a_last_known_gone_deal_is_still_gone(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    assert await directory.deal("D404") is None
    await settled(directory)
    crm.failure = CrmDown("503")
    clock.forward(86_400)

    assert await directory.deal("D404") is None


async def test_a_slow_answer_is_not_waited_for_and_is_kept_when_it_comes(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    await directory.find(ANN)
    await settled(directory)
    clock.forward(301)
    crm.may_answer.clear()
    crm.companies["acme.example"] = Company("7", "Acme KK")

    late = await directory.find(ANN)
    assert (late.is_last_known, late.known_at, late.companies[0].name) == (True, T0, "Acme")
    crm.may_answer.set()
    await settled(directory)

    assert (await directory.find(ANN)).companies[0].name == "Acme KK"
    assert len(crm.calls) == 2


async def test_a_first_question_is_given_up_by_the_mail_but_not_by_us(
    crm: FakeCrm, store: SqliteStore, clock: Clock
) -> None:
    directory = a_directory(crm, store, clock, longest_s=0.02)
    crm.may_answer.clear()
    with pytest.raises(CrmDown, match=r"no answer within 0\.02 s"):
        await directory.find(ANN)
    crm.may_answer.set()
    await settled(directory)

    assert (await directory.find(ANN)).companies
    assert len(crm.calls) == 1


async def test_a_crm_that_hangs_is_not_waited_for_as_long_again(crm: FakeCrm, store: SqliteStore, clock: Clock) -> None:
    """A mail asks again and again until it may wait no longer; each time for ten seconds would make it late."""
    directory = a_directory(crm, store, clock, patience_s=0.01, longest_s=1)

    async def told(address: str) -> str:
        with pytest.raises(CrmDown) as silent:
            await directory.find(parse_path(address))
        clock.forward(5)
        return silent.value.cause

    crm.may_answer.clear()
    assert await told("new@acme.example") == "no answer within 1 s"
    assert [await told(f"{one}@acme.example") for one in ("other", "new")] == ["no answer within 0.01 s"] * 2
    clock.forward(31)
    assert await told("new@acme.example") == "no answer within 1 s", "half a minute is over: it may be back"

    crm.may_answer.set()
    await settled(directory)
    assert (await directory.find(parse_path("third@acme.example"))).source == crm.kind
    crm.may_answer.clear()
    assert await told("fourth@acme.example") == "no answer within 1 s", "it answered: it gets its time again"
    crm.may_answer.set()
    await directory.aclose()


async def test_one_address_that_is_refused_does_not_spoil_the_others(
    crm: FakeCrm, directory: RememberingDirectory
) -> None:
    many = [parse_path(f"u{n}@acme.example") for n in range(100)]
    crm.poison = many[77].key
    answers = await asyncio.gather(*(directory.find(one) for one in many), return_exceptions=True)

    assert [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)] == [77]
    assert isinstance(answers[77], CrmDown)
    assert len(crm.calls) <= 15


async def test_when_all_is_refused_alike_it_is_not_asked_for_one_by_one(
    crm: FakeCrm, directory: RememberingDirectory
) -> None:
    crm.failure = CrmRefusal("no such property")
    many = [parse_path(f"u{n}@acme.example") for n in range(100)]
    answers = await asyncio.gather(*(directory.find(one) for one in many), return_exceptions=True)

    assert all(isinstance(answer, CrmDown) for answer in answers)
    assert len(crm.calls) == 3


async def test_owners_are_asked_for_behind_and_never_waited_for(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    await directory.owners()
    await settled(directory)
    crm.staff = frozenset({"new@relay.test"})
    clock.forward(301)

    assert await directory.owners() == {"mori@relay.test"}
    await settled(directory)
    assert await directory.owners() == {"new@relay.test"}
    assert crm.calls == [("owners",)] * 2


async def test_what_an_older_version_kept_and_we_cannot_read_counts_as_nothing(
    crm: FakeCrm, directory: RememberingDirectory, store: SqliteStore, clock: Clock
) -> None:
    later = clock() + timedelta(minutes=5)
    for kind, key in (("customer", ANN.key), ("deal", "D1"), ("owners", "all")):
        await store.remember(kind, {key: {"companies": [{"id": 7}], "deal": 5}}, clock(), later)

    assert (await directory.find(ANN)).companies
    assert await directory.deal("D1") is not None
    assert await directory.owners()
    assert [call[0] for call in crm.calls] == ["look_up", "owners"]


async def test_what_another_crm_said_counts_as_nothing(
    crm: FakeCrm, directory: RememberingDirectory, store: SqliteStore, clock: Clock
) -> None:
    await directory.find(ANN)
    await settled(directory)
    crm.kind = "other"
    other = a_directory(crm, store, clock)

    assert (await other.find(ANN)).source == "other"
    assert len(crm.calls) == 2


# --- refreshing and forgetting


async def test_what_is_used_is_refreshed_before_it_is_old(
    crm: FakeCrm, directory: RememberingDirectory, store: SqliteStore, clock: Clock
) -> None:
    await asyncio.gather(directory.find(ANN), directory.find(EVE), directory.deal("D9"))
    await directory.find(BOB)
    await settled(directory)
    clock.forward(100)
    await asyncio.gather(directory.find(ANN), directory.deal("D9"))
    other_worker = a_directory(crm, store, clock)
    await other_worker.find(ANN)
    crm.calls.clear()

    clock.forward(139)
    assert await directory.refresh() == 0
    clock.forward(1)
    assert await directory.refresh() == 2
    assert crm.calls == [("look_up", ANN.key), ("deals", "D9")]
    assert await other_worker.refresh() == 0
    clock.forward(240)
    assert await directory.refresh() == 0  # nobody used them since
    assert (await directory.find(ANN)).known_at == clock() - timedelta(seconds=240)


async def test_a_deal_that_went_is_remembered_as_gone_by_the_refresh(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    await directory.deal("D9")
    await settled(directory)
    clock.forward(1)
    await directory.deal("D9")
    crm.loose_deals.clear()
    clock.forward(240)
    await directory.refresh()

    assert await directory.deal("D9") is None
    assert [call[0] for call in crm.calls] == ["deals", "deals"]


async def test_refreshing_goes_on_after_the_crm_was_down(
    crm: FakeCrm, directory: RememberingDirectory, clock: Clock
) -> None:
    await directory.find(ANN)
    await settled(directory)
    clock.forward(250)
    await directory.find(ANN)
    crm.failure = CrmDown("503")
    assert await directory.refresh() == 0
    crm.failure = None
    assert await directory.refresh() == 1


async def test_the_refresh_uses_the_lane_in_the_background(crm: FakeCrm, store: SqliteStore, clock: Clock) -> None:
    slowly = FakeCrm(clock)
    directory = a_directory(crm, store, clock, background=slowly)
    await directory.find(ANN)
    await settled(directory)
    clock.forward(250)
    await directory.find(ANN)

    assert await directory.refresh() == 1
    assert (len(crm.calls), len(slowly.calls)) == (1, 1)


async def test_forgetting_a_domain_asks_again_in_all_workers(
    crm: FakeCrm, directory: RememberingDirectory, store: SqliteStore, clock: Clock
) -> None:
    below, beside = parse_path("x@mail.acme.example"), parse_path("x@notacme.example")
    crm.companies |= {"mail.acme.example": Company("7", "Acme"), "notacme.example": Company("8", "Not Acme")}
    other_worker = a_directory(crm, store, clock)
    for one in (ANN, below, beside):
        await directory.find(one)
        await settled(directory)
        await other_worker.find(one)
    crm.calls.clear()

    assert await directory.forget("acme.example") == 2
    for one in (ANN, below, beside):
        await other_worker.find(one)
    assert crm.calls == [("look_up", ANN.key), ("look_up", below.key)]
    assert await directory.forget() == 3


async def test_stopping_lets_go_of_whoever_waits(crm: FakeCrm, store: SqliteStore, clock: Clock) -> None:
    directory = a_directory(crm, store, clock)
    directory.start()
    crm.may_answer.clear()
    waiting = asyncio.ensure_future(directory.find(ANN))
    await crm.was_asked.wait()
    gathered = asyncio.ensure_future(directory.find(BOB))
    await asyncio.sleep(0)
    await directory.aclose()

    for one in (waiting, gathered):
        with pytest.raises(CrmDown):
            await one
    assert crm.is_closed
