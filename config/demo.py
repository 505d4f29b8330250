"""``make run``: start the demo on free ports and say what to do next. Nothing leaves the machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELAY = ROOT / ".venv" / "bin" / "supportrelay"
CONFIG = Path("config/demo.yaml")  # commands are printed as a person in ROOT types them
COMPANIES = Path("config/demo-companies.yaml")
PORTS = {"SUPPORTRELAY_DEMO_SMTP_PORT": 8025, "SUPPORTRELAY_DEMO_WEB_PORT": 8080}
_TRIED = 200
_READY_WITHIN_S = 30

WHAT_NEXT = """
supportrelay is running: mail on 127.0.0.1:{smtp}, http://127.0.0.1:{web}/healthz says that it lives.
Nothing leaves this machine.

Send a first mail, from another terminal:

  {first_mail}

Then, in {root}:

  .venv/bin/supportrelay tickets list --config {config}    the ticket it opened
  .venv/bin/supportrelay outbox list --config {config}     the copies its owners would have got
  .venv/bin/supportrelay outbox show 1 --config {config}   the first of them, with its banner
  .venv/bin/supportrelay crm deals --config {config}       the sample companies and who owns them

The demo's desk speaks Japanese; '--language en' after a command makes it answer in English.
Ctrl-C stops it; mail and tickets stay. README.md tells the rest.
"""

# As it stands in README.md (a test compares): only the standard library of any Python 3, one line, any shell.
FIRST_MAIL = (
    "python3 -c \"import smtplib, email.utils as u; smtplib.SMTP('127.0.0.1', {smtp}).sendmail('{author}', '{desk}', "
    "'From: Hanako Yamada <{author}>\\nTo: {desk}\\nSubject: Where is our order?\\nMessage-ID: ' + u.make_msgid() + "
    "'\\n\\nIt should have come on Monday.')\""
)
AUTHOR = "yamada@sakura-works.example"  # a contact in config/demo-companies.yaml
DESK = "support@relay-demo.test"  # a support address in config/demo.yaml


def main() -> int:
    """Import the sample companies once, start the daemon, wait until it listens, tell what to do."""
    os.chdir(ROOT)
    ports = take_ports(PORTS)
    companies = subprocess.run(
        [RELAY, "crm", "companies", "--json", "--config", CONFIG], capture_output=True, check=False
    )
    if companies.stdout.strip() in {b"", b"[]"}:
        done = subprocess.run([RELAY, "crm", "import", COMPANIES, "--config", CONFIG, "--language", "en"], check=False)
        status = done.returncode
        if status:
            return status
    smtp, web = ports.values()
    return serve(CONFIG, smtp, what_next(smtp, web))


def take_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """Variable -> free port, each in the environment now; the next free ones where somebody has those."""
    ports = {name: free_port(int(os.environ.get(name, first))) for name, first in wanted.items()}
    os.environ.update({name: str(port) for name, port in ports.items()})
    return ports


def serve(config: Path, smtp: int, words: str) -> int:
    """Run the daemon until Ctrl-C; print the words when it listens. Its exit status."""
    # In a process group of its own, so that Ctrl-C reaches it once, from us.
    daemon = subprocess.Popen([RELAY, "serve", "--config", config], process_group=0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: daemon.send_signal(signal.SIGTERM))
    deadline = time.monotonic() + _READY_WITHIN_S
    while daemon.poll() is None and time.monotonic() < deadline:
        if is_taken(smtp):
            print(words, flush=True)
            break
        time.sleep(0.05)
    return daemon.wait()


def what_next(smtp: int, web: int) -> str:
    """The words for the person at the terminal."""
    return WHAT_NEXT.format(smtp=smtp, web=web, root=ROOT, config=CONFIG, first_mail=first_mail(smtp))


def first_mail(smtp: int) -> str:
    """One line that sends a mail from a sample customer to the demo's support address."""
    return FIRST_MAIL.format(smtp=smtp, desk=DESK, author=AUTHOR)


def free_port(first: int) -> int:
    """The first port from there on that nobody has; SystemExit when there is none."""
    for port in range(first, first + _TRIED):
        if not is_taken(port):
            if port != first:
                print(f"supportrelay: port {first} is taken, so {port}", file=sys.stderr)
            return port
    raise SystemExit(f"supportrelay: no free port from {first} to {first + _TRIED - 1}")


def is_taken(port: int) -> bool:
    """Somebody listens there, on this machine's loopback or on all of its addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
