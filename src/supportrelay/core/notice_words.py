"""The sentences of the shipped banners (``edge/banner/*.j2``), to know a lone line of one again (DESIGN 3).

White space is left out of the comparison: clients wrap Japanese where no space stands, and English where one does.
A test renders every template and finds each of its lines here.
"""

import re
from collections.abc import Sequence
from enum import Enum

__all__ = ["Line", "is_said", "line_of"]

_MAX_CHARACTERS = 2000  # of a line; ours are shorter in every language

_WINMAIL = """
添付の winmail.dat は Outlook 独自の形式です。ほかの添付ファイルが入っていることがあります。
Attached is a winmail.dat, which only Outlook opens; it may hold the author's attachments.
La pièce jointe winmail.dat ne s'ouvre qu'avec Outlook ; elle peut contenir les pièces jointes de l'auteur.
Załącznik winmail.dat otwiera tylko Outlook; może on zawierać załączniki autora.
"""
# {a} an address, {n} a name: what the templates fill in.
_SENTENCES = """
ご注意: このメールの差出人が本人であることは確認できていません。
返信されるときは、この案内と、その下に引用される From・To・Cc・件名の部分を消してからお送りください。
このメールは、次の宛先で {a} に届いたものです。
{n} さんから転送されました。
宛先が多いため、「返信」の宛先は差出人と {a} だけです。ほかの方へは To と Cc から補ってください。
そのまま「返信」すると、差出人、上の To と Cc の方全員、{a} に届きます。
必要に応じて、Cc に移すか、宛先から外してください。
「全員に返信」は使わないでください。このメールの Cc の方全員にも届きます。
Careful: it could not be confirmed that the sender of this mail is genuine.
Before you answer, please delete this notice and the From/To/Cc/Subject lines quoted below it.
This mail came to {a} addressed like this:
Forwarded by {n}.
There are many addressees: 'Reply' goes to the author and {a} only. Add others from To and Cc as needed.
A plain 'Reply' goes to the author, everyone in To and Cc above, and {a}:
Move them to Cc or take them out as needed.
Please do not use 'Reply all': it would also reach everyone in Cc of this mail.
Attention : l'identité de l'expéditeur de ce message n'a pas pu être confirmée.
Avant de répondre, supprimez cet avis et les lignes De/À/Cc/Objet citées plus bas.
Ce message est arrivé à {a} avec ces destinataires :
Transféré par {n}.
Les destinataires sont nombreux : « Répondre » s'adresse seulement à l'auteur et à {a}. Ajoutez les autres au besoin.
« Répondre » s'adresse à l'auteur, à toutes les personnes en To et Cc ci-dessus et à {a} :
Déplacez-les en Cc ou retirez-les selon le besoin.
N'utilisez pas « Répondre à tous » : toutes les personnes en Cc de ce message la recevraient.
Uwaga: nie udało się potwierdzić tożsamości nadawcy tej wiadomości.
Przed odpowiedzią usuń tę informację i zacytowane niżej wiersze Od/Do/DW/Temat.
Ta wiadomość przyszła na {a} z takimi adresatami:
Przekazał(a): {n}.
Adresatów jest wielu: "Odpowiedz" obejmuje tylko autora i {a}. W razie potrzeby dodaj pozostałych.
"Odpowiedz" obejmuje autora, wszystkich z powyższych To i Cc oraz {a}:
W razie potrzeby przenieś ich do DW lub usuń.
Nie używaj "Odpowiedz wszystkim": odpowiedź dostaliby też wszyscy z pola DW tej wiadomości.
"""
_FILLED = {
    "{a}": r"[^\s<>@]{1,64}@[^\s<>@]{1,255}(?:<mailto:[^<>]{1,330}>)?",
    "{n}": r".{1,100}",
}
_BEFORE_PEOPLE = re.compile(r"(?:返信の宛先|A reply goes to|Une réponse s['’]adresse à|Odpowiedź trafi do)\s?: ?")
_URL = r"https?://[^\s<>()]{1,500}(?:<https?://[^<>]{1,510}>)?"
_REASON = (
    rf"(?:\([^()]{{1,600}}\))?(?:{'|'.join(re.escape(''.join(one.split())) for one in _WINMAIL.splitlines() if one)})?"
)
_TICKET = re.compile(
    rf"(?:チケット|Ticket|Zgłoszenie):(?P<label>SR-\d{{1,12}}|[-―])(?:{_URL})?{_REASON}"
    rf"|https?://[^\s<>()]{{1,400}}/t/(?P<linked>SR-\d{{1,12}})(?:<https?://[^<>]{{1,510}}>)?{_REASON}"
)
_MANUAL = re.compile(rf"(?:使い方|Manual|Manuel|Instrukcja):{_URL}")
_MORE = re.compile(r"(?:ほか ?\d{1,5} ?件|and \d{1,5} more|et \d{1,5} autres|i jeszcze \d{1,5})\Z")
_QUOTED_NAME = re.compile(r'"[^"<>@]{1,100}"')
_PERSON = re.compile(
    r"[^<>@]{0,100}<[^\s<>@]{1,64}@[^\s<>@]{1,255}>|[^\s<>@]{1,64}@[^\s<>@]{1,255}(?:<mailto:[^<>]{1,330}>)?|\x00"
)


