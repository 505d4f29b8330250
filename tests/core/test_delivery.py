"""What came of an attempt."""

import pytest

from supportrelay.core.delivery import Outcome, OutcomeKind, Phase


@pytest.mark.parametrize(
    ("code", "status", "text", "line"),
    [
        pytest.param(250, "2.0.0", "250 2.0.0 Ok: queued", "250 2.0.0 Ok: queued", id="the text holds all"),
        pytest.param(451, "4.3.0", "Try later", "451 4.3.0 Try later", id="words alone"),
        pytest.param(250, "", "Ok", "250 Ok", id="no status"),
        pytest.param(0, "", "connection refused", "connection refused", id="no reply"),
        pytest.param(0, "", "", "", id="nothing"),
    ],
)
def test_a_reply_is_told_once(code: int, status: str, text: str, line: str) -> None:
    """It read '250 2.0.0 250 2.0.0 Ok' in `queue show`."""
    assert Outcome(OutcomeKind.DELIVERED, Phase.DOT, code, status, text).reply == line
