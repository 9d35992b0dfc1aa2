"""How hard property tests try: FAREBOX_TEST_PROFILE=torture makes each try fifty times as many examples."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

PROFILE: Final = os.environ.get("FAREBOX_TEST_PROFILE", "farebox")
_TIMES: Final = {"farebox": 1, "torture": 50}


def examples(count: int) -> settings:
    """Try so many examples, or as many times more as the profile says."""
    return settings(
        max_examples=count * _TIMES[PROFILE],
        # Fixtures are made once for all examples of a test; such a test clears up after each by itself.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
