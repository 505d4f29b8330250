"""The outbox of the demo: what would have been sent, as files."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from supportrelay.core.delivery import Cause, OutcomeKind, Phase
from supportrelay.edge.outbox import OutboxCourier, list_outbox, read_outbox

MAIL = b"X-Supportrelay-Id: 01JQ7Z\r\nSubject: =?utf-8?q?h=C3=A9?=\r\n\r\nHello\r\n"


async def test_a_copy_is_kept_with_its_envelope(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    outcome = await OutboxCourier(folder).send("bounce@desk.test", "ann@company.test", MAIL, is_smtputf8=False)

    assert (outcome.kind, outcome.phase, outcome.code) == (OutcomeKind.DELIVERED, Phase.DOT, 250)
    assert sorted(file.name for file in folder.iterdir() if file.name[0] != ".") == [
        "0001-01JQ7Z-ann@company.test.eml",
        "0001-01JQ7Z-ann@company.test.json",
    ]
    assert (folder / "0001-01JQ7Z-ann@company.test.eml").read_bytes() == MAIL
    sidecar = json.loads((folder / "0001-01JQ7Z-ann@company.test.json").read_text("utf-8"))
    assert (sidecar["reverse_path"], sidecar["recipient"]) == ("bounce@desk.test", "ann@company.test")


async def test_copies_are_numbered_listed_newest_first_and_read_back(tmp_path: Path) -> None:
    courier = OutboxCourier(tmp_path)
    await asyncio.gather(*(courier.send("", f"p{n}@company.test", MAIL, is_smtputf8=True) for n in range(10)))

    items = list_outbox(tmp_path)
    assert [item.number for item in items] == list(range(10, 0, -1))
    assert len({item.recipient for item in items}) == 10
    assert [item.number for item in list_outbox(tmp_path, 2)] == [10, 9]
    item, octets = read_outbox(tmp_path, "3")
    assert (item.number, item.queue_id, item.reverse_path, octets) == (3, "01JQ7Z", "", MAIL)
    assert read_outbox(tmp_path, item.name) == (item, octets)


async def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    await OutboxCourier(tmp_path).send("", "a@b.test", MAIL, is_smtputf8=False)
    await OutboxCourier(tmp_path).send("", "a@b.test", MAIL, is_smtputf8=False)

    assert [item.number for item in list_outbox(tmp_path)] == [2, 1]


@pytest.mark.parametrize(
    "recipient", ["../../etc/passwd@x.test", '"a/b\\c"@x.test', "用户@x.test", "a" * 300 + "@x.test"]
)
async def test_no_address_leads_out_of_the_folder(tmp_path: Path, recipient: str) -> None:
    folder = tmp_path / "outbox"
    outcome = await OutboxCourier(folder).send("", recipient, b"no header", is_smtputf8=False)

    assert outcome.kind is OutcomeKind.DELIVERED
    assert os.listdir(tmp_path) == ["outbox"]  # noqa: PTH208  an async test
    assert list_outbox(folder)[0].recipient == recipient
    assert list_outbox(folder)[0].queue_id == "unknown"


async def test_a_lost_lease_keeps_nothing(tmp_path: Path) -> None:
    async def lost() -> bool:
        return False

    outcome = await OutboxCourier(tmp_path).send("", "a@b.test", MAIL, is_smtputf8=False, before_data=lost)

    assert outcome.kind is OutcomeKind.DEFERRED
    assert list_outbox(tmp_path) == []


async def test_a_folder_that_cannot_be_written_defers() -> None:
    outcome = await OutboxCourier(Path(os.devnull)).send("", "a@b.test", MAIL, is_smtputf8=False)

    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, Cause.OURS)


def test_an_empty_or_foreign_folder_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "0001-x-y.json").write_text("no json")
    (tmp_path / "notes.json").write_text("{}")

    assert list_outbox(tmp_path / "nowhere") == []
    assert list_outbox(tmp_path) == []
    with pytest.raises(KeyError):
        read_outbox(tmp_path, "1")
