#!/usr/bin/env bash
# Two price lists of one model agree from Monday to Friday, and differ by half on Saturdays.
#
# Guess:     two lists that carry the same model's peak hours tell the same price at any time.
# Behaviour: DeepSeek's dear hours are those of working days. litellm's file has weekdays and hours, and so the cheap price
#            at weekends. genai-prices has constraints for a time of day, and none for a weekday, so its peak hours are
#            every day's: on a Saturday at 02:00 UTC it tells twice the price, with no word of it in the data.
# Versions:  litellm 1.110.2 and genai-prices 0.2.3, each with the list that it ships
# Source:    genai_prices/types.py, TimeOfDateConstraint; litellm_core_utils/llm_cost_calc/utils.py, _matches_weekdays
# Seen:
#   Friday 02:00 UTC, a million tokens: litellm 0.30, genai-prices 0.30
#   Saturday 02:00 UTC, a million tokens: litellm 0.15, genai-prices 0.30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet litellm==1.110.2 genai-prices==0.2.3

LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime

import genai_prices
from litellm.litellm_core_utils.llm_cost_calc.utils import generic_cost_per_token
from litellm.types.utils import Usage

MODEL, TOKENS = "deepseek-flash", 1_000_000


def costs(at: datetime) -> tuple[str, str]:
    """Tell what a million tokens of input cost at a time, by each list."""
    usage = Usage(prompt_tokens=TOKENS, completion_tokens=0, total_tokens=TOKENS)
    one = generic_cost_per_token(model=MODEL, usage=usage, custom_llm_provider="deepseek", current_time=at)[0]
    other = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=TOKENS), MODEL, provider_id="deepseek", genai_request_timestamp=at
    )
    return f"{one:.2f}", f"{other.total_price:.2f}"


friday, saturday = (costs(datetime(2026, 11, day, 2, tzinfo=UTC)) for day in (27, 28))
for name, (litellm, genai) in (("Friday", friday), ("Saturday", saturday)):
    print(f"{name} 02:00 UTC, a million tokens: litellm {litellm}, genai-prices {genai}")
assert friday == ("0.30", "0.30"), "the lists tell another price on a working day now"
assert saturday == ("0.15", "0.30"), "the lists tell another price on a Saturday now"
PYTHON
