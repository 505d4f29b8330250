"""Calls of HubSpot: which are believed, and what they say. Signatures here are made apart from the code under test."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.profile import SOME
from supportrelay.edge.crm.hubspot.webhook import EventKind, WebhookEvent, events, verify

SECRET = "1f2e3d4c-secret"
NOW = 1_795_312_800_000
URI = "https://relay.example/hubspot?from=a%20b"
BODY = '[{"subscriptionType":"ticket.propertyChange","objectId":5001,"propertyValue":"完了"}]'.encode()


def signed(method: str, uri: str, body: bytes, timestamp: str, secret: str = SECRET) -> str:
    """As HubSpot describes it, with Python's own hmac object (RFC 2104)."""
    code = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    for part in (method.encode(), uri.encode(), body, timestamp.encode()):
        code.update(part)
    return base64.b64encode(code.digest()).decode()


def headers(signature: str, timestamp: str = str(NOW)) -> dict[str, str]:
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": timestamp}


def test_a_signature_known_from_elsewhere_is_right() -> None:
    """Computed with ``openssl dgst -sha256 -hmac``, so that one mistake cannot hide in both programs of ours."""
    sent = headers("U6LKWyuZLbcfNbfJVQ/ojCVKiqTmlR2XMrCpuu+ycDc=")

    assert verify(sent, "POST", "https://relay.example/hubspot", b"[]", "secret", NOW)


@pytest.mark.parametrize("at", [NOW, NOW + 300_000, NOW - 300_000])
def test_a_call_of_the_last_five_minutes_is_believed(at: int) -> None:
    sent = headers(signed("POST", URI, BODY, str(NOW)))

    assert verify(sent, "POST", URI, BODY, SECRET, at)
    assert verify({name.lower(): value for name, value in sent.items()}, "post", URI, BODY, SECRET, at)


@pytest.mark.parametrize(
    ("raw", "hashed"),
    [
        pytest.param("https://x.test/a%3Fb%2fc", "https://x.test/a?b/c", id="listed ones, either case"),
        pytest.param(
            "https://x.test/?q=%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B", "https://x.test/?q=:/?@!$'()*,;", id="all listed"
        ),
        pytest.param("https://x.test/?q=%20%23%25%26%3D%2B%5B", "https://x.test/?q=%20%23%25%26%3D%2B%5B", id="others"),
        pytest.param("https://x.test/?q=%253A", "https://x.test/?q=%253A", id="never twice"),
    ],
)
def test_the_address_is_hashed_with_a_few_characters_decoded(raw: str, hashed: str) -> None:
    assert verify(headers(signed("POST", hashed, b"[]", str(NOW))), "POST", raw, b"[]", SECRET, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"method": "PUT"}, id="method"),
        pytest.param({"uri": "https://other.example/hubspot?from=a%20b"}, id="address"),
        pytest.param({"body": BODY + b" "}, id="body"),
        pytest.param({"secret": "another"}, id="secret"),
        pytest.param({"secret": ""}, id="no secret"),
        pytest.param({"now_ms": NOW + 300_001}, id="old"),
        pytest.param({"now_ms": NOW - 300_001}, id="from the future"),
        pytest.param({"headers": headers("", str(NOW))}, id="empty signature"),
        pytest.param({"headers": headers("Zm9vYmFy")}, id="another signature"),
        pytest.param({"headers": headers("署名")}, id="not ASCII"),
        pytest.param({"headers": headers(signed("POST", URI, BODY, "soon"), "soon")}, id="timestamp is a word"),
        pytest.param({"headers": headers(signed("POST", URI, BODY, "١٢٣"), "١٢٣")}, id="timestamp in other digits"),
        pytest.param({"headers": headers(signed("POST", URI, BODY, "-1"), "-1")}, id="negative timestamp"),
        pytest.param({"headers": {"X-HubSpot-Signature-v3": signed("POST", URI, BODY, "")}}, id="no timestamp"),
        pytest.param({"headers": {}}, id="nothing"),
    ],
)
def test_anything_else_is_not_believed(changed: dict[str, Any]) -> None:
    call: dict[str, Any] = {
        "headers": headers(signed("POST", URI, BODY, str(NOW))),
        "method": "POST",
        "uri": URI,
        "body": BODY,
        "secret": SECRET,
        "now_ms": NOW,
    }
    assert verify(**call)
    assert not verify(**{**call, **changed})


