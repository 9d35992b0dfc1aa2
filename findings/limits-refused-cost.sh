#!/usr/bin/env bash
# A fixed window of limits takes the cost of a request that it refuses, so one that is too large shuts out the small ones behind it.
#
# Guess:     hit(limit, cost=60) answers "True if cost could be deducted from the rate limit without exceeding it"; where it answers
#            False nothing was deducted, and the 40 that were left are left.
# Behaviour: the cost is added first and compared afterwards. With 40 of 100 left, a request for 60 is refused and takes
#            the 40: until the window ends, whoever asked is refused even a cost of 1, though not more than 60 were ever granted. With a
#            cost of 1 it can't be told apart; with costs in tokens or money it is wrong. The same call on the moving window and on
#            the sliding window takes nothing when it refuses. test() asks beforehand, but then two callers can pass at once.
# Versions:  limits 5.8.0, storage in memory
# Source:    limits.strategies.FixedWindowRateLimiter.hit: storage.incr(..., amount=cost) <= item.amount
# Seen:
#   FixedWindowRateLimiter: 60 granted, 60 refused, left 0, then 1 refused
#   MovingWindowRateLimiter: 60 granted, 60 refused, left 40, then 1 granted
#   SlidingWindowCounterRateLimiter: 60 granted, 60 refused, left 40, then 1 granted
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet limits==5.8.0

"$folder/venv/bin/python" - <<'PYTHON'
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

LIMIT = parse("100/day")


def ask(strategy: type[RateLimiter]) -> tuple[bool, bool, int, bool]:
    limiter = strategy(MemoryStorage())
    first = limiter.hit(LIMIT, "customer", cost=60)
    second = limiter.hit(LIMIT, "customer", cost=60)
    left = limiter.get_window_stats(LIMIT, "customer").remaining
    small = limiter.hit(LIMIT, "customer", cost=1)
    words = {True: "granted", False: "refused"}
    print(f"{strategy.__name__}: 60 {words[first]}, 60 {words[second]}, left {left}, then 1 {words[small]}")
    return first, second, left, small


assert ask(FixedWindowRateLimiter) == (True, False, 0, False), "a refused cost is not taken any more"
assert ask(MovingWindowRateLimiter) == (True, False, 40, True), "a moving window does otherwise now"
assert ask(SlidingWindowCounterRateLimiter) == (True, False, 40, True), "a sliding window does otherwise now"
PYTHON
