"""second: the words of a copy in another form: why it is not the whole mail, what it is about, how to get the rest."""

from supportrelay.core.banner_text import BannerValues
from supportrelay.core.delivery import Cause, DeliveryForm
from supportrelay.core.second_copy import SecondCopy
from supportrelay.flow.office import Rulebook

__all__ = ["second_copy_of"]


def second_copy_of(
    rulebook: Rulebook,
    language: str,
    form: DeliveryForm,
    why: str,
    *,
    queue_id: str,
    subject: str,
    values: BannerValues,
) -> SecondCopy:
    """The form and its lines.

    Args:
        why: ``size 552 5.3.4`` (`core.ladder.why_of`).
        values: Of the mail's banner; nothing goes into the lines that may not stand there.
    """

    def word(name: str, **given: str) -> str:
        text = rulebook.word(language, f"form.{name}")
        for placeholder, value in given.items():
            text = text.replace(f"{{{placeholder}}}", value)
        return text

    cause, _, status = why.partition(" ")
    reason = word(cause if cause in {"size", "content"} else "content", status=status)
    kept = word("original", queue_id=queue_id)
    about = [word("author", author=values.author), word("subject", subject=subject)]
    if values.ticket_url:
        about.append(word("link", url=values.ticket_url))
    return SecondCopy(
        form,
        {
            DeliveryForm.LIGHT: (kept, word("light", why=reason)),
            DeliveryForm.ATTACHED: (word("attached", why=reason),),
            DeliveryForm.NOTICE: (word("notice", why=reason), *about, kept),
        },
        is_too_large=cause == Cause.SIZE,
    )
