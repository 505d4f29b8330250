"""The annotated example, the first configuration, the demo: what we print and ship loads."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from supportrelay.config import Config, load, warnings
from supportrelay.config.first import QUESTIONS, Answers, first_configuration
from supportrelay.config.hubspot import ACCOUNT_KEYS
from supportrelay.config.reference import example_text, print_yaml
from supportrelay.config.source import read_source
from supportrelay.core.crm_import import parse_yaml_import
from supportrelay.core.errors import InputError
from supportrelay.core.mailbox import parse_path
from supportrelay.core.membership import Membership

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "supportrelay.example.yaml"


def test_the_example_is_what_the_models_print() -> None:
    """``python -m supportrelay.config.reference > config/supportrelay.example.yaml`` writes it anew."""
    assert EXAMPLE.read_text("utf-8") == example_text()


def test_the_example_is_printed_by_its_module() -> None:
    command = [sys.executable, "-m", "supportrelay.config.reference"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8")

    assert printed.stdout == example_text()
    assert printed.stderr == ""


def test_the_example_loads_as_it_stands() -> None:
    assert load(EXAMPLE, {}).addresses[0].address == "support@company.example"


def test_every_line_of_the_example_may_be_used(tmp_path: Path) -> None:
    """Each commented-out key, taken into use, is a key that exists with a value that it may have."""
    for name in ("password", "token", "private_key"):
        (tmp_path / name).write_text("x")
    text = re.sub(r"^( *)#(?! \S)", r"\1", example_text(), flags=re.MULTILINE)
    text = re.sub(r"^ *(password|token|private_key): .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(password|token|private_key)_file: .*", r"\1_file: \1", text)
    file = tmp_path / "all.yaml"
    file.write_text(text, "utf-8")
    source = read_source(file, {})

    config = Config.model_validate(source.values, context={"folder": tmp_path})

    assert source.problems == []
    assert config.model_fields_set == set(Config.model_fields)
    assert config.addresses[0].model_fields_set == set(type(config.addresses[0]).model_fields)


@pytest.mark.parametrize(
    ("kinds", "left_out"),
    [
        pytest.param(("hubspot", "builtin"), "", id="owners at HubSpot"),
        pytest.param(("builtin", "hubspot"), "", id="tickets at HubSpot"),
        pytest.param(("hubspot", "hubspot"), "the account is the directory's", id="both"),
    ],
)
def test_the_keys_of_other_kinds_may_be_used_too(tmp_path: Path, kinds: tuple[str, str], left_out: str) -> None:
    """They stand behind a second ``#``, below the kind that is shown."""
    for name in ("token", "webhook_secret"):
        (tmp_path / name).write_text("x")
    block = example_text().partition("\n#crm:\n")[2].partition("\n\n")[0]
    parts = block.replace("\n#  # Where tickets live.\n", "\0").split("\0")
    assert len(parts) == len(kinds)
    text = "crm:\n"
    for kind, part in zip(kinds, parts, strict=True):
        lines = [line[1:] for line in part.splitlines()]
        if kind == "hubspot":
            lines = [re.sub(r"^( *)#(?! \S)", r"\1", line.replace("kind: builtin", "kind: hubspot")) for line in lines]
        if left_out and part is parts[1]:
            lines = [line for line in lines if line.split(":")[0].strip() not in ACCOUNT_KEYS]
        text += "\n".join(lines) + "\n"
    text = re.sub(r"^ *(token|webhook_secret): .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(token|webhook_secret)_file: .*", r"\1_file: \1", text)
    file = tmp_path / "all.yaml"
    answers = Answers(**{key: getattr(ANSWERS, key) for key in ANSWERS.__slots__})
    first = re.sub(r"^crm:.*\n(?: .*\n)*", "", first_configuration(answers), flags=re.MULTILINE)
    first = re.sub(r"^web:.*\n(?: .*\n)*", "", first, flags=re.MULTILINE)
    file.write_text(first + "\nweb: {public_url: https://desk.company.example}\n" + text, "utf-8")

    crm = load(file, {}).crm

    assert (crm.directory.kind, crm.tickets.kind) == kinds
    for role, kind in zip((crm.directory, crm.tickets), kinds, strict=True):
        missing = set(type(role).model_fields) - role.model_fields_set
        assert missing == (set(ACCOUNT_KEYS) if left_out and role is crm.tickets else set()), kind


def test_every_key_of_the_contract_is_there() -> None:
    """DESIGN 4."""
    per_address = """name address aliases sender allmember language manual_url form_senders reopen_within ticket_match
        deal_choice deal_states automatic unproven_staff show_recipients copy_to_addressed copy_to_author banner_details
        signed_mail encrypted_mail message_id bounce_address reverse_path suppress_auto_replies guards"""
    overall = """addresses internal_domains admins listen trusted_networks gateways outbound storage crm web spam
        ticket_stages rules hostname authserv_id staff free_mail max_size recipient_delimiter trusted_arc_sealers
        subject_tags stock_subjects failover_after give_up_after keep workers dkim"""
    addresses = Config.model_fields["addresses"].annotation
    assert addresses

    assert set(overall.split()) <= set(Config.model_fields)
    assert set(per_address.split()) == set(addresses.__args__[0].model_fields)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "with: colon",
        "yes",
        "007",
        "1.5",
        "*star",
        "it's",
        "#1",
        "株式会社",
        "a@b.example",
        "",
        " x",
        "-",
        "null",
    ],
)
def test_printed_text_reads_back_as_the_same_text(value: str) -> None:
    assert yaml.safe_load(f"key: {print_yaml(value)}") == {"key": value}


