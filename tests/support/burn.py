"""Models of burns that are known, for tests of what is made of them."""

import math

from farebox.service.insight.burn_model import HORIZONS, HOURS_PER_DAY, HOURS_PER_WEEK, BurnModel


def even_burn(usual: float, *, fast: float | None = None, slow: float | None = None) -> BurnModel:
    """Burn evenly, by day and by night, so many micros a day at each of the three paces."""
    ends = len(HORIZONS) + 1
    low = math.log(max(slow, 1e-300) / usual) if slow is not None else 0.0
    high = math.log(fast / usual) if fast is not None else 0.0
    return BurnModel(
        weights=(1.0,) * HOURS_PER_WEEK,
        level=usual / HOURS_PER_DAY,
        growth=0.0,
        low=(low,) * ends,
        high=(high,) * ends,
        days=30,
    )
