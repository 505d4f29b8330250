"""The ticket board as a page for people, ``/_double/board``: a column for each stage, buttons to move tickets."""

from html import escape
from typing import Any

from hubspot_double.account import Account, Record, iso

__all__ = ["page"]

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>HubSpot double</title><style>
body {{ font: 15px/1.4 sans-serif; margin: 1.5em }}
.board {{ display: flex; gap: 1em; align-items: flex-start }}
.stage {{ flex: 1; background: #eef1f5; padding: .6em }}
.ticket {{ background: #fff; margin: .6em 0; padding: .6em }}
small {{ color: #566 }}
</style></head><body>
<h1>A HubSpot account that lives in this process</h1>
<p>{count} tickets. Reload to see what changed; the buttons move a ticket as a person would in HubSpot.
<a href="/_double/state">The same as JSON</a>, <a href="/_double/log">every call</a>.</p>
{boards}
<script>
function change(name, arguments_) {{
  fetch('/_double/' + name, {{method: 'POST', body: JSON.stringify(arguments_)}}).then(() => location.reload())
}}
</script></body></html>
"""


def page(account: Account) -> str:
    """All pipelines with a ticket, or all when there is none."""
    tickets = [one for one in account.records["tickets"].values() if not one.archived]
    used = {one.properties.get("hs_pipeline", "") for one in tickets}
    boards = [one for one in account.pipelines["tickets"].values() if not used or one["id"] in used]
    return _PAGE.format(count=len(tickets), boards="".join(_board(account, one, tickets) for one in boards))


def _board(account: Account, pipeline: dict[str, Any], tickets: list[Record]) -> str:
    columns = []
    for stage in pipeline["stages"]:
        cards = [
            _card(account, one, pipeline)
            for one in tickets
            if (one.properties.get("hs_pipeline"), one.properties.get("hs_pipeline_stage"))
            == (pipeline["id"], stage["id"])
        ]
        title = f"{escape(stage['label'])} <small>{escape(stage['id'])}</small>"
        columns.append(f'<div class="stage"><b>{title}</b>{"".join(cards)}</div>')
    return f'<h2>{escape(pipeline["label"])}</h2><div class="board">{"".join(columns)}</div>'


def _card(account: Account, ticket: Record, pipeline: dict[str, Any]) -> str:
    lines = [f"<b>{escape(ticket.properties.get('subject', ''))}</b> <small>{ticket.id}</small>"]
    owner = account.owners.get(ticket.properties.get("hubspot_owner_id", ""), {})
    for title, text in (
        ("owner", str(owner.get("email", ""))),
        ("contact", _linked(account, ticket, "contacts", "email")),
        ("company", _linked(account, ticket, "companies", "name")),
        ("deal", _linked(account, ticket, "deals", "dealname")),
        ("changed", iso(ticket.updated_at)),
    ):
        lines += [f"<small>{title}</small> {escape(text)}"] if text else []
    lines += [
        f"<small>mail</small> {escape(account.records['emails'][one].properties.get('hs_email_subject', ''))}"
        for one in account.links.of(("tickets", ticket.id), "emails")
    ]
    here = ticket.properties.get("hs_pipeline_stage")
    moves = "".join(
        f"<button onclick=\"change('hand_move', {{ticket: '{ticket.id}', stage: '{escape(stage['id'])}'}})\">"
        f"{escape(stage['label'])}</button> "
        for stage in pipeline["stages"]
        if stage["id"] != here
    )
    delete = f"<button onclick=\"change('delete', {{kind: 'tickets', record: '{ticket.id}'}})\">delete</button>"
    return f'<div class="ticket">{"<br>".join(lines)}<br>{moves}{delete}</div>'


def _linked(account: Account, ticket: Record, kind: str, name: str) -> str:
    found = account.links.of(("tickets", ticket.id), kind)
    return ", ".join(account.records[kind][one].properties.get(name, one) for one in found)
