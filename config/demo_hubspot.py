"""``make run-hubspot``: the demo with its owners and tickets at a HubSpot account that lives in a process beside it.

That account is the tests' double of HubSpot. It begins anew each time, so the relay's state does too.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from demo import COMPANIES, PORTS, ROOT, first_mail, serve, take_ports

CONFIG = Path("config/demo-hubspot.yaml")  # commands are printed as a person in ROOT types them
OWN_STATE = ROOT / "build" / "demo-hubspot"
DESCRIPTIONS = ROOT.parent / "shared" / "specs" / "hubspot"
HUBSPOT_PORT = {"SUPPORTRELAY_DEMO_HUBSPOT_PORT": 8900}
TOKEN = "pat-na1-double-0000"  # noqa: S105  hubspot_double.settings.DEFAULT_TOKEN, which opens nothing else
FIRST_TICKET = "55000000001"  # of an account that begins anew

WHAT_NEXT = """
supportrelay is running: mail on 127.0.0.1:{smtp}, http://127.0.0.1:{web}/healthz says that it lives.
Its owners and tickets are at a double of HubSpot. Nothing leaves this machine.

Send a first mail, from another terminal:

  {first_mail}

Its ticket is on the board there, with contact, company, deal and the mail; buttons move it as a person would:

  http://127.0.0.1:{hubspot}/_double/board

Or move it by one line, and a moment later it is 対応中 here too:

  {move}

In {root}:

  .venv/bin/supportrelay tickets list --config {config}    the tickets as they are known here
  .venv/bin/supportrelay outbox list --config {config}     the copies its owners would have got
  .venv/bin/supportrelay crm check --domain sakura-works.example --config {config}
  {env}.venv/bin/supportrelay crm setup --dry-run --config {config}

'--language en' after a command makes it answer in English. Ctrl-C stops both; mail and tickets begin anew the next
time. docs/hubspot.md tells how to go on with an account of your own.
"""
MOVE = (
    'python3 -c \'import urllib.request as u; u.urlopen("http://127.0.0.1:{hubspot}/_double/hand_move", '
    'b"""{{"ticket": "{ticket}", "stage": "2"}}""")\''
)


def main() -> int:
    """Start the double with the sample companies, then the relay; both end with Ctrl-C."""
    os.chdir(ROOT)
    os.environ.setdefault("SUPPORTRELAY_DEMO_TOKEN", TOKEN)
    specs = Path(os.environ.get("HUBSPOT_DOUBLE_SPECS") or DESCRIPTIONS)
    if not specs.is_dir():
        raise SystemExit(
            f"supportrelay: {specs} is missing: by HubSpot's descriptions in it the double checks every call "
            "(HUBSPOT_DOUBLE_SPECS names another folder)"
        )
    state = _begin_anew()
    ports = take_ports(PORTS | HUBSPOT_PORT)
    smtp, web, hubspot = ports.values()
    with _double(hubspot, state / "seed.yaml"):
        return serve(CONFIG, smtp, what_next(smtp, web, hubspot))


def what_next(smtp: int, web: int, hubspot: int) -> str:
    """The words for the person at the terminal."""
    # That command reads the configuration itself; the others ask the relay that runs.
    env = "".join(f"{name}={hubspot} " for name, first in HUBSPOT_PORT.items() if hubspot != first)
    return WHAT_NEXT.format(
        env=env,
        smtp=smtp,
        web=web,
        hubspot=hubspot,
        root=ROOT,
        config=CONFIG,
        first_mail=first_mail(smtp),
        move=move(hubspot),
    )


def move(hubspot: int) -> str:
    """One line that moves the first ticket at the double."""
    return MOVE.format(hubspot=hubspot, ticket=FIRST_TICKET)


def seed(companies: dict[str, Any]) -> dict[str, Any]:
    """The sample companies as `hubspot_double.seeding` wants them."""

    def person(one: Any) -> Any:
        if isinstance(one, str):
            return one
        known = {"email": one["address"], "firstname": one.get("name"), "hs_language": one.get("language")}
        return {name: value for name, value in known.items() if value}

    return {
        "companies": [
            one | {"contacts": [person(contact) for contact in one.get("contacts", ())]}
            for one in companies["companies"]
        ]
    }


def _begin_anew() -> Path:
    """An empty folder for the state: what is known of an account that is gone is of no use. A running relay stays."""
    named = os.environ.get("SUPPORTRELAY_DEMO_STATE")
    state = Path(CONFIG.parent, named).resolve() if named else OWN_STATE
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(os.path.relpath(state / "relay.sock"))
        raise SystemExit("supportrelay: this demo runs already; end it first")
    if not named:
        shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    return state


@contextlib.contextmanager
def _double(port: int, seeds: Path) -> Iterator[None]:
    companies = yaml.safe_load(COMPANIES.read_text(encoding="utf-8"))
    seeds.write_text(yaml.safe_dump(seed(companies), allow_unicode=True), encoding="utf-8")
    command = [sys.executable, "-m", "hubspot_double", "--with-relay-properties", "--seed", str(seeds)]
    command += ["--port", str(port), "--set", "search_lag_s=1"]
    double = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        process_group=0,  # Ctrl-C ends the relay first
    )
    try:
        assert double.stdout is not None
        if "listening on" not in double.stdout.readline():
            raise SystemExit("supportrelay: the double of HubSpot did not start")
        yield
    finally:
        double.terminate()
        double.wait()


if __name__ == "__main__":
    sys.exit(main())
