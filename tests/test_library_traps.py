"""What is left alone of the libraries, so that their traps cannot catch us (RELIABILITY D)."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "src" / "supportrelay"
MODULES = {path.relative_to(SOURCES).as_posix(): ast.parse(path.read_text("utf-8")) for path in SOURCES.rglob("*.py")}


def _imported() -> Iterator[tuple[str, str]]:
    """``(module, dotted name)`` of all that is imported, names of modules of ours aside."""
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((module, f"{node.module}.{alias.name}") for alias in node.names)


def _called(module: str) -> set[str]:
    """Names of all functions and methods that a module calls."""
    calls = [node.func for node in ast.walk(MODULES[module]) if isinstance(node, ast.Call)]
    return {one.attr for one in calls if isinstance(one, ast.Attribute)} | {
        one.id for one in calls if isinstance(one, ast.Name)
    }


def test_d08_d10_d14_d15_of_aiosmtpd_the_protocol_class_alone_is_used() -> None:
    """No controller with a loop in a thread, no stop(); its loop over lines, where the private parser and the limits
    of the class are, is not called.
    """
    used = [one for one in _imported() if one[1].split(".")[0] in {"aiosmtpd", "smtpd"}]
    called = {name for module in MODULES if module.startswith("edge/smtp_in/") for name in _called(module)}

    assert used == [("edge/smtp_in/connection.py", "aiosmtpd.smtp.SMTP")]
    assert (
        called & {"_handle_client", "smtp_DATA", "smtp_MAIL", "smtp_RCPT", "_getaddr", "command_size_limits"} == set()
    )


def test_c36_python_s_parser_of_mail_is_not_used() -> None:
    """Dates and nothing else: `Content-Type: text/plain; name*` makes it raise, commas make it quadratic."""
    used = {one for one in _imported() if one[1].startswith("email")}

    assert used
    assert {name for _, name in used} <= {"email.utils.format_datetime", "email.utils.parsedate_to_datetime"}


def test_d16_the_name_of_the_machine_is_looked_up_once() -> None:
    """`getfqdn` asks the DNS; a session is given the configured name."""
    assert [module for module in MODULES if "getfqdn" in _called(module)] == ["config/models.py"]


def test_d20_d23_d25_d29_what_aiosmtplib_does_by_itself_is_not_asked_of_it() -> None:
    """It hides which reply was whose, changes addresses and tries every login; it is driven command by command."""
    convenient = {"sendmail", "send_message", "send", "login", "quote_address", "auth_login", "mail", "rcpt", "data"}
    modules = [module for module in MODULES if module.startswith("edge/smtp_out/")]

    assert modules
    assert {module: found for module in modules if (found := _called(module) & convenient)} == {}
