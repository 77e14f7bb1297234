"""What went wrong, in words: no bare number where there is a name."""

from __future__ import annotations

import pytest
from meter.errors import LineError, in_words


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28), "[Errno 28] ENOSPC"),
        (OSError(-104), "[Errno 104] ECONNRESET"),
        (OSError(-0x7280), "-29312"),
        (OSError("no route"), "no route"),
        (LineError("28"), "28"),
    ],
)
def test_an_error_of_the_system_is_named_whatever_its_sign(error: Exception, said: str) -> None:
    assert in_words(error) == said
