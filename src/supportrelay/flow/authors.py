"""Who has logged in may write as himself only: what is submitted is looked at before it is accepted (DESIGN 6)."""

from collections.abc import Awaitable, Callable

from supportrelay.core.envelope import Envelope
from supportrelay.core.reply import Reply
from supportrelay.flow.intake import Intake
from supportrelay.flow.turns import in_turn
from supportrelay.log import get_logger

__all__ = ["AuthorCheck"]

log = get_logger()


class AuthorCheck:
    """Stands before the accept station of a submission listener.

    Args:
        intake: The current one.
        take: The accept station.
    """

    def __init__(self, intake: Callable[[], Intake], take: Callable[[Envelope, bytes], Awaitable[Reply]]) -> None:
        self._intake = intake
        self._take = take

    async def take(self, envelope: Envelope, octets: bytes) -> Reply:
        """Refuse what names an author who is not its sender; else accept.

        Raises:
            TransientFailure: The account cannot be read now.
        """
        peer = envelope.peer
        if peer.user:
            check = self._intake().author_check(peer)
            refusal = await in_turn(octets, lambda: check(octets))
            if refusal is not None:
                log.info("message.refused", reply=str(refusal), user=peer.user, peer=peer.ip)
                return refusal
        return await self._take(envelope, octets)
