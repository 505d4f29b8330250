"""Sample companies, one or two for each row of the table."""

from typing import Any


def company(name: str, domain: str, deals: list[tuple[str, str, list[str]]], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "domains": [domain],
        "deals": [{"name": deal, "stage": stage, "owners": owners} for deal, stage, owners in deals],
        **more,
    }


def one_owner(name: str, owner: str) -> dict[str, Any]:
    return company(name, f"{name}.example", [(f"{name} deal", "open", [owner])])


COMPANIES: list[dict[str, Any]] = [
    *(one_owner(f"acme{n}", "ann@staff.test") for n in range(40)),
    company("nodeal", "nodeal.example", []),
    company("won", "won.example", [("won deal", "won", ["ben@staff.test"]), ("lost one", "lost", ["ann@staff.test"])]),
    company("lost", "lost.example", [("lost deal", "lost", ["cho@staff.test"])]),
    company("wononly", "wononly.example", [("won deal", "won", ["ben@staff.test"])]),
    company("noowner", "noowner.example", [("bare deal", "open", [])]),
    company("two", "two.example", [("pair", "open", ["ann@staff.test", "ben@staff.test"])]),
    company("four", "four.example", [("quartet", "open", [f"{n}@staff.test" for n in ("ann", "ben", "cho", "dan")])]),
    company("change", "change.example", [("changing", "open", ["ann@staff.test"])]),
    company("fifth", "fifth.example", [("five", "open", ["ann@staff.test"])]),
    company(
        "twodeals",
        "twodeals.example",
        [("first", "open", ["ann@staff.test"]), ("second", "won", ["ben@staff.test"])],
    ),
    company("freemail", "freemail.example", [("mail", "open", ["dan@staff.test"])], contacts=["kunde@gmail.com"]),
    company("absent", "absent.example", [("away", "open", ["eve@staff.test"])]),
]
