"""Every mail of the corpus through the daemon: what each one is taken for, and that its copy is what DESIGN 3 promises.

The mails are real and not ours; only the envelope is, so that each one is inbound mail of somebody. Their From decides
whose: nearly all of it goes to Allmember, and that is as it should be.
"""

import re
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from journeys.companies import one_owner
from journeys.letters import Desk, header, open_desk, support_address
from rfc_checker import Circumstances, Finding, check, taken_in
from smtp_sink import Received
from supportrelay.core.automatic import classify_automatic
from supportrelay.core.banner import Banner
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.reading import read_facts
from supportrelay.core.rewrite import CopyContext, compose_copy
from supportrelay.core.settings import SupportAddress

CORPUS = Path(__file__).parents[3] / "shared" / "mails"
MAILS = sorted(p for p in CORPUS.rglob("*") if p.is_file() and p.name not in {"README.md", ".gitattributes"})
SUPPORT = "support@desk.test"
SENDER = "support-relay@desk.test"
ALL = "all-support@desk.test"
TABLE = Path(__file__).parents[2] / "build" / "corpus-classes.txt"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MAILS, reason="THE CORPUS IS NOT HERE: no real mail was tried"),
]


def _envelope(reverse_path: str) -> Envelope:
    return Envelope(reverse_path, (SUPPORT,), Peer("127.0.0.2", "mail.acme.example", Role.MX))


def as_sent(path: Path) -> bytes:
    """A file as a mail server would send it: CRLF line ends, the last line ended too."""
    octets = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def goes_round(octets: bytes) -> bool:
    """More than 50 Received: refused at the dot with 5.4.6, as DESIGN 5 says."""
    return len(re.findall(rb"(?im)^received:", octets.partition(b"\r\n\r\n")[0])) > 50


@dataclass(frozen=True)
class Passage:
    """One mail's way: what was sent, what was answered, what became of it, what arrived."""

    path: Path
    octets: bytes
    refused: str
    life: dict[str, Any]
    copies: list[Received]

    @property
    def name(self) -> str:
        """Its path below the corpus."""
        return str(self.path.relative_to(CORPUS))

    @property
    def direction(self) -> str:
        """As decided; "" for a refused one."""
        return str(self.life["decision"]["direction"]) if self.life else ""

    @property
    def automatic(self) -> str:
        """What classifies it, and what would if its envelope had been the null path that its own header tells of."""
        facts = read_facts(taken_in(self.octets))
        kinds = [str(classify_automatic(facts, _envelope(path)).kind) for path in ("kunde@acme.example", "")]
        was_null = facts.first("return-path").replace(" ", "") == "<>"
        return f"{kinds[0]}, <>: {kinds[1]}" if was_null and kinds[0] != kinds[1] else kinds[0]

    @property
    def notes(self) -> list[str]:
        """What the trace says was done to its copies."""
        found = (c["why"].get("copy_notes", ()) for c in self.life["changes"] if c["what"] == "delivery.delivered")
        return sorted({str(note) for notes in found for note in notes})

    @property
    def row(self) -> list[str]:
        """Its line of the table."""
        form = next((n for n in self.notes if n.startswith(("banner.", "unparsed"))), "edited")
        return [
            self.name,
            self.direction,
            self.automatic,
            str(self.life["decision"]["disposition"]),
            str(self.life["state"]),
            form if self.copies else "-",
            header(self.octets, "Subject")[:60],
        ]

    def findings(self) -> list[Finding]:
        """What the checker has against its copies."""
        return [
            finding
            for copy in self.copies
            for finding in check(
                self.octets,
                copy.octets,
                Circumstances(
                    SENDER,
                    self.notes,
                    is_list=copy.recipients == (ALL,),
                    eight_bit="BODY=8BITMIME" in copy.mail_parameters,
                    utf8="SMTPUTF8" in copy.mail_parameters,
                    banner=self.direction != "report",
                ),
            )
        ]


