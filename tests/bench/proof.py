"""What the proof of a sender costs: CPU time of the process, with the DNS's answers at hand."""

import asyncio
import statistics
import time

from signed import RSA, letter, signed
from supportrelay.core.decision import Verdict
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.ports import ProofAsked
from supportrelay.core.reading import read_facts
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.proof import Prover
from zone import Zone

__all__ = ["cost_of_proof"]

_SENDER = "ann@a.example"
_LINE = "A line of the question, about as long as people write them.\r\n"
_SIZES = (4096, 1 << 20)
_ZONE = {
    "a.example": "v=spf1 include:spf.a.example -all",
    "spf.a.example": "v=spf1 ip4:192.0.2.0/24 -all",
    "_dmarc.a.example": "v=DMARC1; p=reject",
    "s1._domainkey.a.example": RSA.record.decode(),
}
_WORD = b"Authentication-Results: gw.test; dmarc=pass header.from=a.example\r\n"


def cost_of_proof(mails: int) -> dict[str, dict[str, float]]:
    """For each way to be proven the median milliseconds for a mail of 4 KiB and of 1 MiB."""
    return asyncio.run(_costs(mails))


async def _costs(mails: int) -> dict[str, dict[str, float]]:
    prover = Prover(PublicDomains(), Zone(_ZONE), authserv_id="relay.test")
    found: dict[str, dict[str, float]] = {}
    for octets in _SIZES:
        plain = letter(f"Ann <{_SENDER}>", body=_LINE * (octets // len(_LINE)))
        stranger = Peer("192.0.2.7", "host.a.example")
        ways = {
            "trusted network": (plain, Peer("192.0.2.7", "host.a.example", is_trusted=True)),
            "gateway's word": (_WORD + plain, Peer("192.0.2.9", "gw", gateway="gw.test")),
            "SPF": (plain, stranger),
            "SPF and DKIM (RSA)": (signed(plain, "a.example", canonicalize=(b"relaxed", b"relaxed")), stranger),
        }
        for name, (message, peer) in ways.items():
            asked = ProofAsked(read_facts(message), Envelope(_SENDER, ("support@desk.test",), peer), message)
            row = [await _once(prover, asked) for _ in range(max(5, mails * _SIZES[0] // octets))]
            found.setdefault(name, {})[f"{octets}_ms"] = round(statistics.median(row), 3)
    prover.close()
    return found


async def _once(prover: Prover, asked: ProofAsked) -> float:
    begun = time.process_time_ns()
    proof = await prover.prove(asked)
    assert proof.verdict is Verdict.PROVEN
    return (time.process_time_ns() - begun) / 1e6
