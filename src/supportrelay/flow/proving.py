"""proving: a mail's sender is asked about once, however often its decision is made."""

from supportrelay.core.decision import Proof
from supportrelay.core.envelope import Envelope
from supportrelay.core.facts import Facts
from supportrelay.core.membership import Membership
from supportrelay.core.ports import ProofAsked
from supportrelay.flow.office import Rulebook

__all__ = ["Proving"]


class Proving:
    """The proof of one mail's sender.

    Args:
        octets: As received; what was signed.
    """

    __slots__ = ("_octets", "_proof")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._proof: Proof | None = None

    async def proof(self, rulebook: Rulebook, facts: Facts, envelope: Envelope, members: Membership) -> Proof:
        """The verdict; the first time it looks at the world, which may take seconds (`ProofAsked.is_needed`)."""
        if self._proof is None:
            is_needed = rulebook.asks_for_proof or any(
                members.is_staff(one) or members.is_ours(one.key) for one in facts.from_
            )
            asked = ProofAsked(facts, envelope, self._octets, is_needed=is_needed, is_passed_on=rulebook.passes_on)
            self._proof = await rulebook.prover.prove(asked)
        return self._proof
