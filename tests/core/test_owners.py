"""Whose customer it is: the deal that counts and its owners (DESIGN 2, 'Owners')."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supportrelay.core.decision import Fallback
from supportrelay.core.directory import Company, Deal, DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.owners import OwnerChoice, choose_owners, owners_of_deals

NOW = datetime(2026, 3, 9, tzinfo=UTC)
ALL_STATES = (DealState.OPEN, DealState.WON, DealState.LOST)


def deal(number: int, *owners: str, state: str = "open", moved: int = 100, made: int = 200, gone: int = 0) -> Deal:
    """``moved`` and ``made`` in days before now."""
    return Deal(
        str(number),
        f"deal {number}",
        "1",
        DealState(state),
        tuple(f"{owner}@staff.test" for owner in owners),
        NOW - timedelta(days=moved),
        NOW - timedelta(days=made),
        owners_gone=gone,
    )


def company(*deals: Deal, number: int = 1) -> Company:
    return Company(str(number), f"company {number}", deals)


def choose(*companies: Company, **more: Any) -> OwnerChoice:
    answer = DirectoryAnswer(companies, MatchedBy.DOMAIN if companies else MatchedBy.NOTHING, "test", NOW)
    settings: dict[str, Any] = {
        "states": ALL_STATES,
        "choice": "latest",
        "is_ours": "ours@staff.test".__eq__,
        "absent": (),
    }
    return choose_owners(answer, **(settings | more))


def names(choice: OwnerChoice) -> list[str]:
    return [owner.partition("@")[0] for owner in choice.owners]


DEALS = [
    pytest.param([deal(1, "a", state="won"), deal(2, "b")], "2", id="open-before-won"),
    pytest.param([deal(1, "a", state="lost"), deal(2, "b", state="won")], "2", id="won-before-lost"),
    pytest.param([deal(1, "a", state="lost")], "1", id="lost-at-last"),
    pytest.param([deal(1, "a", moved=9), deal(2, "b", moved=5)], "2", id="whose-stage-moved-last"),
    pytest.param([deal(1, "a", moved=9), deal(2, moved=5)], "1", id="one-with-an-owner"),
    pytest.param([deal(1, "a", made=9), deal(2, "b", made=5)], "2", id="then-the-newest"),
    pytest.param([deal(10, "a"), deal(9, "b")], "9", id="then-the-lowest-id-by-number"),
    pytest.param([deal(1), deal(2, "b", state="won")], "1", id="an-open-deal-without-owner-is-still-the-one"),
]


@pytest.mark.parametrize(("deals", "chosen"), DEALS)
def test_which_deal_counts(deals: list[Deal], chosen: str) -> None:
    for order in (deals, deals[::-1]):
        assert choose(company(*order)).deal_id == chosen


def test_states_that_are_taken_out_do_not_count() -> None:
    choice = choose(company(deal(1, "a", state="won"), deal(2, "b", state="lost")), states=(DealState.OPEN,))

    assert (choice.owners, choice.fallback, choice.company_id) == ((), Fallback.NO_DEAL, "1")


def test_all_deals_of_the_best_state_when_wanted() -> None:
    choice = choose(company(deal(2, "b", "a"), deal(1, "a"), deal(3, "c", state="won")), choice="all")

    assert (names(choice), choice.deal_id) == (["a", "b"], "1,2")


FALLBACKS = [
    pytest.param((), {}, Fallback.UNKNOWN_COMPANY, id="unknown-company"),
    pytest.param((company(),), {}, Fallback.NO_DEAL, id="no-deal"),
    pytest.param((company(deal(1)),), {}, Fallback.NO_OWNER, id="no-owner"),
    pytest.param((company(deal(1, gone=2)),), {}, Fallback.NO_REACHABLE_OWNER, id="owners-who-left"),
    pytest.param((company(deal(1, "ours")),), {}, Fallback.NO_REACHABLE_OWNER, id="one-of-ours"),
    pytest.param((company(deal(1, "a")),), {"absent": {"a@staff.test"}}, Fallback.NO_REACHABLE_OWNER, id="absent"),
]


@pytest.mark.parametrize(("companies", "more", "fallback"), FALLBACKS)
def test_why_allmember(companies: tuple[Company, ...], more: dict[str, Any], fallback: Fallback) -> None:
    choice = choose(*companies, **more)

    assert (choice.owners, choice.fallback) == ((), fallback)
    assert choice.reasons


def test_who_cannot_be_reached_gives_way_to_the_others() -> None:
    choice = choose(company(deal(1, "a", "ours", "c", "B", gone=1)), absent={"a@staff.test"})

    assert names(choice) == ["c", "B"]
    assert {"owners.absent", "owners.is_ours"} <= {r.code for r in choice.reasons}


def test_several_companies_give_owners_of_all_with_a_usable_deal_at_most_four() -> None:
    choice = choose(
        company(deal(1, "a", "b"), number=1),
        company(number=2),
        company(deal(3), number=3),
        company(deal(4, "b", "c", "d", "e"), number=4),
    )

    assert names(choice) == ["a", "b", "c", "d"]
    assert (choice.company_id, choice.deal_id) == ("1,4", "1,4")
    assert {"owners.several_companies", "owners.cut_to_four"} <= {r.code for r in choice.reasons}


def test_of_several_companies_without_a_usable_deal_the_reason_is_the_best_ones() -> None:
    choice = choose(company(number=1), company(deal(2), number=2))

    assert (choice.company_id, choice.fallback) == ("2", Fallback.NO_OWNER)


def test_a_ticket_keeps_its_deals_with_their_owners_of_now() -> None:
    choice = owners_of_deals(
        [("ACME", deal(1, "new", state="lost")), ("ACME", deal(2, "b"))],
        is_ours=lambda key: False,
        absent={"b@staff.test"},
    )

    assert (names(choice), choice.deal_id, choice.company_name) == (["new"], "1,2", "ACME")


# --- last known answers


def test_a_current_answer_says_where_it_is_from_and_warns_of_nothing() -> None:
    choice = choose(company(deal(1, "a")))

    assert (choice.source, choice.known_at, choice.as_of) == ("test", NOW, None)
    assert "owners.last_known" not in {reason.code for reason in choice.reasons}


@pytest.mark.parametrize("companies", [(company(deal(1, "a")),), (company(),), ()], ids=["owner", "no-deal", "nobody"])
def test_an_answer_of_a_crm_that_is_down_says_from_when_it_is(companies: tuple[Company, ...]) -> None:
    matched_by = MatchedBy.DOMAIN if companies else MatchedBy.NOTHING
    answer = DirectoryAnswer(companies, matched_by, "hubspot", NOW, is_last_known=True)

    choice = choose_owners(answer, states=ALL_STATES, choice="latest", is_ours=lambda _: False, absent=())

    assert choice.as_of == choice.known_at == NOW
    assert choice.reasons[0].to_json() == {
        "code": "owners.last_known",
        "at": "2026-03-09T00:00:00Z",
        "source": "hubspot",
    }


def test_the_deals_that_a_ticket_keeps_are_as_old_as_the_oldest() -> None:
    kept = [
        ("A", deal(1, "a")),
        ("A", replace(deal(2, "b"), as_of=NOW - timedelta(hours=1))),
        ("A", replace(deal(3, "c"), as_of=NOW - timedelta(hours=2))),
    ]

    choice = owners_of_deals(kept, is_ours=lambda _: False, absent=(), source="hubspot", known_at=NOW)
    assert (choice.source, choice.known_at, choice.as_of) == ("hubspot", NOW - timedelta(hours=2), choice.known_at)
    current = owners_of_deals(kept[:1], is_ours=lambda _: False, absent=(), source="hubspot", known_at=NOW)
    assert (current.known_at, current.as_of) == (NOW, None)
