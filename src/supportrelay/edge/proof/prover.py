"""Is the sender who he says he is? Everything that may vouch for him, in one verdict (DESIGN 6, RELIABILITY E)."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from supportrelay.core.decision import Proof, Verdict
from supportrelay.core.dmarc import DmarcRecord, Policy, is_aligned, names_to_ask, record_among, rule
from supportrelay.core.dns import Dns
from supportrelay.core.envelope import Role
from supportrelay.core.errors import AddressError, TransientFailure
from supportrelay.core.mailbox import Mailbox, parse_path
from supportrelay.core.ports import Domains, ProofAsked
from supportrelay.core.sight import LOGGED_IN
from supportrelay.core.value import value_class
from supportrelay.edge.proof.arc import SealerWord, ask_sealers
from supportrelay.edge.proof.dkim import Signature, check_signatures
from supportrelay.edge.proof.results import print_results, print_word
from supportrelay.edge.proof.signed_mail import is_domain
from supportrelay.edge.proof.spf import SpfChecker, SpfResult
from supportrelay.edge.proof.word import Vouched, vouched_by_gateway
from supportrelay.log import get_logger

__all__ = ["Prover"]

log = get_logger()

_NEEDED_S = 8.0  # for what decides: a colleague's mail, or a rule that asks
_NOT_NEEDED_S = 2.0  # nobody waits longer for what is only told
_AGAIN_S = 4.0  # a DNS that failed is asked once more after so long, when the answer is needed
_MOST_WAITING = 4  # mails at once; while nobody answers at all the others need not crawl
_NOBODY = "nothing vouches for it"
_NEITHER = "neither SPF nor DKIM vouches for it"
_SILENT = "the DNS did not answer"

_Records = dict[str, DmarcRecord | None]
_Limit = Callable[[str], float]


@value_class
class _Evidence:
    """What was found out.

    Attributes:
        records: Domain -> its DMARC record. unasked: domains for which the DNS gave no answer.
        spf: None when it is not ours to check.
    """

    records: _Records
    unasked: frozenset[str]
    spf: SpfResult | None
    signatures: tuple[Signature, ...]


class Prover:
    """`core.ports.SenderProver`: AUTH, trusted networks, gateways, SPF, DKIM, trusted ARC sealers.

    ``Proof.by`` is ``trusted network``, ``AUTH `` and the user, or who vouches and the aligned methods that passed,
    DKIM last: ``checked spf=pass dkim=pass``, ``gateway dmarc=pass``, ``sealer google.com dmarc=pass dkim=pass``. So
    ``dkim=pass`` in it tells that an aligned DKIM signature stands behind it, which staff outside ``internal_domains``
    need (DESIGN 6). Else it says why not.

    Args:
        dns: None asks nobody, and then only hosts, logins and gateways prove.
        sealers: Domains whose ARC seals are believed.
        asks_for_loopback: Programs on this machine have no name in the DNS; their mail is looked up only when asked to.
    """

    def __init__(
        self,
        domains: Domains,
        dns: Dns | None = None,
        *,
        authserv_id: str = "localhost",
        sealers: frozenset[str] = frozenset(),
        asks_for_loopback: bool = False,
    ) -> None:
        self._domains = domains
        self._dns = dns
        self._authserv_id = authserv_id
        self._sealers = sealers
        self._asks_for_loopback = asks_for_loopback
        self._spf = SpfChecker(dns) if dns else None
        self._waiting = 0

    async def prove(self, asked: ProofAsked) -> Proof:
        """The verdict for the author's domain; never raises, unknown on weather."""
        facts, peer = asked.facts, asked.envelope.peer
        if facts.from_fields != 1 or len(facts.from_) != 1:
            return Proof(Verdict.UNPROVEN, "not exactly one author")
        if peer.user:
            return Proof(Verdict.PROVEN, LOGGED_IN + peer.user)
        if peer.is_trusted:
            return Proof(Verdict.PROVEN, "trusted network")
        word = Vouched(why_not=_NOBODY)
        if peer.gateway:
            fields = facts.fields.get("authentication-results", ())
            word = vouched_by_gateway(fields, peer.gateway, facts.from_[0].domain, self._domains)
        author = facts.from_[0].domain
        if self._dns is None or not is_domain(author) or not self._is_worth_asking(asked, word):
            return self._by_word(word, author, peer.gateway)
        proof = await self._look_up(asked, self._dns)
        if word.methods:
            return Proof(Verdict.PROVEN, *self._said(word, author, peer.gateway), proof.fails_elsewhere)
        return replace(proof, fails_dmarc=proof.fails_dmarc or word.fails_dmarc)

    def _is_worth_asking(self, asked: ProofAsked, word: Vouched) -> bool:
        """A gateway has checked already; its word is doubted only where it matters that it found nothing."""
        peer = asked.envelope.peer
        if not self._asks_for_loopback and _is_of_this_machine(peer.ip):
            return False
        if not peer.gateway:
            return True
        if word.methods:
            return asked.is_passed_on and "dkim" not in word.methods
        return asked.is_needed or asked.is_passed_on

    def _by_word(self, word: Vouched, author: str, gateway: str) -> Proof:
        if not word.methods:
            return Proof(Verdict.UNPROVEN, word.why_not, fails_dmarc=word.fails_dmarc)
        return Proof(Verdict.PROVEN, *self._said(word, author, gateway))

    def _said(self, word: Vouched, author: str, gateway: str) -> tuple[str, str]:
        by = "gateway " + _passes(word.methods)
        return by, print_word(self._authserv_id, author, word.methods, gateway=gateway)

    async def _look_up(self, asked: ProofAsked, dns: Dns) -> Proof:
        until = time.monotonic() + (_NEEDED_S if asked.is_needed else _NOT_NEEDED_S)
        try:
            begun = time.monotonic()
            proof = await self._checked(asked, dns, until)
            again = begun + _AGAIN_S
            is_open = asked.is_needed and proof.verdict == Verdict.UNKNOWN and again < until
            if is_open and self._waiting < _MOST_WAITING:
                self._waiting += 1
                try:
                    await asyncio.sleep(max(0.0, again - time.monotonic()))
                finally:
                    self._waiting -= 1
                proof = await self._checked(asked, dns, until)
        except Exception:  # libraries on a stranger's mail; it is accepted, and marked
            log.exception("proof.broke", author=asked.facts.from_[0].domain)
            return Proof(Verdict.UNKNOWN, "the check broke")
        return proof

    async def _checked(self, asked: ProofAsked, dns: Dns, until: float) -> Proof:
        author = asked.facts.from_[0].domain
        own = self._domains.registrable(author)

        def limit_s(domain: str) -> float:
            """What cannot speak for the author is not waited for longer than for strangers."""
            left = max(0.1, until - time.monotonic())
            return left if self._domains.registrable(domain) == own else min(left, _NOT_NEEDED_S)

        (records, unasked), spf, signatures = await asyncio.gather(
            self._records(dns, (author,), limit_s(author)),
            self._check_spf(asked, limit_s),
            self._check_signatures(asked, dns, limit_s),
        )
        evidence = _Evidence(records, unasked, spf, signatures)
        evidence = await self._with_walk(evidence, dns, author, own, limit_s(author))
        proof = self._judge(evidence, author, own)
        if proof.verdict == Verdict.PROVEN or not self._sealers or "arc-seal" not in asked.facts.fields:
            return proof
        word = await ask_sealers(
            asked.octets,
            dns,
            sealers=self._sealers,
            author_domain=author,
            domains=self._domains,
            limit_s=limit_s(author),
        )
        return self._with_sealer(proof, word, author)

    async def _check_spf(self, asked: ProofAsked, limit_s: _Limit) -> SpfResult | None:
        """SPF of whoever handed the mail to us; a gateway, or a local delivery, is not its sender."""
        envelope, peer = asked.envelope, asked.envelope.peer
        if self._spf is None or peer.gateway or peer.role != Role.MX:
            return None
        sender = _mailbox(envelope.reverse_path)
        if envelope.reverse_path and sender is None:
            return SpfResult("none", "")
        domain = sender.domain if sender else peer.helo.lower()
        author = asked.facts.from_[0].domain
        decides = asked.is_needed and self._domains.registrable(domain) == self._domains.registrable(author)
        return await self._spf.check(peer.ip, peer.helo, sender, limit_s=limit_s(domain), decides=decides)

    async def _check_signatures(self, asked: ProofAsked, dns: Dns, limit_s: _Limit) -> tuple[Signature, ...]:
        if "dkim-signature" not in asked.facts.fields:
            return ()
        return await check_signatures(asked.octets, dns, limit_s)

    async def _records(self, dns: Dns, names: tuple[str, ...], limit_s: float) -> tuple[_Records, frozenset[str]]:
        """DMARC records, and the names that nobody could be asked about."""

        async def of(name: str) -> DmarcRecord | Exception | None:
            try:
                texts = await asyncio.wait_for(dns.ask(f"_dmarc.{name}", "TXT"), limit_s)
            except (TransientFailure, TimeoutError) as exc:
                return exc
            return record_among(text for text in texts if isinstance(text, bytes))

        found = dict(zip(names, await asyncio.gather(*(of(name) for name in names)), strict=True))
        records = {name: one for name, one in found.items() if not isinstance(one, Exception)}
        return records, frozenset(found) - frozenset(records)

    async def _with_walk(self, evidence: _Evidence, dns: Dns, author: str, own: str, limit_s: float) -> _Evidence:
        """With the records above the author's and the proven domains', where they decide."""
        wanted: dict[str, None] = {}
        passed = [one for one in _passed(evidence) if self._domains.registrable(one) == own]
        if evidence.records.get(author) is None or any(one != author for one in passed):
            wanted |= dict.fromkeys(names_to_ask(author, own))
        if author not in passed:
            for domain in passed:
                wanted |= dict.fromkeys(names_to_ask(domain, own))
        missing = tuple(name for name in wanted if name not in evidence.records and name not in evidence.unasked)
        if not missing:
            return evidence
        records, unasked = await self._records(dns, missing, limit_s)
        return _Evidence(evidence.records | records, evidence.unasked | unasked, evidence.spf, evidence.signatures)

    def _judge(self, evidence: _Evidence, author: str, own: str) -> Proof:
        record, policy = rule(author, own, evidence.records)
        spf, dkim = self._aligned(evidence, author, own, record)
        methods = (*(["spf"] if spf == "pass" else []), *(["dkim"] if dkim == "pass" else []))
        is_unknown = "temperror" in {spf, dkim}
        if methods:
            dmarc = "pass" if record else "temperror" if evidence.unasked else "none"
            verdict, by = Verdict.PROVEN, "checked " + _passes(methods)
        elif is_unknown:
            dmarc, verdict, by = "temperror", Verdict.UNKNOWN, _SILENT
        else:
            dmarc = "fail" if record else "temperror" if evidence.unasked else "none"
            verdict, by = Verdict.UNPROVEN, _NEITHER
        header = print_results(
            self._authserv_id,
            author,
            dmarc=dmarc,
            policy=policy if record else None,
            spf=evidence.spf,
            signatures=evidence.signatures,
        )
        fails = bool(record) and policy != Policy.NONE and dkim not in {"pass", "temperror"}
        return Proof(verdict, by, header, fails, fails_dmarc=dmarc == "fail" and evidence.spf is not None)

    def _aligned(self, evidence: _Evidence, author: str, own: str, record: DmarcRecord | None) -> tuple[str, str]:
        """What SPF and DKIM say for the author's domain: ``pass``, ``temperror`` or "" (nothing)."""
        strict = record or DmarcRecord()

        def said(result: str, domain: str, *, is_strict: bool) -> str:
            registrable = self._domains.registrable(domain)
            if result not in {"pass", "temperror"} or registrable != own:
                return ""
            needed = () if domain == author else (*names_to_ask(author, own), *names_to_ask(domain, own))
            if not evidence.unasked.isdisjoint(needed):
                return "temperror"
            is_one = is_aligned(
                domain, author, is_strict=is_strict, registrables=(registrable, own), records=evidence.records
            )
            return result if is_one or result == "temperror" else ""

        spf = said(evidence.spf.result, evidence.spf.domain, is_strict=strict.is_strict_spf) if evidence.spf else ""
        words = {said(one.result, one.domain, is_strict=strict.is_strict_dkim) for one in evidence.signatures}
        return spf, "pass" if "pass" in words else "temperror" if "temperror" in words else ""

    def _with_sealer(self, proof: Proof, word: SealerWord, author: str) -> Proof:
        if word.methods:
            by = f"sealer {word.sealer} {_passes(word.methods)}"
            header = print_word(self._authserv_id, author, word.methods, gateway="", sealer=word.sealer)
            return Proof(Verdict.PROVEN, by, header, proof.fails_elsewhere)
        if word.is_unknown:
            return Proof(Verdict.UNKNOWN, _SILENT, proof.header, proof.fails_elsewhere)
        return proof

    def close(self) -> None:
        """Begin no more checks."""
        if self._spf is not None:
            self._spf.close()


def _passes(methods: tuple[str, ...]) -> str:
    return " ".join(f"{method}=pass" for method in methods)


def _passed(evidence: _Evidence) -> list[str]:
    """Domains that SPF or DKIM proved, or might prove when the DNS answers."""
    found = [one.domain for one in evidence.signatures if one.result == "pass"]
    if evidence.spf is not None and evidence.spf.result == "pass":
        found.append(evidence.spf.domain)
    return list(dict.fromkeys(found))


def _mailbox(path: str) -> Mailbox | None:
    try:
        return parse_path(path)
    except AddressError:
        return None


def _is_of_this_machine(ip: str) -> bool:
    """By loopback, or by a socket of the file system, which has no address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return True
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
