"""seal: put our DKIM signatures in front of what we send, after the last edit."""

from dataclasses import replace

from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.envelope import Role
from supportrelay.core.rewrite import Copy
from supportrelay.flow.compose import Original
from supportrelay.flow.office import Rulebook
from supportrelay.log import get_logger

__all__ = ["sealed", "unsealed"]

log = get_logger()


def sealed(rulebook: Rulebook, original: Original, kind: DeliveryKind, copy: Copy) -> Copy:
    """The copy, signed when we answer for what its From says; never raises, for an unsigned copy is better than none.

    Copies and what we write ourselves carry a From of ours. What is passed on carries its author's: only submission
    has proven that he is one of our people, and a forged mail from our domain must not get our signature (C50).
    """
    if rulebook.sealer is None or (kind.keeps_author and original.envelope.peer.role != Role.SUBMISSION):
        return copy
    try:
        fields = rulebook.sealer.seal(copy.octets, original.accepted_at)
    except Exception as exc:
        log.exception("copy.not_signed", queue_id=original.queue_id)
        return replace(copy, notes=(*copy.notes, f"dkim.not_signed:{type(exc).__name__}"))
    return replace(copy, octets=fields + copy.octets, sealed=len(fields)) if fields else copy


def unsealed(copy: Copy) -> Copy:
    """The copy before it was signed."""
    return replace(copy, octets=copy.octets[copy.sealed :], sealed=0) if copy.sealed else copy