class Line(Enum):
    """What a line beside a marker is."""

    SENTENCE = "sentence"  # ours by its words
    PEOPLE = "people"  # the list of people in one: ours only between lines that are ours by their words
    OTHER = "other"


def _bare(text: str) -> str:
    """Without white space and with straight apostrophes, which some programs round."""
    return "".join(text.split()).replace("’", "'").replace("”", '"').replace("“", '"')


def _pattern(sentence: str) -> str:
    pieces = re.split(r"(\{[an]\})", sentence)
    return "".join(_FILLED.get(piece) or re.escape(_bare(piece)) for piece in pieces)


_SAID = re.compile("|".join(_pattern(sentence) for sentence in (_SENTENCES + _WINMAIL).split("\n") if sentence))


def line_of(lines: Sequence[str], mark: str) -> Line:
    """Return what these lines are, joined to the one that a program may have wrapped.

    Args:
        lines: Without quotation marks and line ends.
        mark: Of the marker they stand beside (``SR-12-0f3a9c``): a ticket's line names the same ticket.
    """
    text = " ".join(lines).strip()
    if len(text) > _MAX_CHARACTERS:
        return Line.OTHER
    bare = _bare(text)
    if _SAID.fullmatch(bare) or _MANUAL.fullmatch(bare):
        return Line.SENTENCE
    ticket = _TICKET.fullmatch(bare)
    if ticket is not None:
        own = mark.rpartition("-")[0]
        named = ticket["label"] or ticket["linked"]
        return Line.SENTENCE if named == own or (not own and named in {"-", "―"}) else Line.OTHER
    announced = _BEFORE_PEOPLE.match(text)
    if announced is not None:
        return Line.SENTENCE if _is_people(text[announced.end() :]) else Line.OTHER
    return Line.PEOPLE if _is_people(text.removeprefix("To:").removeprefix("Cc:")) else Line.OTHER


def is_said(line: str) -> bool:
    """One of our sentences stands there, or begins; whatever is beside it."""
    if len(line) > _MAX_CHARACTERS:
        return False
    return _SAID.fullmatch(_bare(line)) is not None or _BEFORE_PEOPLE.match(line.strip()) is not None


def _is_people(text: str) -> bool:
    """Mailboxes and nothing else, in the forms in which the templates list them."""
    listed = text.strip().removeprefix("（").removesuffix("）")
    listed = _MORE.sub("", listed).rstrip().removesuffix(",")
    # A name in quotation marks may have a comma in it, and its address on the next line.
    people = [one.strip() for one in _QUOTED_NAME.sub("\0", listed).split(",")]
    return "@" in listed and all(_PERSON.fullmatch(one) for one in people)
