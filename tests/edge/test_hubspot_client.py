"""Calls as such: what goes out, what comes back, what each refusal means for the calls after it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge.gate_fake import GateFake
from edge.http_stub import Asked, HttpStub, Said, say
from edge.hubspot_samples import T0, TOKEN, Asking, an_error, asking, down, refused
from supportrelay.edge.crm.hubspot.client import Lane
from supportrelay.edge.crm.hubspot.errors import limited_until, read_complaint, retry_after
from supportrelay.edge.crm.hubspot.paths import Paths

PATHS = Paths("2026-03")
OWNERS = PATHS.owners()
TICKET = PATHS.record("tickets", "501")
TICKETS = PATHS.objects("tickets")
SEARCH = PATHS.search("companies")
BOTH = ["hubspot", "hubspot:search"]


def always(said: Said) -> HttpStub:
    return HttpStub(lambda _asked: said)


async def get(here: Asking, path: str = TICKET, lane: Lane = Lane.TICKETS) -> Any:
    return await here.client.request("GET", path, lane=lane)


async def closed_gates(here: Asking) -> dict[str, timedelta]:
    """Gates that are closed now, and for how long."""
    names = dict.fromkeys(name for name, _, _ in here.gate.closings)
    states = {name: (await here.gate.gate(name)).closed_until for name in names}
    return {name: until - here.clock() for name, until in states.items() if until and until > here.clock()}


# --- what goes out and comes back ------------------------------------------------------------------------------------


async def test_a_call_goes_out_as_it_was_asked_for() -> None:
    async with always(say(200, {"results": [{"id": "1"}, "junk"]})) as stub, asking(stub) as here:
        answer = await here.client.request(
            "POST",
            PATHS.record("tickets", "a/b c"),
            json={"subject": "対応中 \ud83d"},
            params={"idProperty": "relay_thread_key", "archived": False, "limit": 5, "after": None},
            lane=Lane.TICKETS,
        )

    asked = stub.asked[0]
    assert asked.target == "/crm/objects/2026-03/tickets/a%2Fb%20c?idProperty=relay_thread_key&archived=false&limit=5"
    assert asked.json == {"subject": "対応中 ?"}
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["user-agent"].startswith("supportrelay/")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["accept-encoding"] == "gzip"
    assert (answer.status, answer.results) == (200, [{"id": "1"}])
    assert here.client.calls == {"POST /crm/objects/2026-03/tickets/{id}": 1}


async def test_connections_are_kept() -> None:
    async with always(say(200)) as stub, asking(stub) as here:
        for _ in range(5):
            await get(here)

    assert stub.connections == 1


async def test_cookies_are_not_kept() -> None:
    async with always(say(200, headers={"Set-Cookie": "__cf_bm=x; Path=/"})) as stub, asking(stub) as here:
        await get(here)
        await get(here)

    assert "cookie" not in stub.asked[1].headers


async def test_limits_are_read_from_the_headers() -> None:
    headers = {
        "X-HubSpot-RateLimit-Daily-Remaining": "9",
        "X-HubSpot-RateLimit-Daily": "10",
        "X-HubSpot-RateLimit-Max": "x",
    }
    async with always(say(200, headers=headers)) as stub, asking(stub) as here:
        answer = await get(here)

    assert answer.limits == {"daily-remaining": 9, "daily": 10}


async def test_an_answer_in_parts_has_errors() -> None:
    body = {"results": [{"id": "1"}], "numErrors": 1, "errors": [{"status": "error", "context": {"ids": ["2"]}}, 3]}
    async with always(say(207, body)) as stub, asking(stub) as here:
        answer = await here.client.request("POST", PATHS.batch_read("deals"), json={}, lane=Lane.MAIL)

    assert answer.status == 207
    assert answer.results == [{"id": "1"}]
    assert answer.errors == [{"status": "error", "context": {"ids": ["2"]}}]


@pytest.mark.parametrize(("method", "said"), [("DELETE", say(204)), ("PUT", say(200, b""))])
async def test_an_answer_may_have_no_content(method: str, said: bytes) -> None:
    path = PATHS.associate("tickets", "1", "companies", "2")
    async with always(said) as stub, asking(stub) as here:
        answer = await here.client.request(method, path, lane=Lane.TICKETS)

    assert answer.body == {}


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 415, 422])
async def test_a_refusal_tells_what_hubspot_said(status: int) -> None:
    error = an_error(
        f"Property values were not valid\x1b {TOKEN}",
        errors=[
            {"message": "5 is taken", "code": "CONFLICTING_UNIQUE_VALUE", "context": {"propertyName": ["relay_key"]}},
            "junk",
            {"message": None, "code": 7, "in": "stage"},
        ],
    )
    async with always(say(status, error)) as stub, asking(stub) as here:
        with refused() as caught:
            await here.client.request("POST", TICKETS, json={}, lane=Lane.TICKETS)

    assert caught[0].http_status == status
    assert caught[0].category == "VALIDATION_ERROR"
    assert caught[0].cause == (
        f"POST /crm/objects/2026-03/tickets: {status} VALIDATION_ERROR; Property values were not valid ***; "
        "CONFLICTING_UNIQUE_VALUE 5 is taken [propertyName: relay_key]; in stage (correlationId c0ffee-17)"
    )
    assert here.client.faults == {"refused": 1}
    assert here.gate.closings == []


async def test_a_long_refusal_is_cut_and_keeps_its_correlation_id() -> None:
    async with always(say(400, an_error("x " * 100_000))) as stub, asking(stub) as here:
        with refused() as caught:
            await get(here)

    assert len(caught[0].cause) < 600
    assert caught[0].cause.endswith("… (correlationId c0ffee-17)")


@pytest.mark.parametrize("status", [413, 414, 431])
async def test_too_big_is_a_refusal_whoever_says_it(status: int) -> None:
    async with always(say(status, b"<html>Request-URI Too Large</html>")) as stub, asking(stub) as here:
        with refused() as caught:
            await get(here)

    assert caught[0].http_status == status


@pytest.mark.parametrize(
    "body", [b"<html><h1>404 Not Found</h1>", b"", b"[]", b"{}"], ids=["html", "empty", "list", "bare"]
)
@pytest.mark.parametrize("status", [400, 404, 410])
async def test_a_refusal_that_is_not_hubspots_is_none(status: int, body: bytes) -> None:
    """A misrouted call must not look like a ticket that was deleted."""
    async with always(say(status, body)) as stub, asking(stub) as here:
        with down() as caught:
            await get(here)

    assert caught[0].cause.startswith(f"GET /crm/objects/2026-03/tickets/{{id}}: {status}")


# --- refusals that close something -----------------------------------------------------------------------------------


RATE = {
    "status": "error",
    "message": "You have reached your limit.",
    "errorType": "RATE_LIMIT",
    "correlationId": "c-429",
}


@pytest.mark.parametrize(
    ("path", "body", "headers", "gates", "seconds"),
    [
        pytest.param(TICKET, {"policyName": "TEN_SECONDLY_ROLLING"}, {}, ["hubspot"], 10, id="ten seconds"),
        pytest.param(TICKET, {}, {}, ["hubspot"], 10, id="no policy"),
        pytest.param(TICKET, {"policyName": "SECONDLY"}, {}, ["hubspot"], 1, id="secondly"),
        pytest.param(SEARCH, {}, {}, ["hubspot:search"], 1, id="search"),
        pytest.param(SEARCH, {"policyName": "TEN_SECONDLY_ROLLING"}, {}, BOTH, 10, id="search meets the general limit"),
        pytest.param(TICKET, {"policyName": "DAILY"}, {}, BOTH, 3600, id="day"),
        pytest.param(TICKET, {"policyName": "DAILY"}, {"Retry-After": "40"}, BOTH, 40, id="retry-after wins"),
        pytest.param(TICKET, {}, {"Retry-After": "Sun, 22 Nov 2026 10:00:30 GMT"}, ["hubspot"], 30, id="a date"),
        pytest.param(TICKET, {}, {"Retry-After": "9999999"}, ["hubspot"], 3_600, id="an hour at most"),
        pytest.param(TICKET, {}, {"Retry-After": "soon"}, ["hubspot"], 10, id="nonsense"),
    ],
)
async def test_too_many_calls_close_the_gate_for_everybody(
    path: str, body: dict[str, str], headers: dict[str, str], gates: list[str], seconds: int
) -> None:
    async with always(say(429, RATE | body, headers)) as stub, asking(stub) as here:
        method = "POST" if path == SEARCH else "GET"
        with down() as caught:
            await here.client.request(method, path, json={}, lane=Lane.MAIL)
        with down() as again:
            await here.client.request(method, path, json={}, lane=Lane.MAIL)

        assert await closed_gates(here) == dict.fromkeys(gates, timedelta(seconds=seconds))
    assert caught[0].retry_at == again[0].retry_at == T0 + timedelta(seconds=seconds)
    assert (caught[0].is_closed, again[0].is_closed) == (False, True)
    assert "c-429" in caught[0].cause
    assert len(stub.asked) == 1


def test_the_day_ends_where_the_account_is() -> None:
    """15:00 UTC is midnight in Tokyo."""
    daily = read_complaint({"policyName": "DAILY"}, {})

    def until(now: datetime, zone: str) -> datetime:
        return limited_until(daily, {}, is_search=False, now=now, zone=ZoneInfo(zone))

    late = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
    assert until(late, "Asia/Tokyo") == late + timedelta(minutes=30)
    assert until(late, "UTC") == late + timedelta(hours=1)


@pytest.mark.parametrize(
    "value", ["", "-1", "1e9", "Sun, 99 Nov 2026 10:00:30 GMT", "Sun, 22 Nov 99999 10:00:30 GMT", "٣"]
)
def test_a_retry_after_that_says_nothing_is_none(value: str) -> None:
    assert retry_after({"retry-after": value}, T0) is None


@pytest.mark.parametrize("value", ["0", "Sun, 22 Nov 2020 10:00:30 GMT"])
def test_a_retry_after_in_the_past_is_a_second(value: str) -> None:
    assert retry_after({"retry-after": value}, T0) == T0 + timedelta(seconds=1)


async def test_a_locked_record_is_left_alone_for_two_seconds() -> None:
    async with always(say(423, an_error())) as stub, asking(stub) as here:
        with down() as caught:
            await get(here)

    assert caught[0].retry_at == T0 + timedelta(seconds=2)
    assert here.gate.closings == []


async def test_an_account_on_its_way_is_left_alone_as_long_as_it_asks() -> None:
    async with always(say(477, an_error(), {"Retry-After": "600"})) as stub, asking(stub) as here:
        with down() as caught:
            await get(here)

        assert await closed_gates(here) == dict.fromkeys(BOTH, timedelta(seconds=600))
    assert caught[0].retry_at == T0 + timedelta(seconds=600)


async def test_a_refused_token_closes_everything_and_is_told_once() -> None:
    """RELIABILITY F21: circuit open and alarm, no retry burn; and it ends by itself when the token is good again."""
    said = [say(401, an_error(f"Authentication credentials {TOKEN} not found", "INVALID_AUTHENTICATION"))]
    async with HttpStub(lambda _asked: said[0]) as stub, asking(stub) as here:
        with down() as caught:
            await get(here)
        for lane in Lane:
            with down() as closed:
                await get(here, OWNERS, lane)
            assert closed[0].is_closed
        assert await closed_gates(here) == dict.fromkeys(BOTH, timedelta(minutes=5))
        assert len(stub.asked) == 1

        here.clock.pass_(301)
        with down():
            await get(here)
        assert len(stub.asked) == 2
        assert len(here.events("crm.token_refused")) == 1

        said[0] = say(200)
        here.clock.pass_(301)
        await get(here)
        assert await closed_gates(here) == {}
        assert here.events("crm.token_refused")[0]["log_level"] == "error"
    assert "token refused (401)" in caught[0].cause
    assert caught[0].retry_at == T0 + timedelta(minutes=5)


def scoped(asked: Asked) -> bytes:
    if "/emails" not in asked.target:
        return say(200)
    error = {"message": "needed", "context": {"requiredGranularScopes": ["crm.objects.emails.write", 5]}}
    return say(403, an_error("This app hasn't been granted all required scopes", "MISSING_SCOPES", errors=[error]))


async def test_a_missing_scope_closes_only_the_calls_that_need_it() -> None:
    async with HttpStub(scoped) as stub, asking(stub) as here:
        emails = PATHS.objects("emails")
        with down() as caught:
            await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)
        with down() as again:
            await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)
        await get(here)

        assert await closed_gates(here) == {"hubspot:emails.write": timedelta(minutes=5)}
        assert len(stub.asked) == 2
        assert [line["scopes"] for line in here.events("crm.scope_missing")] == [["crm.objects.emails.write"]]

        # Another process, or this one after a restart.
        async with asking(stub, gate=here.gate) as there:
            with down() as elsewhere:
                await there.client.request("POST", emails, json={}, lane=Lane.TICKETS)
            with down():
                await there.client.request("POST", emails, json={}, lane=Lane.TICKETS)
        assert len(stub.asked) == 2

        stub.answer = lambda _asked: say(201)
        await here.gate.reopen("hubspot:emails.write")
        await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)
        await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)
    assert "scopes needed: crm.objects.emails.write" in caught[0].cause
    assert (caught[0].is_closed, again[0].is_closed, elsewhere[0].is_closed) == (False, True, True)
    assert caught[0].retry_at == again[0].retry_at == elsewhere[0].retry_at == T0 + timedelta(minutes=5)


async def test_whoever_adds_a_scope_reopens_what_another_process_shut() -> None:
    """Setting up and the daemon are processes of their own."""
    async with HttpStub(scoped) as stub, asking(stub) as here:
        emails = PATHS.objects("emails")
        with down():
            await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)
        stub.answer = lambda _asked: say(201)
        async with asking(stub, gate=here.gate) as there:
            await there.client.reopen()
            await there.client.request("POST", emails, json={}, lane=Lane.TICKETS)
        await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)


async def test_a_scope_given_meanwhile_is_found_out_without_anybody_saying_so() -> None:
    async with HttpStub(scoped) as stub, asking(stub) as here:
        emails = PATHS.objects("emails")
        with down():
            await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)
        stub.answer = lambda _asked: say(201)
        here.clock.pass_(301)
        assert (await here.client.request("POST", emails, json={}, lane=Lane.TICKETS)).status == 201


def test_scopes_are_found_in_whatever_form_they_are_told() -> None:
    errors: list[Any] = [{"context": {"requiredScopes": ["contacts"]}}, {"context": None}, None]
    assert read_complaint({"errors": errors}, {}).scopes == ("contacts",)
    message = "This app needs one of crm.objects.owners.read, tickets or more."
    assert read_complaint({"message": message}, {}).scopes == ("crm.objects.owners.read", "tickets")
    assert read_complaint({"errors": {"a": 1}, "message": ["x"]}, {}).scopes == ()


async def test_somebody_who_changed_the_token_reopens_everything() -> None:
    async with always(say(401, an_error())) as stub, asking(stub) as here:
        with down():
            await get(here)
        stub.answer = lambda _asked: say(200)
        await here.client.reopen()
        await get(here)


# --- nobody answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 521, 522, 523, 524, 525, 599])
async def test_an_error_of_theirs_is_temporary(status: int) -> None:
    async with always(say(status, b"<html>Bad gateway</html>")) as stub, asking(stub) as here:
        with down() as caught:
            await get(here)

    assert caught[0].cause == f"GET /crm/objects/2026-03/tickets/{{id}}: {status} <html>Bad gateway</html>"


@pytest.mark.parametrize("status", [402, 418, 421, 425, 451, 499])
async def test_an_unknown_status_is_temporary(status: int) -> None:
    async with always(say(status, an_error())) as stub, asking(stub) as here:
        with down():
            await get(here)


async def test_unavailable_may_say_for_how_long() -> None:
    async with always(say(503, b"", {"Retry-After": "120"})) as stub, asking(stub) as here:
        with down() as caught:
            await get(here)

    assert caught[0].retry_at == T0 + timedelta(seconds=120)


async def test_three_failures_in_a_row_close_the_gate_and_one_call_looks() -> None:
    """RELIABILITY F18: the pause doubles from 5 s to 60 s; an answer, even a refusal, ends it."""
    async with always(say(503, b"")) as stub, asking(stub) as here:
        for _ in range(3):
            with down():
                await get(here)
        for pause_s in (5, 10, 20, 40, 60, 60):
            assert await closed_gates(here) == dict.fromkeys(BOTH, timedelta(seconds=pause_s))
            before = len(stub.asked)
            with down() as closed:
                await get(here, lane=Lane.MAIL)
            assert closed[0].is_closed
            assert closed[0].retry_at == here.clock() + timedelta(seconds=pause_s)
            here.clock.pass_(pause_s)
            came = await asyncio.gather(*(get(here) for _ in range(6)), return_exceptions=True)
            assert len(stub.asked) == before + 1
            assert [type(exc).__name__ for exc in came] == ["CrmDown"] * 6

        stub.answer = lambda _asked: say(404, an_error())
        here.clock.pass_(60)
        with refused():
            await get(here)
        assert await closed_gates(here) == {}
        stub.answer = lambda _asked: say(200)
        await asyncio.gather(*(get(here) for _ in range(6)))


async def test_failures_between_answers_close_nothing() -> None:
    said = iter([say(500, b""), say(500, b""), say(200)] * 4)
    async with HttpStub(lambda _asked: next(said)) as stub, asking(stub) as here:
        for _ in range(4):
            for _ in range(2):
                with down():
                    await get(here)
            await get(here)

    assert here.gate.closings == []


async def test_failures_that_were_under_way_together_count_as_one_outage() -> None:
    """Seven calls that time out at once must not make the pause a minute."""
    async with always(say(503, b"")) as stub, asking(stub) as here:
        await asyncio.gather(*(get(here, lane=lane) for lane in Lane for _ in range(3)), return_exceptions=True)
        assert await closed_gates(here) == dict.fromkeys(BOTH, timedelta(seconds=5))


async def test_a_call_that_was_given_up_leaves_its_place() -> None:
    async def silence(_writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with always(say(503, b"")) as stub, asking(stub) as here:
        for _ in range(3):
            with down():
                await get(here)
        here.clock.pass_(5)
        stub.answer = lambda _asked: silence
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await get(here)
        stub.answer = lambda _asked: say(200)
        await get(here)


# --- the day ---------------------------------------------------------------------------------------------------------


def left(remaining: int) -> Callable[[Asked], bytes]:
    headers = {"X-HubSpot-RateLimit-Daily": "1000", "X-HubSpot-RateLimit-Daily-Remaining": str(remaining)}
    return lambda _asked: say(200, headers=headers)


async def test_the_last_calls_of_the_day_are_for_mail_and_tickets() -> None:
    async with HttpStub(left(50)) as stub, asking(stub) as here:
        await get(here, lane=Lane.BACKGROUND)
        stub.answer = left(49)
        await get(here, lane=Lane.BACKGROUND)
        with down() as caught:
            await get(here, lane=Lane.BACKGROUND)
        await get(here, lane=Lane.MAIL)
        await get(here, lane=Lane.TICKETS)

        assert caught[0].is_closed
        assert len(here.events("crm.day_nearly_used")) == 1
        # Nobody may be asking but the background; it looks again now and then.
        here.clock.pass_(601)
        stub.answer = left(1000)
        await get(here, lane=Lane.BACKGROUND)
        await get(here, lane=Lane.BACKGROUND)


async def test_our_own_days_calls_are_counted() -> None:
    async with always(say(200)) as stub, asking(stub, gate=GateFake(), calls_per_day=8) as here:
        for _ in range(6):
            await get(here)
        for _ in range(2):
            await here.client.request("POST", SEARCH, json={}, lane=Lane.MAIL)
        with down() as caught:
            await get(here)
        with down():
            await here.client.request("POST", SEARCH, json={}, lane=Lane.MAIL)

    assert len(stub.asked) == 8
    assert caught[0].retry_at == datetime(2026, 11, 23, tzinfo=UTC)
