"""SPF against records in memory: the main rows of RFC 7208, and records that nobody would write (C59)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from supportrelay.core.mailbox import parse_path
from supportrelay.edge.proof.spf import SpfChecker
from zone import NEVER, SILENT, Zone

IP = "192.0.2.7"
IP6 = "2001:db8::7"
LONG_S = 60.0


async def spf(zone: dict[str, Any], *, ip: str = IP, sender: str = "ann@a.example", helo: str = "h.a.example") -> str:
    checker = SpfChecker(Zone(zone))
    try:
        result = await checker.check(ip, helo, parse_path(sender) if sender else None, limit_s=LONG_S)
    finally:
        checker.close()
    return result.result


@pytest.mark.parametrize(
    ("record", "result"),
    [
        pytest.param(None, "none", id="no record"),
        pytest.param("v=spf1 ip4:192.0.2.0/24 -all", "pass", id="ip4"),
        pytest.param("v=spf1 ip4:198.51.100.0/24 -all", "fail", id="-all"),
        pytest.param("v=spf1 ip4:198.51.100.0/24 ~all", "softfail", id="~all"),
        pytest.param("v=spf1 ?all", "neutral", id="?all"),
        pytest.param("v=spf1", "neutral", id="nothing said"),
        pytest.param("V=SPF1 +IP4:192.0.2.7 -ALL", "pass", id="case"),
        pytest.param("v=spf1 a:mail.a.example -all", "pass", id="a"),
        pytest.param("v=spf1 mx -all", "pass", id="mx"),
        pytest.param("v=spf1 include:ok.example -all", "pass", id="include"),
        pytest.param("v=spf1 include:no.example ~all", "softfail", id="a fail inside an include is no match"),
        pytest.param("v=spf1 include:nothing.example -all", "permerror", id="include of nothing"),
        pytest.param("v=spf1 redirect=ok.example", "pass", id="redirect"),
        pytest.param("v=spf1 redirect=nothing.example", "permerror", id="redirect to nothing"),
        pytest.param("v=spf1 exists:%{ir}.list.example -all", "pass", id="exists with a macro"),
        pytest.param("v=spf1 exists:%{l}.users.example -all", "pass", id="local part"),
        pytest.param("v=spf1 ptr:a.example -all", "pass", id="ptr"),
        pytest.param("v=spf1 ip4:192.0.2.7 what:ever -all", "permerror", id="an unknown mechanism"),
        pytest.param("v=spf1 ip4:192.0.2.300 -all", "permerror", id="no address"),
        pytest.param("v=spf1 ip4:192.0.2.7 x-unknown=1 -all", "pass", id="an unknown modifier"),
        pytest.param(["v=spf1 ip4:192.0.2.7 -all", "v=spf1 -all"], "permerror", id="two records"),
        pytest.param(["something else", "v=spf1 ip4:192.0.2.7 -all"], "pass", id="among other texts"),
        pytest.param("v=spf10 ip4:192.0.2.7 -all", "none", id="another version"),
        pytest.param("v=spf1 a:silent.example -all", "temperror", id="no answer"),
        pytest.param("v=spf1 a:v1.example a:v2.example a:v3.example -all", "permerror", id="three void lookups"),
        pytest.param("v=spf1 -exists:%{p}.x.example ?all", "neutral", id="the name of the client"),
        pytest.param("v=spf1 include:loop.example -all", "permerror", id="a loop"),
        pytest.param("v=spf1 exp=text.example -all", "fail", id="an explanation"),
    ],
)
async def test_the_rows_of_rfc_7208(record: Any, result: str) -> None:
    zone: dict[str, Any] = {
        "mail.a.example": {"A": [IP]},
        "mx1.a.example": {"A": [IP]},
        "ok.example": "v=spf1 ip4:192.0.2.0/24 -all",
        "no.example": "v=spf1 -all",
        "loop.example": "v=spf1 include:loop2.example -all",
        "loop2.example": "v=spf1 include:loop.example -all",
        "7.2.0.192.list.example": {"A": ["127.0.0.2"]},
        "ann.users.example": {"A": ["127.0.0.2"]},
        "7.2.0.192.in-addr.arpa": {"PTR": ["mail.a.example"]},
        "silent.example": SILENT,
        "text.example": "you may not",
        "a.example": {"TXT": record or [], "MX": [(10, "mx1.a.example")]},
    }

    assert await spf(zone) == result


@pytest.mark.parametrize(("number", "result"), [(10, "pass"), (11, "permerror")])
async def test_ten_lookups_are_allowed(number: int, result: str) -> None:
    """RFC 7208 §4.6.4."""
    zone: dict[str, Any] = {f"n{i}.example": {"A": ["198.51.100.1"]} for i in range(20)}
    zone |= {"a.example": f"v=spf1 {' '.join(f'a:n{i}.example' for i in range(number))} ip4:{IP} -all"}

    assert await spf(zone) == result


async def test_ipv6_has_its_own_records() -> None:
    zone = {"a.example": "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"}

    assert await spf(zone, ip=IP6) == "pass"
    assert await spf(zone, ip="::ffff:192.0.2.7") == "pass"
    assert await spf(zone, ip="2001:db9::1") == "fail"


async def test_a_null_sender_is_postmaster_of_the_helo_name() -> None:
    """RFC 7208 §2.4."""
    checker = SpfChecker(Zone({"h.a.example": f"v=spf1 ip4:{IP} -all", "postmaster.x.example": {"A": ["127.0.0.2"]}}))

    result = await checker.check(IP, "H.A.Example.", None, limit_s=LONG_S)
    checker.close()

    assert (result.result, result.domain, result.is_helo) == ("pass", "h.a.example", True)


@pytest.mark.parametrize("sender", ['"a@b"@a.example', '"x y"@a.example', "a+b=c@a.example", "é@a.example"])
async def test_odd_local_parts_are_harmless(sender: str) -> None:
    assert await spf({"a.example": f"v=spf1 exists:%{{l}}.nobody.example ip4:{IP} -all"}, sender=sender) == "pass"


@pytest.mark.parametrize(("sender", "helo"), [("a@[192.0.2.7]", "x"), ("", "[192.0.2.7]"), ("", ""), ("", "a b")])
async def test_what_has_no_domain_has_no_result(sender: str, helo: str) -> None:
    assert await spf({}, sender=sender, helo=helo) == "none"


@pytest.mark.parametrize(
    "record",
    [
        pytest.param("v=spf1 a:" + "a" * 60_000 + "! -all", id="a long name"),
        pytest.param("v=spf1 exists:" + "%{" * 30_000 + " -all", id="open macros"),
        pytest.param("v=spf1 " + "ip4:192.0.2.1 " * 4000 + "-all", id="four thousand addresses"),
        pytest.param("v=spf1 a:" + "a." * 240 + "!" * 20 + " -all", id="many labels"),
    ],
)
async def test_c59_a_record_that_nobody_would_write_keeps_nobody_waiting(record: str) -> None:
    """pyspf's patterns take quadratic time, and keep the interpreter to themselves."""
    assert await spf({"a.example": record}) == "permerror"


