"""``python -m bench [--only PROBE]…``: measure, print a table, write build/bench.json."""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime

from bench.load import TooSlow
from bench.probes import PROBES, Plan
from bench.report import show
from bench.tools import BUILD, MissingTool, has_postfix, need_tools


def main() -> int:
    """Run the probes asked for; exit 1 when one could not be finished."""
    arguments = _parse()
    plan = Plan(
        rounds=arguments.rounds,
        messages=arguments.messages,
        workers=tuple(None if word == "default" else int(word) for word in arguments.workers),
        memory_messages=arguments.memory_messages,
        tickets=arguments.tickets,
        queued=arguments.queued,
        latency_messages=arguments.latency_messages,
        parsed=arguments.parsed,
    )
    names = arguments.only or ["parse", "throughput", "latency", "memory", "filled"]
    BUILD.mkdir(parents=True, exist_ok=True)
    sends = not {"parse", "proof"}.issuperset(names)
    try:
        if sends:
            need_tools()
    except MissingTool as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    if sends and not has_postfix():
        print("bench: NOT ROOT, so no Postfix beside it: rates are measured, ratios are not", file=sys.stderr)
    results, status = _measure(names, plan)
    show(results)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "plan": asdict(plan),
    }
    target = BUILD.parent / "bench.json"
    target.write_text(json.dumps({"about": about, **results}, indent=1), encoding="utf-8")
    print(f"bench: written to {target}", file=sys.stderr)
    return status


def _measure(names: list[str], plan: Plan) -> tuple[dict[str, object], int]:
    results: dict[str, object] = {}
    status = 0
    for name in names:
        begun = time.monotonic()
        try:
            results[name] = PROBES[name](plan)
        except TooSlow as exc:
            print(f"bench: {name} FAILED: {exc}", file=sys.stderr)
            status = 1
        print(f"bench: {name} took {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return results, status


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="supportrelay and Postfix's plain relay side by side")
    parser.add_argument("--only", action="append", choices=sorted(PROBES), help="this probe (may be repeated)")
    plan = Plan()
    parser.add_argument("--rounds", type=int, default=plan.rounds)
    parser.add_argument("--messages", type=int, default=plan.messages, help="in each round")
    parser.add_argument("--workers", nargs="*", default=["default", "1", "2"], help="variants of supportrelay")
    parser.add_argument("--memory-messages", type=int, default=plan.memory_messages)
    parser.add_argument("--tickets", type=int, default=plan.tickets, help="in the filled store")
    parser.add_argument("--queued", type=int, default=plan.queued, help="deliveries waiting in the filled store")
    parser.add_argument("--latency-messages", type=int, default=plan.latency_messages)
    parser.add_argument("--parsed", type=int, default=plan.parsed, help="mails of each kind, read and rewritten")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
