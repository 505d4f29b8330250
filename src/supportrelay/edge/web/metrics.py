"""`/readyz` and `/metrics`: for load balancers and Prometheus, without login, for those who are allowed to look.

The text is written by prometheus_client; the numbers come from the processes' shared tally and from the store.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from supportrelay.core.vitals import Health, Vitals

__all__ = ["Eyes", "eye_routes"]

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


class Eyes:
    """What is to be seen.

    Args:
        sums: Every counter of the tally, all processes together.
        vitals: How the store is; None when it cannot be read. Blocks.
        judge: What that means.
        lag_bounds_s: Upper bounds of the tally's buckets of loop lag.
        allowed: Networks that may look, beside loopback.
        version: Of the relay.
    """

    def __init__(
        self,
        *,
        sums: Callable[[], Mapping[str, int]],
        vitals: Callable[[], Vitals | None],
        judge: Callable[[Vitals | None], Health],
        lag_bounds_s: Sequence[float],
        allowed: Sequence[IPv4Network | IPv6Network],
        version: str,
    ) -> None:
        self.sums = sums
        self.vitals = vitals
        self.judge = judge
        self.lag_bounds_s = lag_bounds_s
        self.allowed = allowed
        self.version = version

    def may_look(self, request: Request) -> bool:
        """Loopback, or an allowed network. What a proxy says it passes on is not from loopback."""
        if any(name in request.headers for name in _FORWARDED) or request.client is None:
            return False
        try:
            peer = ip_address(request.client.host)
        except ValueError:
            return False
        return peer.is_loopback or any(peer in network for network in self.allowed)


def eye_routes(eyes: Eyes) -> list[Route]:
    """GET and HEAD; 403 for who may not look; ``/readyz`` is 503 when no mail should be sent here."""

    async def readyz(request: Request) -> Response:
        if not eyes.may_look(request):
            return JSONResponse({"status": "not for you"}, 403)
        health = eyes.judge(await asyncio.to_thread(eyes.vitals))
        said = {
            "status": "ready" if health.is_ready else "not ready",
            "problems": list(health.problems),
            "warnings": list(health.warnings),
        }
        return JSONResponse(said, 200 if health.is_ready else 503)

    async def metrics(request: Request) -> Response:
        if not eyes.may_look(request):
            return PlainTextResponse("not for you\n", 403)
        registry = CollectorRegistry()
        registry.register(_Numbers(eyes, await asyncio.to_thread(eyes.vitals)))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    methods = ["GET", "HEAD"]
    return [Route("/readyz", readyz, methods=methods), Route("/metrics", metrics, methods=methods)]


class _Numbers(Collector):
    """One look at everything."""

    def __init__(self, eyes: Eyes, vitals: Vitals | None) -> None:
        self._eyes = eyes
        self._vitals = vitals

    def collect(self) -> Iterable[Metric]:
        """In the order in which a person reads them."""
        health = self._eyes.judge(self._vitals)
        yield _gauge("ready", "1 when mail may be sent here.", int(health.is_ready))
        yield _labelled_gauge("info", "The release that runs.", "version", {self._eyes.version: 1})
        yield from self._counters(self._eyes.sums())
        if self._vitals is not None:
            yield from _of_store(self._vitals)

    def _counters(self, sums: Mapping[str, int]) -> Iterable[Metric]:
        yield _counter("messages_accepted", "Messages taken into custody: 250 after DATA.", sums["accepted"])
        for name, text, prefix, label in (
            ("refused", "Refusals to clients by code and status; one of 4xx comes again.", "refused", "reason"),
            ("messages_decided", "Decisions by direction.", "decided", "direction"),
            ("messages_proven", "Decisions by what was found out about the sender.", "sender", "verdict"),
            ("delivery_attempts", "Ends of attempts by what the copy became.", "attempt", "state"),
            ("crm_calls", "Calls to the CRM: made, and failed among them.", "crm", "what"),
        ):
            yield _labelled_counter(name, text, label, _of(sums, prefix))
        yield _counter("store_commits", "Transactions committed and synced.", sums["commits"])
        yield _counter("store_commands", "Commands in them; per commit: how many share a sync.", sums["commands"])
        yield self._lag(sums)

    def _lag(self, sums: Mapping[str, int]) -> Metric:
        """How late the event loops were, looked at four times a second."""
        total, buckets = 0, []
        for bound in (*(f"{one:g}" for one in self._eyes.lag_bounds_s), "+Inf"):
            total += sums[f"lag:{bound}"]
            buckets.append((bound, float(total)))
        family = HistogramMetricFamily("supportrelay_loop_lag_seconds", "How late the event loops were.")
        family.add_metric([], buckets, sums["lag_sum"] / 1_000_000)
        return family


def _of_store(vitals: Vitals) -> Iterable[Metric]:
    yield _labelled_gauge("messages", "Messages that are not finished, by state.", "state", vitals.messages)
    yield _labelled_gauge("deliveries", "Copies on their way, by state.", "state", vitals.deliveries)
    yield _labelled_gauge("tickets", "Tickets by stage.", "stage", vitals.tickets)
    yield _gauge("desk_work", "Pieces of work that wait for the outside desk.", vitals.desk_work)
    yield _gauge("oldest_due_seconds", "How long the oldest work is due that nobody has taken up.", vitals.oldest_due_s)
    yield _labelled_gauge("crm_closed", "1 for each part of the CRM that is not asked now.", "gate",
                          dict.fromkeys(vitals.breakers, 1))  # fmt: skip
    yield _labelled_gauge("alarms", "Alarms raised within the last hour, by kind.", "kind", vitals.alarms)
    yield _gauge("disk_free_bytes", "Free on the disk of the store.", vitals.free_octets)
    yield _gauge("store_bytes", "The store's file, without contents/.", vitals.store_octets)
    if vitals.last_audit is not None:
        yield _gauge("audit_findings", "What the last nightly audit found.", vitals.last_audit.findings)
        yield _gauge("audit_timestamp_seconds", "When it was made.", vitals.last_audit.at.timestamp())


def _of(sums: Mapping[str, int], prefix: str) -> dict[str, int]:
    """Counters of one kind by the rest of their names; those that never moved but stay known are left in."""
    return {name.partition(":")[2]: value for name, value in sums.items() if name.startswith(f"{prefix}:")}


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"supportrelay_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"supportrelay_{name}", text, value=value)


def _labelled_counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"supportrelay_{name}", text, labels=[label])
    for one, value in values.items():
        family.add_metric([one], value)
    return family


def _labelled_gauge(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"supportrelay_{name}", text, labels=[label])
    for one, value in values.items():
        family.add_metric([one], value)
    return family
