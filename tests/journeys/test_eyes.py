"""What a machine sees of the daemon from outside: readiness and metrics, and who may look."""

import http.client
import json
import re
import smtplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, mail
from journeys.traffic import SUPPORT, customer
from smtp_sink import ThreadedSink

MONITORING = Path(__file__).parents[2] / "config" / "monitoring"
PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with ThreadedSink() as sink:
        config = desk_config(sink.port)
        relay = Relay(tmp_path_factory.mktemp("eyes"), config, COMPANIES)
        config["web"] |= {"host": "0.0.0.0", "allowed_networks": ["127.0.0.7/32"]}
        relay.write_config()
        relay.start()
        yield relay
        assert relay.stop() == 0


def get(relay: Relay, path: str, headers: dict[str, str] | None = None, peer: str = "127.0.0.1") -> tuple[int, str]:
    client = http.client.HTTPConnection("127.0.0.1", relay.web_port, timeout=30, source_address=(peer, 0))
    try:
        client.request("GET", path, headers=headers or {})
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


def metrics(relay: Relay) -> dict[str, float]:
    """Sample names with their labels -> values."""
    status, text = get(relay, "/metrics")
    assert status == 200
    return {
        " ".join((sample.name.removeprefix("supportrelay_"), *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_it_is_ready(watched: Relay) -> None:
    status, text = get(watched, "/readyz")
    assert (status, json.loads(text)) == (200, {"status": "ready", "problems": [], "warnings": []})
    assert get(watched, "/healthz")[0] == 200


def test_what_happens_is_counted(watched: Relay) -> None:
    before = metrics(watched)
    for number in range(3):
        octets = mail(
            sender=customer(number), to=SUPPORT, subject=f"eyes {number}", message_id=f"<eyes.{number}@m.example>"
        )
        watched.send(octets, customer(number), [SUPPORT])
    with smtplib.SMTP("127.0.0.1", watched.port, source_address=(STRANGER, 0), timeout=30) as client:
        client.ehlo()
        client.mail("a@b.example")
        assert client.rcpt("somebody@elsewhere.example")[0] == 550
    watched.settle()
    after = metrics(watched)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown("messages_accepted_total") == 3
    assert grown("messages_decided_total inbound") == 3
    assert grown("delivery_attempts_total delivered") == 3
    assert grown("refused_total 550 5.7.1") == 1
    assert after["ready"] == 1
    assert soon(watched, "tickets NEW") == 3
    assert 0 < soon(watched, "store_commits_total") <= soon(watched, "store_commands_total")
    assert soon(watched, "loop_lag_seconds_count") > 0


def soon(relay: Relay, name: str) -> float:
    """The store is looked at every five seconds, a worker's pulse goes four times a second."""
    deadline = time.monotonic() + 30
    while (value := metrics(relay).get(name, 0)) == 0:
        assert time.monotonic() < deadline, name
        time.sleep(0.5)
    return value


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
def test_who_may_look(watched: Relay, path: str) -> None:
    assert get(watched, path, peer="127.0.0.7")[0] == 200
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto"):
        assert get(watched, path, {header: "192.0.2.1"})[0] == 403, "a proxy's own address proves nothing"


def test_dashboard_rules_and_page_name_what_there_is(watched: Relay) -> None:
    status, text = get(watched, "/metrics")
    assert status == 200
    there = {family.name for family in text_string_to_metric_families(text)}
    samples = there | {f"{name}{end}" for name in there for end in ("_total", "_bucket")}
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text("utf-8"))
    board = (MONITORING / "grafana.json").read_text("utf-8")
    json.loads(board)
    named = {
        name for rule in rules["groups"][0]["rules"] for name in re.findall(r"supportrelay_\w+", rule["expr"])
    } | set(re.findall(r"supportrelay_\w+", " ".join(re.findall(r'"expr": "(.*)"', board))))
    made_at_night = {"supportrelay_audit_findings", "supportrelay_audit_timestamp_seconds"}
    assert named - samples - made_at_night == set()
    page = PAGE.read_text("utf-8").partition("\n## Metrics\n")[2]
    documented = {f"supportrelay_{name}" for line in page.splitlines() if line.startswith("| `")
                  for name in re.findall(r"`(\w+)`", line.split("|")[1])}  # fmt: skip
    assert {name.removesuffix("_total") for name in documented} - made_at_night == there - {"supportrelay_info"} | {
        "supportrelay_info"
    }
