"""The table for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show"]


def show(results: dict[str, Any]) -> None:
    """Print what was measured, with the goals beside it."""
    console = Console(width=120)
    if "throughput" in results:
        console.print(_throughput(results["throughput"]))
    rest = _table("And else", "measured", "value", "goal")
    for name, row in results.get("latency", {}).items():
        rest.add_row(f"idle latency, {name}", f"{row['median_ms']} ms median, {row['p95_ms']} ms p95", "25 ms median")
    for kind, row in results.get("parse", {}).items():
        value = f"{row['median_ms']} ms median ({row['read_ms']} + {row['rewrite_ms']}), {row['p95_ms']} ms p95"
        rest.add_row(f"read and rewrite 4 KiB, {kind}", value, "1 ms median")
    for name, row in results.get("dkim", {}).items():
        alone = f", of it signing {row['4096_ms']}; 1 MiB {row['1048576_ms']} ms" if "4096_ms" in row else ""
        rest.add_row(f"DKIM, {name}", f"{row['cpu_ms_a_message']} ms CPU a mail of 4 KiB{alone}", "-")
    for name, row in results.get("proof", {}).items():
        value = f"{row['4096_ms']} ms CPU a mail of 4 KiB, {row['1048576_ms']} ms of 1 MiB"
        rest.add_row(f"sender proven by {name}", value, "-")
    if crm := results.get("crm"):
        value = f"{crm['hubspot']['median_ms']} ms, {crm['ratio']} times the builtin CRM's"
        rest.add_row("latency, HubSpot of 200 ms", value, "1.1 times")
    for row in results.get("memory", {}).get("samples", []):
        value = f"{row['pss_mib']} MiB together, {row['max_rss_mib']} MiB the largest of {row['processes']:.0f}"
        rest.add_row(f"memory after {row['messages']} messages", value, "200 MiB, flat")
    if filled := results.get("filled"):
        what = f"{filled['tickets']} tickets, {filled['queued']} queued, to an empty store"
        rest.add_row(what, f"CPU {filled['cpu_ratio']} times, time {filled['time_ratio']} times", "1.2 times")
    if big := results.get("large"):
        rest.add_row("20 mails of 25 MiB at once", f"{big['seconds']} s, {big['peak_pss_mib']} MiB at most", "2048 MiB")
    if rest.row_count:
        console.print(rest)


def _throughput(rows: dict[str, Any]) -> Table:
    table = _table(
        "Throughput, 20 sessions, 4 KiB", "", "messages/s", "rounds", "to Postfix", "CPU ms a message", "where"
    )
    for name, row in rows.items():
        where = row.get("cpu_ms_by_station") or row["cpu_ms_by_process"]
        table.add_row(
            name,
            str(row["median"]),
            " ".join(f"{rate:.0f}" for rate in row["messages_per_s"]),
            str(row.get("ratio_to_postfix", "-")),
            str(row["cpu_ms_a_message"]),
            ", ".join(f"{part} {ms}" for part, ms in where.items()),
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    return table
