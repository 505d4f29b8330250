"""A configuration, and the command line on it."""

import json
import smtplib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from supportrelay.cli import main

CONFIG = """
addresses:
  - name: support
    address: support@desk.test
    sender: {{name: '{{author}} via Support', address: relay@desk.test}}
    allmember: [all@desk.test]
    language: ja
internal_domains: [desk.test]
admins: [it@desk.test]
language: ja
hostname: relay.desk.test
listen: [{{host: 127.0.0.1, port: {smtp}}}]
web: {{host: 127.0.0.1, port: {web}}}
trusted_networks: [127.0.0.9/32]
outbound: {{outbox: true}}
storage: {{url: "sqlite:///state/relay.db"}}
workers: 1
"""
COMPANIES = """
companies:
  - name: Acme 株式会社
    domains: [customer.test]
    contacts: [{address: ann@customer.test, name: Ann}]
    deals: [{name: Rollout, stage: open, owners: [mori@desk.test]}]
"""
MAIL = """\
From: Ann <ann@customer.test>
To: support@desk.test
Subject: Broken
Message-ID: <m1@customer.test>
Date: Fri, 20 Nov 2026 09:00:00 +0900

It is broken.
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Desk:
    """A configuration file and the commands on it."""

    config: Path
    smtp_port: int
    web_port: int

    def run(self, *arguments: str, exit_code: int | None = 0, typed: str | None = None) -> Result:
        """Run a command with ``--config`` at its end."""
        runner = CliRunner(env={"COLUMNS": "100"})
        result = runner.invoke(main, [*arguments, "--config", str(self.config)], input=typed)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        if exit_code is not None:
            assert result.exit_code == exit_code, result.output
        return result

    def json(self, *arguments: str) -> Any:
        """The JSON answer of a command."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def send(self, mail: str = MAIL, sender: str = "ann@customer.test", to: str = "support@desk.test") -> None:
        """Hand a mail to the daemon."""
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as session:
            session.sendmail(sender, [to], mail)


def desk_in(folder: Path) -> Desk:
    """A fresh desk; its state is made by whoever comes first."""
    desk = Desk(folder / "supportrelay.yaml", _free_port(), _free_port())
    desk.config.write_text(CONFIG.format(smtp=desk.smtp_port, web=desk.web_port), encoding="utf-8")
    (folder / "companies.yaml").write_text(COMPANIES, encoding="utf-8")
    return desk
