"""Who a mail is really from: SPF, DKIM, DMARC, ARC, and what our own gateways say."""

from supportrelay.edge.proof.prover import Prover

__all__ = ["Prover"]
