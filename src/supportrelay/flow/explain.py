"""explain: what would happen to a mail, by the code that serves; changes nothing."""

from supportrelay.core.decision import Decision
from supportrelay.core.envelope import Envelope
from supportrelay.core.ports import Accepted
from supportrelay.flow.assess import facts_of
from supportrelay.flow.journey import decide_on
from supportrelay.flow.office import Office, Rulebook

__all__ = ["explain"]


async def explain(office: Office, rulebook: Rulebook, octets: bytes, envelope: Envelope) -> Decision:
    """Return the decision that this mail would get now.

    Raises:
        TransientFailure: The store cannot be read.
    """
    facts = await facts_of(octets)
    accepted = Accepted("explained", envelope, octets, office.now())
    assigned, _ = await decide_on(office, rulebook, accepted, facts, may_wait=False, acts=False)
    return assigned.decision
