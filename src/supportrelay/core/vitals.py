"""Vitals: how the relay is, and whether it may be sent mail; what `/readyz` says and the gauges of `/metrics`."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from supportrelay.core.value import value_class

__all__ = ["Health", "LastAudit", "Vitals", "judge"]

SILENT_AFTER_S = 15.0
"""A process that has not said so long that it lives hangs, or is gone and not yet started again."""
LATE_AFTER_S = 900.0
"""Work that is due so long and that nobody takes up."""


@value_class
class LastAudit:
    """What the nightly audit found.

    Attributes:
        at: When it was made; aware, UTC.
    """

    at: datetime
    findings: int


@value_class
class Vitals:
    """What the store says of itself this instant.

    Attributes:
        messages: Unfinished ones by state. deliveries: open ones by state. tickets: by stage.
        oldest_due_s: How long the oldest work is due that nobody has taken up; 0 without.
        breakers: Names of what a CRM is not asked now.
        alarms: Raised within the last hour, by kind.
        free_octets: On the disk of the store.
        reserve_octets: With less than this free no mail is taken.
    """

    messages: Mapping[str, int] = field(default_factory=dict)
    deliveries: Mapping[str, int] = field(default_factory=dict)
    tickets: Mapping[str, int] = field(default_factory=dict)
    desk_work: int = 0
    oldest_due_s: float = 0.0
    breakers: Sequence[str] = ()
    alarms: Mapping[str, int] = field(default_factory=dict)
    last_audit: LastAudit | None = None
    free_octets: int = 0
    store_octets: int = 0
    reserve_octets: int = 0


@value_class
class Health:
    """Whether the relay may be sent mail, and what somebody should look at.

    Attributes:
        problems: Why it may not; empty when it may. warnings: what does not keep mail out.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        """Nothing keeps mail out."""
        return not self.problems


def judge(vitals: Vitals | None, beats_ms: Sequence[int], now_ms: int) -> Health:
    """Weigh what is known.

    Args:
        vitals: None when the store cannot be read.
        beats_ms: When each worker last said that it lives, 0 for never; by the same clock as ``now_ms``.
    """
    silent = [n for n, beat in enumerate(beats_ms) if not beat or now_ms - beat > SILENT_AFTER_S * 1000]
    problems = [f"worker {number} does not answer" for number in silent]
    if vitals is None:
        return Health((*problems, "the store cannot be read"), ())
    if vitals.free_octets < vitals.reserve_octets:
        problems.append(f"the disk is full: {vitals.free_octets} octets free")
    warnings = []
    if vitals.oldest_due_s > LATE_AFTER_S:
        warnings.append(f"work is due since {vitals.oldest_due_s:.0f} s")
    warnings += [f"the CRM is not asked: {name}" for name in vitals.breakers]
    warnings += [f"alarm: {kind} ({count})" for kind, count in sorted(vitals.alarms.items())]
    if vitals.last_audit is not None and vitals.last_audit.findings:
        warnings.append(f"the last audit found {vitals.last_audit.findings}: supportrelay audit")
    return Health(tuple(problems), tuple(warnings))
