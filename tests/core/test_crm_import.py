"""Reading files of companies."""

from typing import Any

import pytest

from supportrelay.core.crm_import import checked_owners, name_key, parse_csv_import, parse_yaml_import
from supportrelay.core.directory import DealState
from supportrelay.core.errors import InputError


def test_a_yaml_file_is_read_whole() -> None:
    plan = parse_yaml_import(
        {
            "companies": [
                {
                    "name": " 株式会社  さくら ",
                    "domains": ["Sakura.EXAMPLE.", "@日本.example"],
                    "contacts": ["Info@Sakura.example", {"address": "ann@x.example", "name": "Ann", "language": "en"}],
                    "deals": [{"name": "保守", "stage": "OPEN", "owners": ["Mori@relay.test"]}, {"name": "Later"}],
                },
                {"domains": ["only.example"]},
            ]
        }
    )

    sakura, only = plan.companies
    assert sakura.name == "株式会社 さくら"
    assert sakura.domains == ("sakura.example", "xn--wgv71a.example")
    assert sakura.contacts is not None
    assert [(c.address, c.name, c.language) for c in sakura.contacts] == [
        ("info@sakura.example", "", ""),
        ("ann@x.example", "Ann", "en"),
    ]
    assert sakura.deals is not None
    assert [(d.name, d.state, d.owners) for d in sakura.deals] == [
        ("保守", DealState.OPEN, ("Mori@relay.test",)),
        ("Later", None, None),
    ]
    assert (only.name, only.contacts, only.deals) == ("", None, None)


@pytest.mark.parametrize(
    ("company", "says"),
    [
        pytest.param("Acme", "companies[1]: a company is written", id="no mapping"),
        pytest.param({"domains": []}, "companies[1]: name: missing", id="nameless"),
        pytest.param({"name": ["x"]}, "companies[1]: name: a text is needed", id="name is a list"),
        pytest.param({"name": "A", "domian": []}, "companies[1] (A): unknown key 'domian'", id="misspelt key"),
        pytest.param({"name": "A", "domains": "a.example"}, "domains: a list is needed", id="domains are no list"),
        pytest.param({"name": "A", "domains": ["localhost"]}, "'localhost' is not a domain", id="one label"),
        pytest.param({"name": "A", "domains": ["a b.example"]}, "is not a domain", id="space in a domain"),
        pytest.param({"name": "A", "domains": ["[192.0.2.1]"]}, "is not a domain", id="address literal"),
        pytest.param({"name": "A", "contacts": ["ann"]}, "contacts: 'ann' is not an address", id="bad contact"),
        pytest.param({"name": "A", "contacts": [{"name": "x"}]}, "contacts: '' is not an address", id="no address"),
        pytest.param({"name": "A", "contacts": ["a@x.example"] * 2}, "a@x.example stands here twice", id="twice"),
        pytest.param({"name": "A", "deals": ["x"]}, "deals[1]: a deal is written", id="deal is no mapping"),
        pytest.param({"name": "A", "deals": [{"stage": "won"}]}, "deals[1]: name: a deal needs", id="nameless deal"),
        pytest.param({"name": "A", "deals": [{"name": "x", "stage": "lots"}]}, "stage: 'lots' is none", id="bad stage"),
        pytest.param({"name": "A", "deals": [{"name": "x", "owner": []}]}, "unknown key 'owner'", id="deal's key"),
        pytest.param({"name": "A", "deals": [{"name": "x"}, {"name": "X"}]}, "'X' stands here twice", id="deal twice"),
        pytest.param(
            {"name": "A", "deals": [{"name": "x", "owners": [f"o{n}@x.example" for n in range(5)]}]},
            "companies[1] (A): deals[1]: owners: 5 given; a deal has at most 4 owners",
            id="fifth owner",
        ),
        pytest.param(
            {"name": "A", "deals": [{"name": "x", "owners": "a@x.example"}]}, "a list of addresses", id="owners no list"
        ),
        pytest.param(
            {"name": "A", "deals": [{"name": "x", "owners": ["nobody"]}]}, "owners: 'nobody' is not", id="bad owner"
        ),
    ],
)
def test_a_mistake_in_yaml_is_named_with_its_place(company: Any, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml_import({"companies": [company]})
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "x", {}, {"companies": {}}, {"company": []}])
def test_a_file_without_companies_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="companies: a list is needed"):
        parse_yaml_import(value)