@pytest.fixture
async def slow() -> AsyncIterator[SpfChecker]:
    checker = SpfChecker(Zone({"a.example": NEVER}))
    yield checker
    checker.close()


async def test_c59_a_slow_dns_is_a_temporary_error_in_time(slow: SpfChecker) -> None:
    results = await asyncio.gather(*(slow.check(IP, "h", parse_path("ann@a.example"), limit_s=0.2) for _ in range(40)))

    assert {one.result for one in results} == {"temperror"}


async def test_c59_strangers_slow_servers_keep_no_colleague_waiting() -> None:
    """Their checks may fill all threads that there are for them."""
    zone = Zone({"slow.example": NEVER, "a.example": f"v=spf1 ip4:{IP} -all"})
    checker = SpfChecker(zone)
    slow = [
        asyncio.create_task(checker.check(IP, "h", parse_path(f"x{n}@slow.example"), limit_s=LONG_S)) for n in range(40)
    ]
    while not zone.asked:  # noqa: ASYNC110  the zone tells nobody
        await asyncio.sleep(0.001)

    result = await checker.check(IP, "h", parse_path("ann@a.example"), limit_s=LONG_S, decides=True)

    assert result.result == "pass"
    assert not any(one.done() for one in slow)
    for one in slow:
        one.cancel()
    checker.close()


async def test_many_are_checked_at_once_without_mixing_them_up() -> None:
    """pyspf has one global for its questions."""
    zone = Zone({f"d{n}.example": f"v=spf1 ip4:192.0.2.{n} -all" for n in range(60)})
    checker = SpfChecker(zone)

    results = await asyncio.gather(
        *(
            checker.check(f"192.0.2.{n if n % 2 else 200}", "h", parse_path(f"a@d{n}.example"), limit_s=LONG_S)
            for n in range(60)
        )
    )
    checker.close()

    assert [one.result for one in results] == ["pass" if n % 2 else "fail" for n in range(60)]
