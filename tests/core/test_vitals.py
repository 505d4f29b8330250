"""When the relay may be sent mail, and what is said besides."""

from dataclasses import replace
from datetime import UTC, datetime

from supportrelay.core.vitals import LastAudit, Vitals, judge

NOW_MS = 1_000_000
WELL = Vitals(free_octets=10, reserve_octets=5)


def test_all_is_well() -> None:
    health = judge(WELL, [NOW_MS - 200, NOW_MS - 14_000], NOW_MS)
    assert health.is_ready
    assert (health.problems, health.warnings) == ((), ())


def test_a_worker_that_says_nothing_keeps_mail_out() -> None:
    assert judge(WELL, [NOW_MS - 200, NOW_MS - 15_100], NOW_MS).problems == ("worker 1 does not answer",)
    assert judge(WELL, [0], NOW_MS).problems == ("worker 0 does not answer",), "it never began"


def test_a_store_that_cannot_be_read_and_a_full_disk_keep_mail_out() -> None:
    assert judge(None, [NOW_MS], NOW_MS).problems == ("the store cannot be read",)
    assert not judge(replace(WELL, free_octets=4), [NOW_MS], NOW_MS).is_ready


def test_what_people_should_look_at_keeps_no_mail_out() -> None:
    vitals = replace(
        WELL,
        oldest_due_s=901.0,
        breakers=("hubspot:general",),
        alarms={"smarthost_down": 2},
        last_audit=LastAudit(datetime(2026, 3, 3, tzinfo=UTC), 3),
    )
    health = judge(vitals, [NOW_MS], NOW_MS)
    assert health.is_ready
    assert health.warnings == (
        "work is due since 901 s",
        "the CRM is not asked: hubspot:general",
        "alarm: smarthost_down (2)",
        "the last audit found 3: supportrelay audit",
    )
    assert not judge(replace(vitals, oldest_due_s=900.0), [NOW_MS], NOW_MS).warnings[0].startswith("work")
