"""A zone of the DNS in memory: what is not in it does not exist, what is `SILENT` gives no answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

from supportrelay.core.dns import DnsRecord, RecordKind
from supportrelay.core.errors import TransientFailure

__all__ = ["NEVER", "SILENT", "Zone"]

SILENT = "silent"  # fails at once
NEVER = "never"  # is waited for in vain


class Zone:
    """`core.dns.Dns`.

    Attributes:
        records: Name -> TXT records, or kind -> records, or one of the words above.
        asked: Names in the order of the questions.
    """

    def __init__(self, records: Mapping[str, Any]) -> None:
        self.records: dict[str, Any] = dict(records)
        self.asked: list[str] = []

    async def ask(self, name: str, kind: RecordKind) -> tuple[DnsRecord, ...]:
        """See `core.dns.Dns`."""
        self.asked.append(name)
        found = self.records.get(name.lower(), {})
        if found == SILENT:
            raise TransientFailure("4.4.3", "DNS did not answer", detail=name)
        if found == NEVER:
            await asyncio.Event().wait()
        by_kind = found if isinstance(found, dict) else {"TXT": found}
        records = by_kind.get(kind, ())
        listed = records if isinstance(records, list) else [records] if records else []
        return tuple(one.encode() if kind == "TXT" and isinstance(one, str) else one for one in listed)
