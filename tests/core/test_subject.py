"""Subjects for comparing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.subject import has_either_prefix, has_forward_prefix, has_reply_prefix, normalise_subject


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Re: Offer", "offer"),
        ("RE: FW: Re[2]: Re(3): re*2: Re^4: Re2: Offer", "offer"),
        ("Ｒｅ：　見積の件", "見積の件"),
        ("返信: 転送：見積の件", "見積の件"),
        ("回复：Re: x y", "x y"),
        ("AW: WG: Angebot", "angebot"),
        ("TR : Devis", "devis"),
        ("Odp: PD: Oferta", "oferta"),
        ("[EXTERNAL] Re: [external] Offer", "offer"),
        ("【社外】 Re: Offer", "offer"),
        ("Re: [Desk SR-12-k7] Offer", "offer"),
        ("Re:   a   b ", "a b"),
        ("Result: fine", "result: fine"),
        ("Internal: x", "internal: x"),
        ("", ""),
        ("Re:", ""),
    ],
)
def test_prefixes_and_tags_do_not_count(subject: str, expected: str) -> None:
    assert normalise_subject(subject, ("[EXTERNAL]", "【社外】")) == expected


@pytest.mark.parametrize(
    ("subject", "is_reply", "is_forward"),
    [
        ("Re: x", True, False),
        ("[list] Re: x", True, False),
        ("【重要】Re: x", True, False),
        ("ＲＥ：x", True, False),
        ("返信：x", True, False),
        ("SV: x", True, False),
        ("Fwd: x", False, True),
        ("Ｆｗ： x", False, True),
        ("転送: x", False, True),
        ("I: x", False, True),
        ("Fw: Re: x", False, True),
        ("Re: Fw: x", True, False),
        ("Ref 12: x", False, False),
        ("Regarding: x", False, False),
        ("", False, False),
    ],
)
def test_the_first_prefix_says_what_it_is(subject: str, is_reply: bool, is_forward: bool) -> None:
    assert (has_reply_prefix(subject), has_forward_prefix(subject)) == (is_reply, is_forward)


# RULES_OF_MAIL 4: every prefix it names.
REPLIES = [
    *("Re", "RE", "Re(2)", "Re[2]", "Re*2", "Re^2", "Antw", "AW", "Odp", "R", "REF", "RES", "Rif", "SV", "VÁ", "VS"),
    *("YNT", "השב", "ΑΠ", "ΣΧΕΤ", "НА", "回复", "回覆", "返信", "返", "ＲＥ", "Ｒｅ"),
]
FORWARDS = ["Fwd", "FW", "Fw", "WG", "TR", "PD", "I", "ENC", "転送", "Ｆｗ", "轉寄", "转发"]


@pytest.mark.parametrize("colon", [": ", "：", " : ", ":"])
@pytest.mark.parametrize("prefix", [*REPLIES, *FORWARDS])
def test_every_prefix_of_the_rules_is_known(prefix: str, colon: str) -> None:
    subject = f"{prefix}{colon}Pumpe defekt"

    assert normalise_subject(subject) == "pumpe defekt"
    assert has_reply_prefix(subject) is (prefix in REPLIES)
    assert has_forward_prefix(subject) is (prefix in FORWARDS)
    assert has_either_prefix(subject) is (prefix == "VS")


@given(st.text(max_size=80))
def test_normalising_again_changes_nothing_but_what_a_tag_hid(subject: str) -> None:
    assert isinstance(normalise_subject(subject), str)
    assert normalise_subject(f"Re: {subject}") == normalise_subject(subject)


@pytest.mark.parametrize("piece", ["Re: ", "[", "[a]", "re", " ", "re ", "\u0340\u0301", "re[1]"])
def test_hostile_subjects_take_linear_time(piece: str) -> None:
    began = time.process_time()
    normalise_subject(piece * 50_000)
    has_reply_prefix(piece * 50_000)

    assert time.process_time() - began < 0.5
