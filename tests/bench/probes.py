"""What is measured. Each probe returns plain values for the report; each says on standard error what it is doing."""

import smtplib
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from bench.fill import fill
from bench.load import RECIPIENT, SENDERS, Flow, Sink, send_all
from bench.parse import GOAL_MS, cost_of_parsing
from bench.postfix import Postfix
from bench.processes import cpu_s, cpu_s_by_process, memory
from bench.proof import cost_of_proof
from bench.relay import SupportRelay, companies_of_bench
from bench.signing import SIGNED_WITH, cost_of_signing
from bench.tools import has_postfix
from smtp_sink import ThreadedSink

__all__ = ["PROBES", "Plan"]

_WARM_UP = 200
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        rounds: Of throughput, alternating between the candidates.
        messages: In each round.
        workers: Variants of supportrelay; None is its default.
        memory_messages: Before the last look at the memory.
        tickets: In the filled store.
        queued: Deliveries waiting in the filled store.
        latency_messages: Sent one at a time.
        parsed: Mails of each kind that are read and rewritten.
    """

    rounds: int = 4
    messages: int = 3000
    workers: tuple[int | None, ...] = (None, 1, 2)
    memory_messages: int = 20_000
    tickets: int = 1_000_000
    queued: int = 100_000
    latency_messages: int = 100
    parsed: int = 2000


def throughput(plan: Plan) -> dict[str, Any]:
    """Messages a second and CPU a message; Postfix and supportrelay take turns."""
    rows: dict[str, list[Flow]] = {}
    cpu_ms: dict[str, list[float]] = {}
    parts: dict[str, dict[str, float]] = {}
    with _candidates(plan) as candidates:
        for candidate, sink in candidates:
            send_all(candidate.port, sink, _WARM_UP)
        for number in range(plan.rounds):
            for candidate, sink in candidates:
                before, used = cpu_s_by_process(candidate.pid), cpu_s(candidate.pid)
                flow = send_all(candidate.port, sink, plan.messages)
                after = cpu_s_by_process(candidate.pid)
                spent = (cpu_s(candidate.pid) - used) * 1000 / plan.messages
                rows.setdefault(candidate.name, []).append(flow)
                cpu_ms.setdefault(candidate.name, []).append(spent)
                parts[candidate.name] = {
                    name: (seconds - before.get(name, 0.0)) * 1000 / plan.messages for name, seconds in after.items()
                }
                _tell(f"round {number + 1}: {candidate.name}: {flow.rate:.0f} messages/s, {spent:.2f} ms CPU a message")
    found: dict[str, Any] = {
        name: {
            "messages_per_s": [round(flow.rate, 1) for flow in flows],
            "median": round(statistics.median(flow.rate for flow in flows), 1),
            "accepted_per_s": round(statistics.median(flow.messages / flow.accepted_s for flow in flows), 1),
            "cpu_ms_a_message": round(statistics.median(cpu_ms[name]), 3),
            "cpu_ms_by_process": {part: round(ms, 3) for part, ms in parts[name].items() if ms > 0},
        }
        for name, flows in rows.items()
    }
    for candidate, _ in candidates:
        if isinstance(candidate, SupportRelay) and (profile := _stations(candidate.workers, plan)):
            found[candidate.name]["cpu_ms_by_station"] = profile
    if Postfix.name in rows:
        for name, flows in rows.items():
            ratios = [mine.rate / theirs.rate for mine, theirs in zip(flows, rows[Postfix.name], strict=True)]
            found[name]["ratio_to_postfix"] = round(statistics.median(ratios), 3)
    return found


def _stations(workers: int | None, plan: Plan) -> dict[str, Any]:
    """CPU milliseconds a message by station, from a run of its own: the meter takes time itself."""
    with Sink("stations") as sink:
        with SupportRelay(sink.port, workers, name="relay-stations", has_meter=True) as relay:
            send_all(relay.port, sink, plan.messages)
        return relay.profile()


def latency(plan: Plan) -> dict[str, Any]:
    """Milliseconds from sending the final dot of one mail to its arrival at the next hop, nothing else going on."""
    found = {}
    for make in _makers(plan, workers=plan.workers[:1]):
        with ThreadedSink() as sink, make(sink.port) as candidate:
            took = [_one_mail(candidate.port, sink, number) for number in range(plan.latency_messages + 5)][5:]
            found[candidate.name] = {
                "median_ms": round(statistics.median(took), 2),
                "p95_ms": round(statistics.quantiles(took, n=20)[-1], 2),
                "max_ms": round(max(took), 2),
            }
            _tell(f"{candidate.name}: idle latency {found[candidate.name]}")
    return found


def memory_after(plan: Plan) -> dict[str, Any]:
    """Memory of the whole daemon at several points of a long run."""
    found = []
    with Sink("memory") as sink, SupportRelay(sink.port, name="relay-memory") as relay:
        sent = 0
        for share in (0.05, 0.25, 0.5, 0.75, 1.0):
            step = int(plan.memory_messages * share) - sent
            send_all(relay.port, sink, step, timeout_s=1800)
            sent += step
            now = memory(relay.pid)
            row = {
                "messages": sent,
                "pss_mib": now.pss / _MIB,
                "max_rss_mib": now.max_rss / _MIB,
                "processes": now.processes,
            }
            found.append({key: round(value, 1) for key, value in row.items()})
            _tell(f"memory: {found[-1]}")
    return {"samples": found}


def filled(plan: Plan) -> dict[str, Any]:
    """What a message costs with a long past in the store, beside an empty one; alternating."""
    with ExitStack() as stack:
        sinks = {name: stack.enter_context(Sink(name)) for name in ("empty", "filled")}
        relays = {name: SupportRelay(sink.port, name=f"relay-{name}") for name, sink in sinks.items()}
        full = relays["filled"]
        full.prepare()
        _tell(f"filling a store with {plan.tickets} tickets and {plan.queued} queued deliveries")
        fill(full.database, tickets=plan.tickets, queued=plan.queued)
        relays["filled"] = SupportRelay(sinks["filled"].port, name="relay-filled", keep=True)
        rates: dict[str, list[float]] = {name: [] for name in relays}
        costs: dict[str, list[float]] = {name: [] for name in relays}
        for name, relay in relays.items():
            stack.enter_context(relay)
            send_all(relay.port, sinks[name], _WARM_UP)
        for _ in range(plan.rounds):
            for name, relay in relays.items():
                used = cpu_s(relay.pid)
                flow = send_all(relay.port, sinks[name], plan.messages)
                rates[name].append(flow.rate)
                costs[name].append((cpu_s(relay.pid) - used) * 1000 / plan.messages)
                _tell(f"{name} store: {flow.rate:.0f} messages/s, {costs[name][-1]:.2f} ms CPU a message")
    rate = {name: statistics.median(values) for name, values in rates.items()}
    cost = {name: statistics.median(values) for name, values in costs.items()}
    return {
        "tickets": plan.tickets,
        "queued": plan.queued,
        "messages_per_s": {name: round(value, 1) for name, value in rate.items()},
        "cpu_ms_a_message": {name: round(value, 3) for name, value in cost.items()},
        "cpu_ratio": round(cost["filled"] / cost["empty"], 3),
        "time_ratio": round(rate["empty"] / rate["filled"], 3),
    }


def large(plan: Plan) -> dict[str, Any]:
    """Twenty mails of 25 MiB at once: all accepted and sent on, and the memory that takes."""
    del plan
    highest = 0
    with Sink("large") as sink, SupportRelay(sink.port, name="relay-large") as relay, _watch(relay.pid) as peak:
        flow = send_all(relay.port, sink, 20, size_octets=25 * _MIB, timeout_s=900)
        highest = peak()
    _tell(f"20 mails of 25 MiB: {flow.seconds:.1f} s, {highest / _MIB:.0f} MiB at most")
    return {"messages": 20, "seconds": round(flow.seconds, 2), "peak_pss_mib": round(highest / _MIB, 1)}


def crm(plan: Plan) -> dict[str, Any]:
    """Idle latency with owners and tickets at a HubSpot that takes 200 ms for each answer, beside the builtin CRM."""
    from hubspot_double.process import HubSpotDouble

    took: dict[str, list[float]] = {"builtin": [], "hubspot": []}
    with (
        HubSpotDouble.start(companies_of_bench(), relay_properties=True, burst_per_10s=0, searches_per_s=0) as double,
        ThreadedSink() as near,
        ThreadedSink() as far,
        SupportRelay(near.port, name="relay-builtin") as builtin,
        SupportRelay(far.port, name="relay-hubspot", crm=_hubspot(double.base_url, double.token)) as hubspot,
    ):
        pairs = {"builtin": (builtin, near), "hubspot": (hubspot, far)}
        for number in range(SENDERS):  # a warm cache: everybody has written before
            for relay, sink in pairs.values():
                _one_mail(relay.port, sink, number)
        double.set(latency_s=0.2)
        for number in range(plan.latency_messages):
            for name, (relay, sink) in pairs.items():
                took[name].append(_one_mail(relay.port, sink, SENDERS + number))
    found: dict[str, Any] = {
        name: {
            "median_ms": round(statistics.median(values), 2),
            "p95_ms": round(statistics.quantiles(values, n=20)[-1], 2),
        }
        for name, values in took.items()
    }
    found["ratio"] = round(found["hubspot"]["median_ms"] / found["builtin"]["median_ms"], 3)
    _tell(f"latency with a HubSpot of 200 ms: {found}")
    return found


def _hubspot(base_url: str, token: str) -> dict[str, Any]:
    return {
        "directory": {"kind": "hubspot", "token": token, "base_url": base_url, "calls_per_10s": 1000},
        "tickets": {
            "kind": "hubspot",
            "pipeline": "0",
            "stages": {"NEW": ["1"], "WAITING": ["2", "3"], "CLOSED": ["4"]},
        },
    }


def parse(plan: Plan) -> dict[str, Any]:
    """Milliseconds to read and to rewrite a mail of 4 KiB, in process."""
    found = cost_of_parsing(plan.parsed)
    for kind, row in found.items():
        _tell(f"parse: {kind}: {row['median_ms']} ms median, {row['p95_ms']} ms p95 (goal: under {GOAL_MS} ms median)")
    return dict(found)


def dkim(plan: Plan) -> dict[str, Any]:
    """CPU a mail without signature, with RSA, with Ed25519 and with both; they take turns. And signing alone."""
    with ExitStack() as stack:
        running = {}
        for name, kinds in SIGNED_WITH.items():
            sink = stack.enter_context(Sink(f"dkim-{name}"))
            running[name] = stack.enter_context(SupportRelay(sink.port, 1, name=f"relay-dkim-{name}", dkim=kinds)), sink
        cpu_ms: dict[str, list[float]] = {name: [] for name in running}
        for number in range(plan.rounds + 1):
            for name, (relay, sink) in running.items():
                before = cpu_s(relay.pid)
                count = plan.messages if number else _WARM_UP
                send_all(relay.port, sink, count)
                if number:
                    cpu_ms[name].append((cpu_s(relay.pid) - before) * 1000 / count)
    alone = cost_of_signing(plan.parsed)
    for name, row in cpu_ms.items():
        _tell(f"dkim: {name}: {statistics.median(row):.2f} ms CPU a mail of 4 KiB; signing alone {alone.get(name, {})}")
    return {
        name: {"cpu_ms_a_message": round(statistics.median(row), 3), **alone.get(name, {})}
        for name, row in cpu_ms.items()
    }


def proof(plan: Plan) -> dict[str, Any]:
    """Milliseconds of CPU to prove the sender of a mail, in process."""
    found = cost_of_proof(plan.parsed)
    for name, row in found.items():
        _tell(f"proof: {name}: {row['4096_ms']} ms for 4 KiB, {row['1048576_ms']} ms for 1 MiB")
    return dict(found)


PROBES = {
    "dkim": dkim,
    "proof": proof,
    "crm": crm,
    "parse": parse,
    "throughput": throughput,
    "latency": latency,
    "memory": memory_after,
    "filled": filled,
    "large": large,
}


def _makers(plan: Plan, workers: tuple[int | None, ...] | None = None) -> list[Any]:
    variants = plan.workers if workers is None else workers
    made: list[Any] = [lambda port, count=count: SupportRelay(port, count) for count in variants]
    return ([Postfix] if has_postfix() else []) + made


@contextmanager
def _candidates(plan: Plan) -> Iterator[list[tuple[Any, Sink]]]:
    with ExitStack() as stack:
        running = []
        for number, make in enumerate(_makers(plan)):
            sink = stack.enter_context(Sink(str(number)))
            running.append((stack.enter_context(make(sink.port)), sink))
        yield running


@contextmanager
def _watch(pid: int) -> Iterator[Any]:
    """Yield a function that says the most memory (PSS, octets) seen so far."""
    import threading

    seen = [0]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.25):
            seen[0] = max(seen[0], memory(pid).pss)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: seen[0]
    finally:
        stop.set()
        watcher.join()


def _one_mail(port: int, sink: ThreadedSink, number: int) -> float:
    """Send one mail on a fresh connection; milliseconds from before its last octets to the dot at the sink."""
    already = len(sink.messages)
    text = (
        f"From: anna@company{number % 10}.test\r\nTo: {RECIPIENT}\r\nSubject: Latency {number}\r\n"
        f"Date: Tue, 01 Jul 2025 10:00:{number % 60:02d} +0900\r\nMessage-ID: <{time.time_ns()}@company.test>\r\n\r\n"
        + "A line of the question, as long as people write.\r\n"
        * 70
    )
    with smtplib.SMTP("127.0.0.1", port, local_hostname="mail.company.test", timeout=30) as client:
        client.ehlo()
        client.mail(f"anna@company{number % 10}.test")
        client.rcpt(RECIPIENT)
        begun = time.time()
        client.data(text)
        sink.wait_for(already + 1, timeout=30)
    time.sleep(0.02)
    return (float(sink.messages[already].when) - begun) * 1000


def _tell(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