def passed_through(desk: Desk, mails: list[Path]) -> list[Passage]:
    """Send them, each with a reverse-path of its own, wait until nothing is left to do, and tell of each."""
    paths = {path: f"kunde+{number}@acme.example" for number, path in enumerate(mails)}

    def send(path: Path) -> str:
        try:
            desk.relay.send(as_sent(path), paths[path], [SUPPORT])
        except Exception as exc:  # noqa: BLE001  whatever it is, it is judged below
            return repr(exc)
        return ""

    with ThreadPoolExecutor(4) as senders:
        refused = dict(zip(mails, senders.map(send, mails), strict=True))
    desk.relay.settle(60)
    listed = {m["reverse_path"]: m["queue_id"] for m in desk.relay.ask("queue.list", finished=True)}
    copies: dict[str, list[Received]] = defaultdict(list)
    for copy in desk.sink.messages:
        copies[header(copy.octets, "X-Supportrelay-Id")].append(copy)
    found = []
    for path, reverse_path in paths.items():
        queue_id = listed.get(reverse_path, "")
        life = desk.life(queue_id) if queue_id else {}
        found.append(Passage(path, as_sent(path), refused[path], life, copies[queue_id]))
    return found


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> list[Passage]:
    """All of it. What a desk takes for a mail that it had already goes to a new desk, so that each has a copy."""
    config = {"addresses": [support_address("support")], "workers": 2}
    found: dict[Path, Passage] = {}
    left = MAILS
    while left:
        with open_desk(tmp_path_factory.mktemp("corpus"), config, [one_owner("acme", "ann@staff.test")]) as desk:
            found |= {passage.path: passage for passage in passed_through(desk, left)}
        again = [path for path in left if found[path].direction == "duplicate"]
        assert len(again) < len(left), "a desk that had nothing took all for duplicates"
        left = again
    return [found[path] for path in MAILS]


def test_every_mail_is_taken_and_gets_where_it_should(passages: list[Passage]) -> None:
    """None lost, none refused but what goes round, none held because a station broke on it."""
    for passage in passages:
        if goes_round(passage.octets):
            assert "5.4.6" in passage.refused, passage.name
            continue
        assert not passage.refused, (passage.name, passage.refused)
        state = passage.life["state"]
        assert state == ("held" if passage.direction == "spam" else "delivered"), (passage.name, passage.direction)
        assert len(passage.copies) == len(passage.life["deliveries"]), passage.name
        assert bool(passage.copies) == (state == "delivered"), passage.name
        broken = [note for note in passage.notes if note.endswith(("Error", "Exception"))]
        assert not broken, (passage.name, broken)


def test_every_copy_is_what_was_promised(passages: list[Passage]) -> None:
    found = {passage.name: findings for passage in passages if (findings := passage.findings())}

    print(*(f"{name}: {finding}" for name, findings in found.items() for finding in findings), sep="\n")
    print(Counter(finding.rule for findings in found.values() for finding in findings))
    assert not found


def test_each_mail_is_taken_for_something_and_the_table_says_for_what(passages: list[Passage]) -> None:
    """Written to build/corpus-classes.txt, to be read by people; the numbers of each class are printed."""
    rows = [passage.row for passage in passages if passage.life]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")

    classes = Counter((row[1], row[2]) for row in rows)

    print(*(f"{number:4} {direction} {kind}" for (direction, kind), number in sorted(classes.items())), sep="\n")
    print(*(f"{number:4} {form}" for form, number in sorted(Counter(row[5] for row in rows).items())), sep="\n")
    assert len(rows) == sum(not goes_round(passage.octets) for passage in passages)


ADDRESS = SupportAddress(
    name="support",
    address=SUPPORT,
    sender_name="{author} via Support",
    sender_address=SENDER,
    allmember=(ALL,),
    bounce_address="support+b-{token}@desk.test",
)
BANNER = Banner("――― 案内 ―――\n" * 8, '<div class="supportrelay-banner">案内</div>\n')


def test_no_mail_holds_the_event_loop(passages: list[Passage]) -> None:
    """What the daemon does on its loop with one mail, here without it: read, classify, write the copy."""
    took = sorted(((_work_ms(passage.octets), passage.name) for passage in passages), reverse=True)

    print(*(f"{ms:7.2f} ms {name}" for ms, name in took[:10]), sep="\n")
    assert took[0][0] < 50


def _work_ms(octets: bytes) -> float:
    """The least of three, in processor time: the machine has other work."""
    least = float("inf")
    for number in range(3):
        mail = b"X-Run: %d\r\n" % number + octets  # nothing is remembered from before
        began = time.process_time()
        classify_automatic(read_facts(mail), _envelope("kunde@acme.example"))
        compose_copy(
            mail,
            plan=CopyPlan("support", author_name="x", reply_to=(SUPPORT,)),
            address=ADDRESS,
            kind=DeliveryKind.OWNER,
            context=CopyContext("q1", 1, "desk.test", b"Received: from a by b\r\n", "v1"),
            banner=BANNER,
        )
        least = min(least, (time.process_time() - began) * 1000)
    return least
