#!/usr/bin/env bash
# Cached tokens without a price in litellm's file cost as much as others, but for one provider half of it.
#
# Guess:     where the price file has no cache_read_input_token_cost, one rule tells what cached tokens cost: that of
#            input, as the program's own comment has it.
# Behaviour: for fireworks_ai it is half of it, by a constant of the program that an environment variable changes; the
#            file has nothing that tells such models from others. Of that provider's 350 entries 263 have no price for
#            cached tokens, so a reader of the file alone charges those double.
# Versions:  litellm 1.110.2, with the price file that it ships
# Source:    llms/fireworks_ai/cache_pricing.py; constants.py, FIREWORKS_AI_DEFAULT_CACHE_READ_RATE_RATIO
# Seen:
#   fireworks_ai/accounts/fireworks/models/deepseek-r1: a million tokens of input 3.00, cached 1.50
#   together_ai/Qwen/Qwen2.5-7B-Instruct-Turbo: a million tokens of input 0.30, cached 0.30
#   fireworks_ai: 350 entries, 263 of them without a price for cached tokens
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet litellm==1.110.2

LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" - <<'PYTHON'
from litellm import cost_per_token, model_cost

KEY, TOKENS, PROVIDER = "cache_read_input_token_cost", 1_000_000, "fireworks_ai"


def costs(model: str) -> tuple[str, str]:
    """Tell what a million tokens of input cost, and as many that were cached."""
    assert KEY not in model_cost[model], f"{model} has a price for cached tokens now"
    return tuple(
        f"{cost_per_token(model=model, prompt_tokens=TOKENS, completion_tokens=0, cache_read_input_tokens=cached)[0]:.2f}"
        for cached in (0, TOKENS)
    )


models = ("fireworks_ai/accounts/fireworks/models/deepseek-r1", "together_ai/Qwen/Qwen2.5-7B-Instruct-Turbo")
seen = {model: costs(model) for model in models}
for model, (plain, cached) in seen.items():
    print(f"{model}: a million tokens of input {plain}, cached {cached}")
assert list(seen.values()) == [("3.00", "1.50"), ("0.30", "0.30")], "cached tokens cost something else now"
entries = [entry for entry in model_cost.values() if entry.get("litellm_provider") == PROVIDER]
without = sum(KEY not in entry for entry in entries)
print(f"{PROVIDER}: {len(entries)} entries, {without} of them without a price for cached tokens")
assert (len(entries), without) == (350, 263), "the file has other entries now"
PYTHON
