"""bootstrap_proof: who vouches for senders, and the resolver they are looked up with."""

from supportrelay.config import Config
from supportrelay.core.ports import Domains
from supportrelay.edge.dns import DnsResolver
from supportrelay.edge.proof import Prover

__all__ = ["SenderProof", "open_proof"]


class SenderProof:
    """The prover of one process and its resolver.

    Attributes:
        prover: For the rulebook.
    """

    def __init__(self, prover: Prover, dns: DnsResolver) -> None:
        self.prover = prover
        self._dns = dns

    async def aclose(self) -> None:
        """Begin no checks any more and give up what is being asked."""
        self.prover.close()
        await self._dns.aclose()


def open_proof(config: Config, domains: Domains) -> SenderProof:
    """Nothing is asked yet: the first mail that needs it opens the resolver."""
    dns = DnsResolver(config.dns.endpoints, timeout_s=config.dns.timeout.total_seconds())
    prover = Prover(
        domains,
        dns,
        authserv_id=config.authserv_id,
        sealers=frozenset(config.trusted_arc_sealers),
        asks_for_loopback=bool(config.dns.servers),
    )
    return SenderProof(prover, dns)
