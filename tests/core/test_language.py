"""The language of a mail, guessed plainly."""

import pytest

from supportrelay.core.facts import Facts
from supportrelay.core.language import message_language


def mail(text: str = "", *, subject: str = "", charset: str = "", header: str = "") -> Facts:
    return Facts(
        subject=subject,
        own_text=text,
        content_parameters={"charset": charset} if charset else {},
        fields={"content-language": (header,)} if header else {},
    )


@pytest.mark.parametrize(
    ("facts", "language"),
    [
        pytest.param(mail("Bonjour", header="ja-JP"), "ja", id="content-language-first"),
        pytest.param(mail("Thanks for the offer, we will call you", header="??"), "en", id="content-language-nonsense"),
        pytest.param(mail("Hello", header="FR, en"), "fr", id="first-tag"),
        pytest.param(mail("お世話になっております。山田です。"), "ja", id="kana"),
        pytest.param(mail("見積依頼", charset="ISO-2022-JP"), "ja", id="kanji-by-charset"),
        pytest.param(mail("报价单请尽快发送"), "zh", id="chinese"),
        pytest.param(mail("안녕하세요 견적 부탁드립니다"), "ko", id="korean"),
        pytest.param(mail("Добрый день, пришлите счёт"), "ru", id="russian"),
        pytest.param(mail("Добрий день, надішліть її"), "uk", id="ukrainian"),
        pytest.param(mail("Dear team, please call us about the offer. Thanks and regards"), "en", id="english"),
        pytest.param(mail("Bonjour, merci pour votre devis, nous vous rappelons. Cordialement"), "fr", id="french"),
        pytest.param(mail("Dzień dobry, proszę o ofertę. Pozdrawiam"), "pl", id="polish"),
        pytest.param(
            mail("Sehr geehrte Damen und Herren, bitte rufen Sie mich an. Mit freundlichen Grüßen"), "de", id="de"
        ),
        pytest.param(mail("Buenos días, gracias por la oferta que nos envió. Un saludo"), "es", id="spanish"),
        pytest.param(
            mail("Please see the report from 山田 and call me, thanks and regards. " * 3), "en", id="foreign-name"
        ),
        pytest.param(mail(charset="shift_jis"), "ja", id="charset-alone"),
        pytest.param(mail("OK", charset="us-ascii"), "", id="too-little"),
        pytest.param(mail("12345 67890"), "", id="numbers"),
        pytest.param(mail(), "", id="empty"),
    ],
)
def test_the_language_of_a_mail(facts: Facts, language: str) -> None:
    assert message_language(facts) == language


def test_the_subject_counts() -> None:
    assert message_language(mail("", subject="お見積りのお願い")) == "ja"


def test_the_whole_text_counts_when_the_writer_only_quoted() -> None:
    assert message_language(Facts(body_text="> お世話になっております")) == "ja"
