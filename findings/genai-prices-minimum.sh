#!/usr/bin/env bash
# Short audio costs a fixed minimum by genai-prices' program, and a fraction of that by genai-prices' data.
#
# Guess:     the data file, which other programs are invited to read, has all that a price depends on; a model with a
#            price for an hour of audio costs a 3,600th part of it for a second.
# Behaviour: for two models of one provider it costs ten times that: the program counts ten seconds at least. The minimum
#            stands in a condition on the names of the models; the data, its schema and the models' comments know
#            nothing of it. A reader of the data charges short audio up to ten times too little.
# Versions:  genai-prices 0.2.3, with the data that it ships
# Source:    genai_prices/types.py, ModelInfo.calc_price: "max(reported_seconds, 10)"
# Seen:
#   whisper-large-v3-turbo, price for an hour 0.04: 1 s 0.000111, 10 s 0.000111, 20 s 0.000222
#   whisper-1, price for an hour 0.36: 1 s 0.000100, 10 s 0.001000, 20 s 0.002000
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet genai-prices==0.2.3

"$folder/venv/bin/python" - <<'PYTHON'
from dataclasses import asdict

from genai_prices import Usage, calc_price
from genai_prices.data import providers


def costs(provider: str, model: str) -> list[str]:
    """Tell what 1, 10 and 20 seconds cost."""
    usages = [Usage(audio_seconds=seconds, input_audio_seconds=seconds) for seconds in (1, 10, 20)]
    return [f"{calc_price(usage, model, provider_id=provider).total_price:.6f}" for usage in usages]


seen = {}
for provider, model in (("groq", "whisper-large-v3-turbo"), ("openai", "whisper-1")):
    (entry,) = (info for some in providers if some.id == provider for info in some.models if info.id == model)
    seen[model] = costs(provider, model)
    one, ten, twenty = seen[model]
    print(f"{model}, price for an hour {entry.prices.input_audio_hours}: 1 s {one}, 10 s {ten}, 20 s {twenty}")
    told = f"{asdict(entry)} {entry.prices.__dict__}".lower()
    assert "minimum" not in told and "10 s" not in told, f"the data of {model} tells of a minimum now"
assert seen["whisper-large-v3-turbo"] == ["0.000111", "0.000111", "0.000222"], "the minimum is another now"
assert seen["whisper-1"] == ["0.000100", "0.001000", "0.002000"], "the other model has a minimum now"
PYTHON
