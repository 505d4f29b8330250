"""Banner templates: jinja2 files, packaged and overridden by the operator's folder, compiled once."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from supportrelay.core.banner import Banner, BannerValues
from supportrelay.core.errors import InputError

__all__ = ["BannerTemplates"]

_PACKAGED = Path(__file__).parent / "banner"
_FILE = re.compile(r"(?:(?P<name>[A-Za-z0-9_-]+)\.)?(?P<language>[a-z]{2})\.(?P<form>txt|html)\.j2")
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_-]+)\.(?P<form>txt|html)\.j2")
_STANDARD = "full"
_PACKAGED_STANDARD = "."  # no file has this name
_LAST_LANGUAGE = "en"

_SAMPLE = BannerValues(
    support="support@desk.test",
    ticket="SR-12",
    ticket_url="https://desk.test/t/SR-12",
    marker="k7xq2a",
    to=("support@desk.test",),
    cc=("ann@customer.example",),
    author="ann@customer.example",
    reply_to=("ann@customer.example",),
    visible_recipients=True,
    manual_url="https://desk.test/manual",
    forwarded_by="ben@desk.test",
    is_unproven=True,
    reason_code="A1",
    reason_text="sample",
    as_of="2026-11-22 10:31 UTC",
    has_winmail=True,
)

# (banner name, language or "", "txt" or "html")
_Key = tuple[str, str, str]


def _key_of(file_name: str) -> _Key | None:
    """Which template a file holds; None for a file that is none."""
    found = _FILE.fullmatch(file_name)
    if found:
        return found["name"] or _STANDARD, found["language"], found["form"]
    found = _NAMED.fullmatch(file_name)
    return (found["name"], "", found["form"]) if found else None


class BannerTemplates:
    """All banners of a desk.

    ``LANGUAGE.txt.j2`` and ``LANGUAGE.html.j2`` are the standard banner (name ``full``); a banner NAME of its own is
    ``NAME.LANGUAGE.txt.j2``, else ``NAME.txt.j2``. A missing HTML form is made from the text.

    Args:
        folder: The operator's templates; each file replaces the packaged one of that name. None: only the packaged.

    Raises:
        InputError: A template cannot be read, has a mistake, or uses an unknown name; the text names file and line.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._templates: dict[_Key, jinja2.Template] = {}
        environments = {"txt": _environment(escapes=False), "html": _environment(escapes=True)}
        for path in _template_files(folder):
            key = _key_of(path.name)
            if key is not None:
                self._templates[key] = _compile(environments[key[2]], path)
                if path.parent == _PACKAGED:
                    self._templates[_PACKAGED_STANDARD, key[1], key[2]] = self._templates[key]

    def has(self, name: str, language: str = "") -> bool:
        """Is there a banner of that name (for that language, or for any when "")? ``none`` is always one."""
        if name in {"none", _PACKAGED_STANDARD}:
            return name == "none"
        if language:
            return self._find(name, language, "txt") is not None
        return any(key[0] == name and key[2] == "txt" for key in self._templates)

    def require(self, name: str, language: str) -> None:
        """Check at load time that a configured banner exists.

        Raises:
            InputError: It does not; the text says which file would be it.
        """
        if not self.has(name, language):
            raise InputError(f"no banner {name!r}: neither {name}.{language}.txt.j2 nor {name}.txt.j2 in the folder")

    def render(self, name: str, language: str, values: BannerValues) -> Banner:
        """Return the banner ``name`` (``full`` or an own one) in that language; never raises.

        A language without template of the standard banner is answered in English. A banner that is gone since the
        mail was decided on, or whose template fails on these values, is answered with the packaged standard one: the
        mail waits for its copy. `require` names a missing one when the configuration is read.
        """
        names = values.to_template()
        try:
            return self._render(name, language, names, values.mark)
        except (LookupError, jinja2.TemplateError, TypeError, ValueError, ArithmeticError):
            return self._render(_PACKAGED_STANDARD, language, names, values.mark)

    def _render(self, name: str, language: str, names: dict[str, str | int | bool], mark: str) -> Banner:
        text_template = self._find(name, language, "txt")
        if text_template is None:
            raise LookupError(name)
        text = _tidy(text_template.render(names))
        html_template = self._find(name, language, "html")
        return Banner(text, lambda: self._html(html_template, names, text, mark))

    def _html(self, template: jinja2.Template | None, names: dict[str, str | int | bool], text: str, mark: str) -> str:
        """The HTML form; a template that fails on these values gives way to the text's own words."""
        if template is None:
            return _html_of(text, mark)
        try:
            return template.render(names)
        except (LookupError, jinja2.TemplateError, TypeError, ValueError, ArithmeticError):
            return _html_of(text, mark)

    def _find(self, name: str, language: str, form: str) -> jinja2.Template | None:
        found = self._templates.get((name, language, form)) or self._templates.get((name, "", form))
        if found is None and name in {_STANDARD, _PACKAGED_STANDARD}:
            return self._templates.get((name, _LAST_LANGUAGE, form))
        return found


def _environment(*, escapes: bool) -> jinja2.Environment:
    # A sandbox: templates are the operator's, but a copied one must not reach files or the interpreter.
    return ImmutableSandboxedEnvironment(
        autoescape=escapes,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template_files(folder: Path | None) -> Iterable[Path]:
    yield from sorted(_PACKAGED.glob("*.j2"))
    if folder is None:
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of banner templates")
    yield from sorted(folder.glob("*.j2"))


def _compile(environment: jinja2.Environment, path: Path) -> jinja2.Template:
    """Compile a template and try it in its long and its short form."""
    try:
        template = environment.from_string(path.read_text(encoding="utf-8"))
        # A plain dict: rendering copies the globals, and a ChainMap takes four times as long to copy.
        template.globals = dict(template.globals)
        for is_first in (True, False):
            names = _SAMPLE.to_template()
            names["is_first"] = is_first
            template.render(names)
    except jinja2.TemplateSyntaxError as exc:
        raise InputError(f"{path}:{exc.lineno}: {exc.message}") from exc
    except (jinja2.TemplateError, OSError, UnicodeError, TypeError, ValueError) as exc:
        raise InputError(f"{path}: {exc}") from exc
    return template


def _tidy(text: str) -> str:
    """No space before a line end (format=flowed would join the lines), one line end at the end."""
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n")) + "\n"


def _html_of(text: str, mark: str) -> str:
    lines = "<br>\n".join(escape(line) for line in text.rstrip("\n").split("\n"))
    return (
        f'<div class="supportrelay-banner" id="supportrelay-banner" data-supportrelay="{escape(mark)}" '
        f'style="margin:0 0 16px 0;padding:8px 12px;border:1px solid #c9ced6;">\n{lines}\n</div>\n'
    )