def test_all_mistakes_are_named_at_once_but_not_thousands() -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml_import({"companies": [{"name": f"C{n}", "domains": ["x"]} for n in range(80)]})
    lines = str(caught.value).splitlines()
    assert len(lines) == 51
    assert lines[-1] == "... and 30 more"


def test_one_contact_belongs_to_one_company_and_a_name_stands_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml_import(
            {
                "companies": [
                    {"name": "Acme", "contacts": ["a@x.example"]},
                    {"name": "Bob", "contacts": ["A@X.example"]},
                    {"name": "ACME"},
                ]
            }
        )
    assert str(caught.value).splitlines() == [
        "companies[2] (Bob): contacts: a@x.example stands at companies[1] (Acme) too",
        "companies[3] (ACME): name: the same company stands at companies[1] (Acme) too",
    ]


def test_a_csv_file_has_one_deal_a_row_and_puts_companies_together() -> None:
    plan = parse_csv_import(
        "\ufeffCompany,Domains,Contacts,Deal,Stage,Owners\r\n"
        'Acme Ltd,acme.example;acme.test,info@acme.example,"Rollout, big",open,mori@r.test;ann@r.test\r\n'
        "acme ltd,,jin@acme.example,Pilot,won,\r\n"
        ",,,,,\r\n"
        "Bob,bob.example,,,,\r\n"
        ",bob.example,,Late,,x@r.test\r\n"
    )

    acme, bob = plan.companies
    assert acme.domains == ("acme.example", "acme.test")
    assert acme.contacts is not None
    assert [c.address for c in acme.contacts] == ["info@acme.example", "jin@acme.example"]
    assert acme.deals is not None
    assert [(d.name, d.state, d.owners) for d in acme.deals] == [
        ("Rollout, big", DealState.OPEN, ("mori@r.test", "ann@r.test")),
        ("Pilot", DealState.WON, ()),
    ]
    assert bob.deals is not None
    assert [(d.name, d.state) for d in bob.deals] == [("Late", None)]
    assert bob.contacts is None


def test_a_csv_column_that_is_missing_is_left_alone() -> None:
    (acme,) = parse_csv_import("company,deal\nAcme,Rollout\n").companies
    assert acme.deals is not None
    assert acme.deals[0].owners is None
    assert (acme.domains, acme.contacts) == (None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "line 1: column company is missing", id="empty"),
        pytest.param("firm,deal\nx,y\n", "line 1: unknown column 'firm'", id="unknown column"),
        pytest.param("company,owners\nA,b@x.example\n", "line 2: deal: missing", id="owners without deal"),
        pytest.param("company,domains\n,\nA,x y\n", "line 3: domains: 'x y' is not a domain", id="bad domain"),
        pytest.param("company,deal,stage\nA,x,lots\n", "line 2: stage: 'lots'", id="bad stage"),
        pytest.param("company,deal,owners\nA,x,a;b\n", "line 2: owners: 'a' is not an address", id="bad owner"),
        pytest.param("company,deal,owners\nA,x,a@x.a;b@x.a;c@x.a;d@x.a;e@x.a\n", "at most 4 owners", id="fifth owner"),
        pytest.param("company,deal\nA,x\na,X\n", "line 3: deal: 'X' of this company stands", id="deal twice"),
        pytest.param("company\nA,b,c\n", "line 2: more values than columns", id="comma without quotes"),
        pytest.param('company\n"A', "line 2: ", id="open quote"),
        pytest.param("company,deal\n,x\n", "line 2: company: missing", id="deal of nobody"),
    ],
)
def test_a_mistake_in_csv_is_named_by_its_line(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_csv_import(text)
    assert says in str(caught.value)


def test_names_are_compared_without_case_and_extra_space() -> None:
    assert name_key(" Straße  1 ") == name_key("STRASSE 1")


def test_owners_are_checked_and_each_stands_once() -> None:
    assert checked_owners(["A@x.example", "b@x.example", "a@X.example"]) == ("A@x.example", "b@x.example")
    with pytest.raises(InputError, match="at most 4"):
        checked_owners([f"o{n}@x.example" for n in range(5)])
