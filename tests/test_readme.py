"""The README's promises that can be read off the files."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from supportrelay.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", ROOT / "config" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_mail_is_the_one_that_make_run_prints(demo: ModuleType) -> None:
    assert f"    {demo.first_mail(8025)}\n" in README


def test_the_first_mail_goes_from_a_sample_customer_to_the_demos_address(demo: ModuleType) -> None:
    assert demo.AUTHOR in (ROOT / "config" / "demo-companies.yaml").read_text(encoding="utf-8")
    assert f"address: {demo.DESK}" in (ROOT / "config" / "demo.yaml").read_text(encoding="utf-8")


def test_the_first_mail_is_python_that_any_version_3_reads(demo: ModuleType) -> None:
    program = demo.first_mail(8025).removeprefix('python3 -c "').removesuffix('"')

    compile(program, "README.md", "exec")
    assert not set('$`"!') & set(program), "the shell would read it"


def test_every_command_stands_in_the_readme() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    commands = re.findall(r"^  ([a-z]+)  ", shown.partition("Commands:")[2], re.MULTILINE)

    assert len(commands) > 8
    assert [command for command in commands if f"`{command}" not in README and f"`{command}`" not in README] == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
