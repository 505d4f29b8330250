"""The ladder: what a copy that was refused for its size, its content or its form is sent as next (DESIGN 5)."""

from supportrelay.core.delivery import Cause, DeliveryForm, DeliveryKind, Outcome, OutcomeKind

__all__ = ["is_about_the_mail", "next_form", "why_of"]

_ABOUT_THE_MAIL = frozenset({Cause.SIZE, Cause.CONTENT})
# Whatever was too large is too large with the original attached too, and what holds no attachment any more was not
# refused for one: there only the notice is left.
_NEXT = {
    (DeliveryForm.FULL, Cause.SIZE): DeliveryForm.LIGHT,
    (DeliveryForm.FULL, Cause.CONTENT): DeliveryForm.ATTACHED,
    (DeliveryForm.LIGHT, Cause.SIZE): DeliveryForm.NOTICE,
    (DeliveryForm.LIGHT, Cause.CONTENT): DeliveryForm.NOTICE,
    (DeliveryForm.ATTACHED, Cause.SIZE): DeliveryForm.NOTICE,
    (DeliveryForm.ATTACHED, Cause.CONTENT): DeliveryForm.NOTICE,
}


def is_about_the_mail(outcome: Outcome) -> bool:
    """Tell whether a server refused the mail itself for good, not this recipient and not us."""
    return outcome.kind == OutcomeKind.FAILED and outcome.cause in _ABOUT_THE_MAIL


def next_form(form: DeliveryForm, kind: DeliveryKind, outcome: Outcome) -> DeliveryForm | None:
    """Return what goes to the same recipient next; None when there is nothing left to try.

    What is sent on as it came (submission's other recipients, a CRM's case address) has one form: it is its author's
    mail, and another one would not be.
    """
    if kind.is_passed_on or kind == DeliveryKind.NOTE or not is_about_the_mail(outcome):
        return None
    return _NEXT.get((form, outcome.cause))


def why_of(outcome: Outcome) -> str:
    """``size 552 5.3.4``: cause, code and status of a refusal, as it is kept with the form that it led to.

    Not the server's words: they may name the recipient, and the copy may be quoted before a customer.
    """
    return " ".join(part for part in (outcome.cause, str(outcome.code or ""), outcome.status) if part)
