"""Webhooks: ticket events POSTed with HubSpot's v3 signature (CRM_FACTS section 1 i).

At least once and in no order: ``duplicates`` sends every batch twice, ``shuffles`` mixes a batch's events. An answer
other than 2xx is tried again up to ten times.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from typing import Any
from urllib.parse import unquote

import httpx

from hubspot_double.account import Event
from hubspot_double.settings import Settings

__all__ = ["Webhooks", "signature_v3"]

_DECODED = ("%3A", "%2F", "%3F", "%40", "%21", "%24", "%27", "%28", "%29", "%2A", "%2C", "%3B")
_MOST_EVENTS = 100
_TRIES = 11


def signature_v3(secret: str, method: str, url: str, body: bytes, timestamp_ms: int) -> str:
    """base64(HMAC-SHA256(secret, method + URL + body + timestamp)); some escapes of the URL decoded."""
    for escape in _DECODED:
        url = url.replace(escape, unquote(escape)).replace(escape.lower(), unquote(escape))
    text = f"{method}{url}".encode() + body + str(timestamp_ms).encode()
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


class Webhooks:
    """Collects events and posts them; nothing happens without a ``url``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = self.secret = ""
        self.duplicates = self.shuffles = False
        self.signs_rightly = True
        self.retry_after_s = 1.0
        self.sent: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        self._task: asyncio.Task[None] | None = None
        self._random = random.Random(1)
        self._count = 0
        self._under_way = 0

    def hear(self, event: Event) -> None:
        """A listener of the account."""
        if not self.url:
            return
        self._count += 1
        body: dict[str, Any] = {
            "eventId": self._count,
            "subscriptionId": 1001,
            "portalId": self.settings.portal_id,
            "appId": 25200,
            "occurredAt": int(event.at * 1000),
            "subscriptionType": event.type,
            "attemptNumber": 0,
            "objectId": int(event.object_id),
            "changeSource": event.source.type,
            "sourceId": event.source.id,
        }
        if event.property_name:
            body |= {"propertyName": event.property_name, "propertyValue": event.value}
        else:
            body["changeFlag"] = event.type.partition(".")[2].upper()
        self._waiting.append(body)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send_all())

    @property
    def waiting(self) -> int:
        """Events that are not delivered, nor given up."""
        return len(self._waiting) + self._under_way

    async def _send_all(self) -> None:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_EVENTS], self._waiting[_MOST_EVENTS:]
                if self.shuffles:
                    self._random.shuffle(batch)
                self._under_way = len(batch)
                for _ in range(2 if self.duplicates else 1):
                    await self._send(client, batch)
                self._under_way = 0

    async def _send(self, client: httpx.AsyncClient, batch: list[dict[str, Any]]) -> None:
        for attempt in range(_TRIES):
            body = json.dumps([one | {"attemptNumber": attempt} for one in batch]).encode()
            at = int(time.time() * 1000)
            signature = signature_v3(self.secret, "POST", self.url, body, at)
            headers = {
                "Content-Type": "application/json",
                "X-HubSpot-Signature-Version": "v3",
                "X-HubSpot-Signature-v3": signature if self.signs_rightly else signature[::-1],
                "X-HubSpot-Request-Timestamp": str(at),
            }
            try:
                status = (await client.post(self.url, content=body, headers=headers)).status_code
            except httpx.HTTPError as error:
                status = 0
                self.sent.append({"status": 0, "events": len(batch), "error": type(error).__name__})
            else:
                self.sent.append({"status": status, "events": len(batch)})
            if 200 <= status < 300:
                return
            await asyncio.sleep(self.retry_after_s)

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
