"""What HubSpot answers when it refuses (CRM_FACTS section 1 h): the bodies, in one place.

`ApiError` is raised by the handlers and becomes the answer; ``is_violation`` marks those that a correct client cannot
cause: they are kept for the tests (`DoubleClient.violations`).
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["ApiError", "detail", "invalid", "rate_limit_body", "refusal_body", "violation"]


def refusal_body(
    message: str,
    category: str,
    errors: Sequence[Mapping[str, Any]] = (),
    context: Mapping[str, Sequence[str]] | None = None,
    sub_category: str = "",
) -> dict[str, Any]:
    """The usual shape: status, message, category, correlationId, perhaps errors and context."""
    body: dict[str, Any] = {
        "status": "error",
        "message": message,
        "correlationId": str(uuid.uuid4()),
        "category": category,
    }
    if sub_category:
        body["subCategory"] = sub_category
    if errors:
        body["errors"] = [dict(one) for one in errors]
    if context:
        body["context"] = {name: list(values) for name, values in context.items()}
    return body


def rate_limit_body(policy: str) -> dict[str, Any]:
    """The other shape, of 429 only. ``policy``: DAILY, TEN_SECONDLY_ROLLING or SECONDLY."""
    named = {"DAILY": "daily limit", "SECONDLY": "secondly limit"}.get(policy, "ten_secondly_rolling limit")
    return {
        "status": "error",
        "message": f"You have reached your {named}.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid.uuid4()),
        "policyName": policy,
        "requestId": uuid.uuid4().hex,
    }


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self,
        status: int,
        message: str,
        category: str = "VALIDATION_ERROR",
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        context: Mapping[str, Sequence[str]] | None = None,
        sub_category: str = "",
        is_violation: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.is_violation = is_violation
        self.body = refusal_body(message, category, errors, context, sub_category)


def detail(message: str, code: str, **context: Iterable[str]) -> dict[str, Any]:
    """One entry of ``errors``."""
    return {"message": message, "code": code, "context": {name: list(values) for name, values in context.items()}}


def invalid(message: str, code: str, **context: Iterable[str]) -> ApiError:
    """A 400 with one entry of ``errors``; the text repeats code and message, as HubSpot's does."""
    text = f'Property values were not valid: [{{"isValid":false,"message":"{message}","error":"{code}"}}]'
    return ApiError(400, text, errors=[detail(message, code, **context)])


def violation(message: str, status: int = 400) -> ApiError:
    """What the API's description forbids."""
    return ApiError(status, message, is_violation=True)
