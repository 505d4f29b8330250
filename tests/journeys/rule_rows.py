"""The tables of test_rules: each condition with a mail that it is true of and one that it is not, each action."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from journeys.relay import OURS
from journeys.rule_desk import ALL, ANN, BEN, CASE, CHO, COLLEGE, DAN, KUNDE, NOBODY, OTHER, SUPPORT, ZOE, Letter


@dataclass(frozen=True)
class Asked:
    """A condition, a mail that it is true of and one that it is not."""

    id: str
    when: dict[str, Any]
    yes: Letter
    no: Letter

    @property
    def added(self) -> str:
        """Who gets a copy when the rule matches."""
        return f"{self.id}@staff.test"

    def rule(self) -> dict[str, Any]:
        when = {**self.when, "header": {CASE: self.id, **self.when.get("header", {})}}
        return {"name": f"asks {self.id}", "when": when, "then": {"also_to": [self.added], "tag": self.id}}


INBOUND = Letter()
FROM_OTHER = Letter(sender=OTHER)
OUTBOUND = Letter(sender=ZOE, to=f"{KUNDE}, {SUPPORT}", peer=OURS)
CLOSING = Letter(sender=ZOE, to=KUNDE, cc=SUPPORT, peer=OURS)
NOTE = Letter(sender=ZOE, peer=OURS)
FORGED = Letter(sender=ZOE)
SPAM = Letter(headers={"X-Spam-Flag": "YES"})
NEWSLETTER = Letter(headers={"Precedence": "bulk", "List-Unsubscribe": "<mailto:u@acme.example>"})
VACATION = Letter(headers={"Auto-Submitted": "auto-replied (vacation)"})
AUTO_REPLY = Letter(headers={"Auto-Submitted": "auto-replied"})
NOTICE = Letter(headers={"Auto-Submitted": "auto-generated"})
LIST = Letter(headers={"List-Id": "<users.acme.example>"})
IN_CC = Letter(to="zoe@acme.example", cc=SUPPORT)
IN_BCC = Letter(to="zoe@acme.example")
JAPANESE = Letter(subject="お見積もりの件", body="いつもお世話になっております。見積書をお送りください。")
ENGLISH = Letter(body="Hello, could you please send us the offer? Thanks and regards.")

_TODAY = datetime.now(UTC)
# The run may pass midnight: today and tomorrow are now, the days after are not.
_NOW, _NOT_NOW = (",".join(f"{_TODAY + timedelta(days=n):%a}" for n in days) for days in ((0, 1), (3, 4)))

ASKED = [
    Asked("direction-inbound", {"direction": "inbound"}, INBOUND, OUTBOUND),
    Asked("direction-outbound", {"direction": "outbound"}, OUTBOUND, INBOUND),
    Asked("direction-note", {"direction": "note"}, NOTE, OUTBOUND),
    Asked("direction-unproven", {"direction": "unproven"}, FORGED, NOTE),
    Asked("direction-automatic", {"direction": ["automatic"]}, NEWSLETTER, INBOUND),
    Asked("direction-spam", {"direction": ["spam"]}, SPAM, INBOUND),
    Asked("direction-any-of", {"direction": ["note", "outbound"]}, NOTE, INBOUND),
    Asked("support_in-to", {"support_in": "to"}, INBOUND, IN_CC),
    Asked("support_in-cc", {"support_in": "cc"}, IN_CC, IN_BCC),
    Asked("support_in-other", {"support_in": "other"}, IN_BCC, INBOUND),
    Asked("from", {"from": KUNDE.upper()}, INBOUND, FROM_OTHER),
    Asked("from-glob", {"from": ["*@nowhere.example", "*@*.example"]}, INBOUND, Letter(sender="a@web.test")),
    Asked("from-regex", {"from": "/^(kunde|client)@/"}, INBOUND, FROM_OTHER),
    Asked("to", {"to": "bob@acme.example"}, Letter(to=f"{SUPPORT}, Bob <BOB@acme.example>"), INBOUND),
    Asked("to-is-not-cc", {"to": "*@b.example"}, Letter(to=f"{SUPPORT}, a@b.example"), Letter(cc="a@b.example")),
    Asked("cc", {"cc": "*@acme.example"}, Letter(cc="a@acme.example"), Letter(to=f"{SUPPORT}, a@acme.example")),
    Asked("cc-regex", {"cc": "/@(acme|pumps)[.]example$/"}, Letter(cc="a@pumps.example"), Letter(cc="a@b.example")),
    Asked(
        "recipient-that-only-a-rule-knows",
        {"recipient": "orders@desk.test"},
        Letter(to="orders@desk.test", rcpt=("orders@desk.test",)),
        INBOUND,
    ),
    Asked(
        "recipient-domain-that-only-a-rule-knows",
        {"recipient": "*@orders.test"},
        Letter(to="orders@desk.test", rcpt=("Any.One@Orders.test",)),
        Letter(to="any@orders.test"),
    ),
    Asked("recipient-plus", {"recipient": "support+vip@desk.test"}, Letter(rcpt=("Support+VIP@desk.test",)), INBOUND),
    Asked("subject", {"subject": "Line down*"}, Letter(subject="LINE DOWN again"), Letter(subject="the line down")),
    Asked("subject-glob", {"subject": "*至急*"}, Letter(subject="【至急】 ラインが停止しました"), INBOUND),
    Asked("subject-regex", {"subject": "/至急|urgent/i"}, Letter(subject="Re: URGENT: help"), INBOUND),
    Asked("subject-regex-minds-case", {"subject": "/urgent/"}, Letter(subject="urgent"), Letter(subject="URGENT")),
    Asked(
        "header",
        {"header": {"X-Priority": ["1", "1 *"]}},
        Letter(headers={"X-Priority": "1 (Highest)"}),
        Letter(headers={"X-Priority": "3"}),
    ),
    Asked("header-at-all", {"header": {"X-Mailer": "*"}}, Letter(headers={"X-Mailer": "Becky! ver. 2.75"}), INBOUND),
    Asked(
        "header-all-of-them",
        {"header": {"X-One": "*", "X-Two": "/ja|はい/"}},
        Letter(headers={"X-One": "1", "X-Two": "はい"}),
        Letter(headers={"X-Two": "はい"}),
    ),
    Asked("body", {"body": "*serial number*"}, Letter(body="Hello,\r\nthe Serial Number is 17.\r\n"), INBOUND),
    Asked("body-regex", {"body": "/^SN-[0-9]{4}$/m"}, Letter(body="Hello,\r\nSN-1234\r\nBye"), Letter(body="SN-12345")),
    Asked("attachment", {"attachment": "*.pdf"}, Letter(files=("Plan.PDF",)), Letter(files=("plan.png",))),
    Asked("attachment-japanese", {"attachment": "*見積*"}, Letter(files=("御見積書.pdf",)), Letter(files=("x.pdf",))),
    Asked("attachment-any", {"attachment": True}, Letter(files=("a.bin",)), INBOUND),
    Asked("attachment-none", {"attachment": False}, INBOUND, Letter(files=("a.bin",))),
    Asked("size_over", {"size_over": "20KB"}, Letter(body="x" * 30_000), Letter(body="x" * 10_000)),
    Asked("spam", {"spam": True}, SPAM, INBOUND),
    Asked("spam-not", {"spam": False}, INBOUND, SPAM),
    Asked("automatic-ooo", {"automatic": "ooo"}, VACATION, AUTO_REPLY),
    Asked("automatic-reply", {"automatic": "reply"}, AUTO_REPLY, VACATION),
    Asked("automatic-notice", {"automatic": "notice"}, NOTICE, NEWSLETTER),
    Asked("automatic-newsletter", {"automatic": ["newsletter"]}, NEWSLETTER, NOTICE),
    Asked("automatic-list", {"automatic": "list"}, LIST, INBOUND),
    Asked("proven", {"proven": True}, NOTE, FORGED),
    Asked("proven-not", {"proven": False}, FORGED, NOTE),
    Asked("known_contact", {"known_contact": True}, INBOUND, Letter(sender=COLLEGE)),
    Asked("known_contact-not", {"known_contact": False}, Letter(sender=NOBODY), INBOUND),
    Asked("company", {"company": "acme*"}, Letter(sender=COLLEGE), FROM_OTHER),
    Asked("company-regex", {"company": "/Ltd$/"}, FROM_OTHER, Letter(sender=NOBODY)),
    Asked("deal", {"deal": ["Robots 20*"]}, INBOUND, FROM_OTHER),
    Asked("owner", {"owner": BEN}, FROM_OTHER, INBOUND),
    Asked("language-ja", {"language": "ja"}, JAPANESE, ENGLISH),
    Asked("language-en", {"language": ["fr", "en"]}, ENGLISH, JAPANESE),
    Asked(
        "all",
        {"all": [{"from": "*@acme.example"}, {"subject": "*urgent*"}]},
        Letter(subject="urgent!"),
        Letter(sender=OTHER, subject="urgent!"),
    ),
    Asked("any", {"any": [{"from": "*@pumps.example"}, {"subject": "*urgent*"}]}, FROM_OTHER, INBOUND),
    Asked("not", {"not": {"from": "*@acme.example"}}, FROM_OTHER, INBOUND),
    Asked(
        "not-of-several",
        {"not": {"from": "*@acme.example", "subject": "*urgent*"}},
        Letter(sender=OTHER, subject="urgent"),
        Letter(subject="urgent"),
    ),
    Asked(
        "nested",
        {"any": [{"all": [{"from": "*@acme.example"}, {"not": {"subject": "*urgent*"}}]}, {"company": "Pumps Ltd"}]},
        Letter(sender=OTHER, subject="urgent"),
        Letter(subject="urgent"),
    ),
]  # fmt: skip
HOURS = [
    Asked("hours-now", {"hours": _NOW}, INBOUND, INBOUND),
    Asked("hours-not-now", {"hours": {"hours": _NOT_NOW, "timezone": "Asia/Tokyo"}}, INBOUND, INBOUND),
]


# --- actions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """An action, and what comes of a mail for which it decides; the same mail in another case is handled as ever.

    Attributes:
        gets: Who gets a copy. stage: of the ticket that is made, "" for none. tags, banner: as on Ann's copy.
        usually, usual_stage: The same of the mail that no rule matches.
        below: What a second rule does, which stands below.
    """

    id: str
    then: Any
    gets: set[str] = field(default_factory=lambda: {ANN})
    stage: str = "NEW"
    disposition: str = "relay"
    state: str = "delivered"
    letter: Letter = INBOUND
    priority: str | None = None
    banner: str = "support 案内"
    tags: str = ""
    below: Any = None
    usually: set[str] = field(default_factory=lambda: {ANN})
    usual_stage: str = "NEW"

    def rules(self) -> Iterator[dict[str, Any]]:
        yield {"name": f"does {self.id}", "when": {"header": {CASE: self.id}}, "then": self.then}
        if self.below is not None:
            yield {"name": f"below {self.id}", "when": {"header": {CASE: self.id}}, "then": self.below}


_HELD: dict[str, Any] = {"gets": set(), "stage": "", "disposition": "hold", "state": "held"}
_IGNORED: dict[str, Any] = {"gets": set(), "stage": "", "disposition": "ignore", "state": "ignored"}
_TO_ALL = {"route_to": "allmember"}

DONE = [
    Done("ignore", {"ignore": True}, **_IGNORED),
    Done("ignore-in-short", "ignore", **_IGNORED),
    Done("hold", {"hold": True}, **_HELD),
    Done("hold-in-short", "hold", **_HELD),
    Done("route-to-owners", {"route_to": "owners", "continue": True}, below=_TO_ALL),
    Done("route-to-owners-of-nobody", {"route_to": "owners"}, {ALL}, letter=Letter(sender=NOBODY), usually={ALL}),
    Done("route-to-allmember", _TO_ALL, {ALL}),
    Done("route-to-team", {"route_to": {"team": "second-line"}}, {CHO, DAN}),
    Done("route-to-addresses", {"route_to": {"addresses": [BEN, "out@partner.example"]}}, {BEN, "out@partner.example"}),
    Done("route-to-a-list", {"route_to": [BEN, CHO]}, {BEN, CHO}),
    Done("route-to-one-address", {"route_to": ZOE}, {ZOE}),
    Done("also-to", {"also_to": [BEN, "out@partner.example"]}, {ANN, BEN, "out@partner.example"}),
    Done("also-to-an-owner", {"also_to": [ANN.upper()]}, {ANN}),
    Done("route-and-also-to", {"route_to": CHO, "also_to": [BEN]}, {CHO, BEN}),
    Done("rewrite-recipient", {"rewrite_recipient": "case@crm.example"}, {ANN, "case@crm.example"}),
    Done("ticket-none", {"ticket": "none"}, stage=""),
    Done("ticket-none-as-mapping", {"ticket": {"none": True}}, stage=""),
    Done("ticket-new", {"ticket": {"stage": "NEW"}}, letter=CLOSING, usual_stage="CLOSED"),
    Done("ticket-waiting", {"ticket": {"stage": "対応中"}}, stage="WAITING"),
    Done("ticket-closed", {"ticket": {"stage": "closed"}}, stage="CLOSED"),
    Done("ticket-for-a-newsletter", {"ticket": {"stage": "NEW"}}, letter=NEWSLETTER, usual_stage=""),
    Done("ticket-low", {"ticket": {"priority": "low"}}, priority="low"),
    Done("ticket-normal", {"ticket": {"priority": "normal"}}, priority="normal"),
    Done("ticket-high", {"ticket": {"priority": "high", "stage": "WAITING"}}, stage="WAITING", priority="high"),
    Done("ticket-urgent", {"ticket": {"priority": "urgent"}}, priority="urgent"),
    Done("banner-full", {"banner": "full", "continue": True}, below={"banner": "none"}),
    Done("banner-full-as-truth", {"banner": True, "continue": True}, below={"banner": False}),
    Done("banner-none", {"banner": "none"}, banner=""),
    Done("banner-none-as-truth", {"banner": False}, banner=""),
    Done("banner-of-ones-own", {"banner": "vip"}, banner="VIP DESK"),
    Done("tag", {"tag": "vip"}, tags="vip"),
    Done("tag-several", {"tag": ["vip", "至急", "vip"]}, tags="vip, 至急"),
    Done(
        "continue",
        {"also_to": [BEN], "tag": "one", "continue": True},
        {ALL, BEN, CHO},
        tags="",
        below={"also_to": [BEN, CHO], **_TO_ALL},
    ),
    Done("without-continue-the-first-decides", {"also_to": [BEN]}, {ANN, BEN}, below=_TO_ALL),
    Done("nothing-done-and-nothing-below", {}, below=_TO_ALL),
]  # fmt: skip

SPECIAL_RULES: list[dict[str, Any]] = [
    {
        "name": "always new",
        "when": {"header": {CASE: "always-new"}, "subject": "*another matter*"},
        "then": {"ticket": {"always_new": True}},
    },
    {
        "name": "no ticket in a thread",
        "when": {"header": {CASE: "none-in-thread"}, "subject": "*off the record*"},
        "then": {"ticket": "none"},
    },
    {
        "name": "closes in a thread",
        "when": {"header": {CASE: "closes-in-thread"}, "subject": "*done*"},
        "then": {"ticket": {"stage": "CLOSED", "priority": "low"}},
    },
    {
        "name": "absences to the back office",
        "when": {"header": {CASE: "absence-in-thread"}, "automatic": "ooo"},
        "then": {"also_to": [ZOE]},
    },
    {
        "name": "answers to the owners",
        "when": {"header": {CASE: "absence-in-thread"}, "automatic": "reply"},
        "then": {"route_to": "owners"},
    },
    {
        "name": "contacts of a thread",
        "when": {"header": {CASE: "contact-in-thread"}, "known_contact": True},
        "then": {"also_to": [ZOE]},
    },
    {"name": "spam to nobody", "when": {"header": {CASE: "spam-ignored"}, "spam": True}, "then": "ignore"},
    {
        "name": "says nothing of spam",
        "when": {"header": {CASE: "spam-unnamed"}, "from": "*@acme.example"},
        "then": {"also_to": [ZOE]},
    },
    {"name": "boss reads along", "when": {"header": {CASE: "boss"}}, "then": {"also_to": [ZOE]}},
    {"name": "shown to all", "when": {"header": {CASE: "shown"}}, "then": {"route_to": [CHO]}},
]


ALL_RULES = [
    *(asked.rule() for asked in [*ASKED, *HOURS]),
    *(rule for done in DONE for rule in done.rules()),
    *SPECIAL_RULES,
]