ANSWERS = Answers(
    support_address="support@company.example",
    internal_domains=("company.example", "*.company.example"),
    allmember=("everybody@company.example", "boss@company.example"),
    admin="it@company.example",
    smarthost="smtp.company.example:465",
    language="ja",
)


@pytest.mark.parametrize(
    ("smarthost", "expected"),
    [
        pytest.param("smtp.company.example", ("smtp.company.example", 587, "starttls"), id="host alone"),
        pytest.param("smtp.company.example:465", ("smtp.company.example", 465, "implicit"), id="implicit TLS"),
        pytest.param("192.0.2.1:25", ("192.0.2.1", 25, "none"), id="plain port"),
        pytest.param("[2001:db8::1]:2525", ("2001:db8::1", 2525, "starttls"), id="IPv6"),
        pytest.param("outbox", (None, 587, "starttls"), id="nothing is sent"),
    ],
)
def test_the_first_configuration_loads(tmp_path: Path, smarthost: str, expected: tuple[str | None, int, str]) -> None:
    file = tmp_path / "supportrelay.yaml"
    answers = Answers(**{key: getattr(ANSWERS, key) for key in ANSWERS.__slots__} | {"smarthost": smarthost})
    file.write_text(first_configuration(answers), "utf-8")

    config = load(file, {})

    outbound = config.outbound[0]
    assert (outbound.host, outbound.port, outbound.tls) == expected
    assert (config.outbox_folder is None) == (smarthost != "outbox")
    assert config.internal_domains == ("company.example", "*.company.example")
    assert config.addresses[0].allmember == ANSWERS.allmember
    assert config.desk().addresses[0].language == "ja"


def test_there_are_six_questions_and_each_reads_its_answer() -> None:
    typed = {
        "support_address": " Support@Company.example ",
        "internal_domains": "",
        "allmember": "a@company.example, b@company.example",
        "admin": "it@company.example",
        "smarthost": "",
        "language": "",
    }
    answers: dict[str, str | tuple[str, ...]] = {}
    for question in QUESTIONS:
        answers[question.key] = question.check(typed[question.key] or question.suggest(answers))

    assert answers == {
        "support_address": "support@company.example",
        "internal_domains": ("company.example",),
        "allmember": ("a@company.example", "b@company.example"),
        "admin": "it@company.example",
        "smarthost": "outbox",
        "language": "en",
    }


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("support_address", "nobody"),
        ("internal_domains", "a b@c"),
        ("allmember", " "),
        ("admin", "a@b@c"),
        ("smarthost", "two words"),
        ("smarthost", "smtp.company.example:99999"),
        ("language", "klingon"),
    ],
)
def test_a_wrong_answer_is_refused_in_words(key: str, typed: str) -> None:
    question = next(q for q in QUESTIONS if q.key == key)

    with pytest.raises(InputError):
        question.check(typed)


def test_answers_that_go_round_in_a_circle_are_refused() -> None:
    for key, value in (("admin", "support@company.example"), ("allmember", ("support-relay@company.example",))):
        answers = Answers(**{k: getattr(ANSWERS, k) for k in ANSWERS.__slots__} | {key: value})
        with pytest.raises(InputError, match=key):
            first_configuration(answers)


def test_the_demo_needs_nothing_and_reaches_nobody() -> None:
    config = load(ROOT / "config" / "demo.yaml", {})

    assert [(str(one.host), one.port, str(one.role)) for one in config.listen] == [("127.0.0.1", 8025, "mx")]
    assert (config.web.host, config.web.port) == ("127.0.0.1", 8080)
    assert config.outbox_folder == ROOT / "build" / "demo" / "outbox"
    assert [line for line in warnings(config) if "Python" not in line] == []


def test_the_demo_takes_other_ports_from_the_environment() -> None:
    ports = {"SUPPORTRELAY_DEMO_SMTP_PORT": "8026", "SUPPORTRELAY_DEMO_WEB_PORT": "8081"}
    config = load(ROOT / "config" / "demo.yaml", ports)

    assert (config.listen[0].port, config.web.port) == (8026, 8081)
    assert config.desk().public_url == "http://127.0.0.1:8081"


def test_the_demo_has_customers_of_every_kind_and_their_owners_are_staff() -> None:
    plan = parse_yaml_import(yaml.safe_load((ROOT / "config" / "demo-companies.yaml").read_text("utf-8")))
    membership = Membership(load(ROOT / "config" / "demo.yaml", {}).desk())

    deals = [deal for company in plan.companies for deal in company.deals or ()]
    owners = {owner for deal in deals for owner in deal.owners or ()}
    assert {str(deal.state) for deal in deals} == {"open", "won", "lost"}
    assert {len(deal.owners or ()) for deal in deals} >= {0, 1, 2, 4}
    assert any(not company.deals for company in plan.companies)
    assert all(membership.is_staff(parse_path(owner)) for owner in owners)
    names = {d for company in plan.companies for d in company.domains or ()} | {o.rpartition("@")[2] for o in owners}
    assert all(name.endswith((".example", ".test")) for name in names)
