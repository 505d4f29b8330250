"""Read a case: one file, one story of one or more mails, with what must come of each.

::

    title: what it shows, one sentence
    covers: an item of the list of cases, `test_cases.ITEMS` (may stand several times)
    desk: without crm                              (default: the one with the companies)
    company: co.example owned by ann, ben          (deal owners; 'nobody': a company without an owner)

    == mail first                                  (a name for later lines)
    peer: gateway                                  (stranger | ours | gateway; default stranger)
    envelope: kunde@co.example -> support@desk.test  (default: From; ours of To and Cc, else support@desk.test)
    adds: nothing                                  (default: Date, Message-ID, MIME-Version, Content-Type)
    line ends: lf                                  (default crlf)
    --
    From: Kunde <kunde@co.example>
    To: support@desk.test
    Subject: Hello

    Text, with directives in double square brackets (`case_letters`).
    == expect
    direction: inbound
    thread: new
    == do
    move first CLOSED

Each file has companies and Message-IDs of its own: ``co.example`` stands for ``co-FILE.example``, ``other.example``
for ``other-FILE.example``, ``own@staff.test`` for an owner of this case alone, ``<first@mail.test>`` for an id that no
other file has. Lines that begin with '#' before the first block are comments.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["HERE", "Block", "Case", "Expected", "Sending", "read_case"]

HERE = Path(__file__).parent

_BLOCK = re.compile(r"== (mail|expect|do)(?: ([a-z0-9]+))?")


@dataclass(frozen=True)
class Expected:
    """One line of an expectation: ``key: value``, and where it stands."""

    line: int
    key: str
    value: str


@dataclass(frozen=True)
class Sending:
    """One mail: its directives, its text (header, blank line, body) and what is expected of it."""

    line: int
    name: str
    directives: dict[str, str]
    text: str
    expected: tuple[Expected, ...]


@dataclass(frozen=True)
class Block:
    """Things to do between two mails: ``(line, command)``."""

    commands: tuple[tuple[int, str], ...]


@dataclass
class Case:
    """A file of this folder."""

    path: Path
    title: str = ""
    covers: list[str] = field(default_factory=list)
    desk: str = ""
    companies: list[tuple[str, list[str]]] = field(default_factory=list)
    steps: list[Sending | Block] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.stem

    def own(self, text: str) -> str:
        """``text`` with the names that belong to this case alone."""
        for word in ("co", "other", "third"):
            text = text.replace(f"{word}.example", f"{word}-{self.name}.example")
        text = text.replace("own@staff.test", f"own-{self.name}@staff.test")
        text = text.replace("kunde@gmail.com", f"kunde-{self.name}@gmail.com")
        return re.sub(r"<([a-z0-9.\-]+)@mail\.test>", rf"<\1.{self.name}@mail.test>", text)


def read_case(path: Path) -> Case:
    """Read one file.

    Raises:
        ValueError: It is not written as the module's text says; the message names file and line.
    """
    case = Case(path)
    lines = path.read_text(encoding="utf-8").split("\n")
    number = _read_head(case, lines)
    while number < len(lines):
        kind, name = _block_of(path, lines, number)
        end = next((n for n in range(number + 1, len(lines)) if _BLOCK.fullmatch(lines[n])), len(lines))
        body = [(n + 1, case.own(lines[n])) for n in range(number + 1, end)]
        if kind == "mail":
            case.steps.append(_mail(path, number + 1, name, body))
        elif kind == "do":
            case.steps.append(Block(tuple((n, line.strip()) for n, line in body if line.strip())))
        else:
            case.steps.append(_with_expectation(path, number + 1, case, body))
        number = end
    if not case.title or not any(isinstance(step, Sending) for step in case.steps):
        raise ValueError(f"{path}:1: a case needs a title and a mail")
    return case


def _block_of(path: Path, lines: list[str], number: int) -> tuple[str, str]:
    match = _BLOCK.fullmatch(lines[number])
    if match is None:
        raise ValueError(f"{path}:{number + 1}: a block begins with '== mail NAME', '== expect' or '== do'")
    return match[1], match[2] or ""


def _read_head(case: Case, lines: list[str]) -> int:
    """The lines before the first block; returns the first block's index."""
    for number, line in enumerate(lines):
        if line.startswith("== "):
            return number
        key, _, value = line.partition(":")
        value = value.strip()
        if not line.strip() or line.startswith("#"):
            continue
        if key == "title":
            case.title = value
        elif key == "covers":
            case.covers.append(value)
        elif key == "desk":
            case.desk = value
        elif key == "company":
            domain, _, owners = value.partition(" owned by ")
            people = [case.own(f"{owner.strip()}@staff.test") for owner in owners.split(",") if owner.strip()]
            case.companies.append((case.own(domain.strip()), [p for p in people if not p.startswith("nobody@")]))
        else:
            raise ValueError(f"{case.path}:{number + 1}: no such line: {key}")
    raise ValueError(f"{case.path}:1: no mail in it")


def _mail(path: Path, line: int, name: str, body: list[tuple[int, str]]) -> Sending:
    texts = [text for _, text in body]
    if not name or "--" not in texts:
        raise ValueError(f"{path}:{line}: a mail has a name, and a line '--' before its text")
    split = texts.index("--")
    directives = {}
    for text in texts[:split]:
        key, _, value = text.partition(":")
        directives[key.strip()] = value.strip()
    letter = texts[split + 1 :]
    while letter and not letter[-1].strip():
        letter.pop()
    return Sending(line, name, directives, "\n".join(letter) + "\n", ())


def _with_expectation(path: Path, line: int, case: Case, body: list[tuple[int, str]]) -> Sending:
    last = case.steps.pop() if case.steps else None
    if not isinstance(last, Sending):
        raise ValueError(f"{path}:{line}: an expectation stands under a mail")  # noqa: TRY004  a mistake in a file
    expected = []
    for number, text in body:
        if text.strip():
            key, _, value = text.partition(": ") if not text.startswith("header ") else _header_line(text)
            expected.append(Expected(number, key.strip(), value.strip()))
    return Sending(last.line, last.name, last.directives, last.text, tuple(expected))


def _header_line(text: str) -> tuple[str, str, str]:
    name, _, value = text.partition(": ")
    return name, ":", value
