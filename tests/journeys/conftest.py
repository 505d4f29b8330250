"""One relay for the whole table: every row uses companies, ids and subjects of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from journeys.companies import COMPANIES
from journeys.relay import GATEWAY, OURS, Relay
from journeys.traffic import is_own_mail
from smtp_sink import ThreadedSink


def desk_config(sink_port: int) -> dict[str, Any]:
    return {
        "hostname": "relay.desk.test",
        "addresses": [
            {
                "name": "support",
                "address": "support@desk.test",
                "aliases": ["help@desk.test"],
                "sender": {"name": "{author} via Support", "address": "relay@desk.test"},
                "allmember": ["all@desk.test"],
                "form_senders": ["form@webforms.example"],
                "language": "ja",
                "manual_url": "https://desk.test/manual",
            },
            {
                "name": "sales",
                "address": "sales@desk.test",
                "sender": {"name": "Sales", "address": "sales-relay@desk.test"},
                "allmember": ["all-sales@desk.test"],
                "language": "en",
            },
            {
                "name": "open-only",
                "address": "open@desk.test",
                "sender": {"name": "Open", "address": "open-relay@desk.test"},
                "allmember": ["all-open@desk.test"],
                "language": "en",
                "deal_states": ["open"],
            },
        ],
        "internal_domains": ["desk.test", "staff.test"],
        "admins": ["it@staff.test"],
        "trusted_networks": [OURS],
        "gateways": [{"networks": [GATEWAY], "authserv_id": "gw.test", "original_recipient": ["X-Gm-Original-To"]}],
        "outbound": {"host": "127.0.0.1", "port": sink_port, "tls": "none"},
        "workers": 2,
        "rules": [
            {
                "name": "into another system",
                "when": {"recipient": "case@desk.test"},
                "then": {"rewrite_recipient": "case@crm.example", "also_to": ["boss@staff.test"]},
            }
        ],
    }


@pytest.fixture(scope="session")
def sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        sink.settings.sets_aside = is_own_mail
        yield sink


@pytest.fixture(scope="session")
def relay(sink: ThreadedSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = Relay(tmp_path_factory.mktemp("desk"), desk_config(sink.port), COMPANIES)
    relay.start()
    yield relay
    assert relay.stop() == 0
