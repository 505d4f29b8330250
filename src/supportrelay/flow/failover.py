"""Failover: a mail that nobody got goes to Allmember (DESIGN 5). Nobody gets it twice."""

from collections.abc import Mapping
from typing import Any

from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.ports import NewDelivery
from supportrelay.flow.message_ids import id_of_failover
from supportrelay.flow.office import Office, Rulebook
from supportrelay.log import get_logger

__all__ = ["give_to_allmember", "sweep"]

log = get_logger()


async def give_to_allmember(
    office: Office,
    rulebook: Rulebook,
    queue_id: str,
    *,
    address_name: str,
    copy_plan: Mapping[str, Any] | None,
    already: frozenset[str],
    why: str,
) -> int:
    """Add copies for everybody of Allmember who has none; returns how many. Without anybody left it is a person's turn.

    A second copy to somebody who may hold the first carries a new Message-ID (DESIGN 5); Allmember never had one.
    """
    if copy_plan is None or copy_plan.get("is_passed_on"):  # passed on as it came: Allmember has no part in it
        await office.store.add_failover(queue_id, [], why, office.now())
        if why == "all_failed":
            log.error("message.dead", queue_id=queue_id)
        return 0
    address = rulebook.address(address_name)
    now = office.now()
    people = [a for a in address.allmember if a.lower() not in already]
    new_id = id_of_failover(office, address, queue_id)
    deliveries = [NewDelivery(a, DeliveryKind.LIST, "failover", due_at=now, new_message_id=new_id) for a in people]
    await office.store.add_failover(queue_id, deliveries, why, now)
    if deliveries or why != "all_failed":
        log.warning("message.failed_over", queue_id=queue_id, why=why, copies=len(deliveries))
    else:
        log.error("message.dead", queue_id=queue_id)
    return len(deliveries)


async def sweep(office: Office, rulebook: Rulebook) -> int:
    """Find what nobody has got for ``failover_after``, or what failed everywhere, and give it to Allmember."""
    waiting = await office.store.nobody_got(office.now() - rulebook.desk.failover_after, 100)
    for message in waiting:
        await give_to_allmember(
            office,
            rulebook,
            message.queue_id,
            address_name=message.address_name,
            copy_plan=message.copy_plan,
            already=message.recipients,
            why="all_failed" if message.all_failed else "failover_after",
        )
    return len(waiting)
