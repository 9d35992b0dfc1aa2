#!/usr/bin/env bash
# In litellm's price file "above_200k_tokens" includes the 200,000th token for one provider, and not for the others.
#
# Guess:     input_cost_per_token_above_200k_tokens is the price from token 200,001 on, as its name says, so the file alone
#            tells what a request costs.
# Behaviour: for most providers it is. For xai the dear price counts from exactly 200,000 tokens: the same key, twice the
#            money, and what decides is a set of providers in the program, not a field of the file. An importer of the
#            file charges such a request half of what the provider bills. (And the dear price is for all tokens of the
#            request, not for those above the threshold.)
# Versions:  litellm 1.110.2, with the price file that it ships
# Source:    litellm_core_utils/llm_cost_calc/utils.py, _INCLUSIVE_THRESHOLD_PROVIDERS; xAI's price list, "at or above 200K"
# Seen:
#   gemini-2.5-pro: 200,000 tokens 0.25, one more 0.5000025
#   xai/grok-4.20-0309-reasoning: one fewer 0.24999875, 200,000 tokens 0.5
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet litellm==1.110.2

LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

from litellm import cost_per_token, model_cost

THRESHOLD = 200_000


def cost(model: str, tokens: int) -> Decimal:
    """Tell what so many tokens of input cost; the program's float to eight decimals."""
    return round(Decimal(cost_per_token(model=model, prompt_tokens=tokens, completion_tokens=0)[0]), 8).normalize()


models = ("gemini-2.5-pro", "xai/grok-4.20-0309-reasoning")
keys = ("input_cost_per_token", "input_cost_per_token_above_200k_tokens")
assert len({tuple(model_cost[model][key] for key in keys) for model in models}) == 1, "the two have other prices now"
exclusive, inclusive = models
at, above = cost(exclusive, THRESHOLD), cost(exclusive, THRESHOLD + 1)
print(f"{exclusive}: 200,000 tokens {at}, one more {above}")
below, reached = cost(inclusive, THRESHOLD - 1), cost(inclusive, THRESHOLD)
print(f"{inclusive}: one fewer {below}, 200,000 tokens {reached}")
assert (at, above) == (Decimal("0.25"), Decimal("0.5000025")), "the threshold is reached otherwise now"
assert (below, reached) == (Decimal("0.24999875"), Decimal("0.5")), "xai's threshold is reached otherwise now"
PYTHON