def test_version_1_counts_only_where_it_is_allowed_and_nothing_newer_came() -> None:
    """It can be played again for ever; a call with a broken newer signature must not fall back to it."""
    old = {"X-HubSpot-Signature": hashlib.sha256(SECRET.encode() + BODY).hexdigest()}

    assert verify(old, "POST", URI, BODY, SECRET, NOW, accepts_v1=True)
    assert not verify(old, "POST", URI, BODY, SECRET, NOW)
    assert not verify(old, "POST", URI, BODY + b" ", SECRET, NOW, accepts_v1=True)
    assert not verify({**old, **headers("Zm9v")}, "POST", URI, BODY, SECRET, NOW, accepts_v1=True)


def test_events_tell_which_tickets_and_what_happened() -> None:
    at = 1_795_312_700_123
    told = [
        {"subscriptionType": "ticket.propertyChange", "objectId": 1, "occurredAt": at, "propertyName": "subject"},
        {"subscriptionType": "ticket.propertyChange", "objectId": "1", "occurredAt": at + 1},
        {"subscriptionType": "ticket.creation", "objectId": 2},
        {"subscriptionType": "ticket.deletion", "objectId": 3},
        {"subscriptionType": "ticket.restore", "objectId": 4},
        {"subscriptionType": "ticket.merge", "objectId": 5, "primaryObjectId": 6, "mergedObjectIds": [7, "8", None]},
        {"subscriptionType": "object.propertyChange", "objectTypeId": "0-5", "objectId": 9},
        {"subscriptionType": "object.deletion", "objectTypeId": "0-3", "objectId": 10},
        {"subscriptionType": "contact.deletion", "objectId": 11},
        {"subscriptionType": "ticket.somethingNew", "objectId": 12},
        {"subscriptionType": "ticket.propertyChange"},
        {"subscriptionType": ["ticket.propertyChange"], "objectId": 13},
        None,
        "ticket",
    ]

    found = events(json.dumps(told).encode())

    assert found[0] == WebhookEvent("1", EventKind.CHANGED, datetime(2026, 11, 22, 1, 58, 20, 124000, tzinfo=UTC))
    assert [(event.object_id, str(event.kind)) for event in found[1:]] == [
        ("2", "changed"),
        ("3", "deleted"),
        ("4", "restored"),
        ("7", "merged"),
        ("8", "merged"),
        ("6", "changed"),
        ("9", "changed"),
        ("12", "changed"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"\xff\xfe",
        b"12",
        b"[" * 100_000,
        b'{"objectId": 1}',
        b'[{"subscriptionType": "ticket.merge", "mergedObjectIds": {"a": 1}}]',
    ],
)
def test_what_is_no_list_of_events_says_nothing(body: bytes) -> None:
    assert events(body) == ()


def test_no_more_than_a_hundred_events_are_read() -> None:
    told = [{"subscriptionType": "ticket.creation", "objectId": number} for number in range(1000)]

    assert len(events(json.dumps(told).encode())) == 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@SOME
@given(
    st.lists(
        st.fixed_dictionaries(
            {"subscriptionType": st.just("ticket.merge")},
            optional={
                "objectId": JSON,
                "primaryObjectId": JSON,
                "mergedObjectIds": JSON,
                "occurredAt": JSON,
            },
        )
    )
)
def test_events_may_hold_anything(told: list[Any]) -> None:
    for event in events(json.dumps(told).encode()):
        assert event.object_id
