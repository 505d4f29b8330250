"""What a copy in another form says about itself (`core.ladder`), inside the banner, so that it goes with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from html import escape

from supportrelay.core.banner_text import Banner, clean_line
from supportrelay.core.delivery import DeliveryForm
from supportrelay.core.left_out import LeftOut
from supportrelay.core.value import value_class
from supportrelay.core.wrap import text_body

__all__ = ["SecondCopy", "named", "notice_body", "with_lines"]

_MAX_LINE = 240  # characters; under 998 octets in any charset
_MAX_NAMED = 50
_MARK = 3  # characters that the first and the last line of a banner have in common


@value_class
class SecondCopy:
    """Another form of a copy, and its words in the reader's language.

    Attributes:
        texts: Lines for each form; LIGHT falls back to NOTICE.
        is_too_large: It was refused for its size, so that a notice names the attachments.
    """

    form: DeliveryForm
    texts: Mapping[DeliveryForm, tuple[str, ...]] = field(default_factory=dict)
    is_too_large: bool = False


def named(left_out: Sequence[LeftOut]) -> list[str]:
    """A line for each attachment that is not there, at most 50 and how many more."""
    lines = [f"- {one}" for one in left_out[:_MAX_NAMED]]
    more = len(left_out) - len(lines)
    return [*lines, f"- (+{more})"] if more else lines


def with_lines(banner: Banner | None, lines: Sequence[str]) -> Banner:
    """Return the banner with more lines at its end, before the marker line that closes it; one of its own without."""
    added = [clean_line(line)[:_MAX_LINE].rstrip() for line in lines]
    block = "<br>\r\n".join(escape(line) for line in added)
    if banner is None:
        return Banner("\n".join(added) + "\n", f'<div class="supportrelay-banner">{block}</div>\n')
    return Banner(_with_text(banner.text, added), _with_html(banner, f'<div style="margin:8px 0 0 0;">{block}</div>\n'))


def _with_text(text: str, added: list[str]) -> str:
    lines = text.rstrip("\n").split("\n")
    is_closed = len(lines) > 1 and lines[0][:_MARK] == lines[-1][:_MARK] != ""
    at = len(lines) - 1 if is_closed else len(lines)
    return "\n".join([*lines[:at], *added, *lines[at:]]) + "\n"


def _with_html(banner: Banner, block: str) -> Callable[[], str]:
    def html() -> str:
        whole = banner.html
        at = whole.rfind("</div>")
        return whole + block if at < 0 else whole[:at] + block + whole[at:]

    return html


def notice_body(banner: Banner) -> bytes:
    """Header fields and body of a mail that is nothing but the banner, in ASCII on the wire."""
    encoding, body = text_body(banner.text)
    return (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s"
    ) % (encoding, body if body.endswith(b"\r\n") else body + b"\r\n")
