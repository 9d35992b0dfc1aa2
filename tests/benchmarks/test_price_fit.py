"""The lists' own readers agree with the import about lists that were made up, and tell when it is wrong."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.price_fit.__main__ import has_price
from benchmarks.price_fit.by_genai_prices import GenaiModel
from benchmarks.price_fit.by_litellm import LitellmEntry
from benchmarks.price_fit.lists import genai_json
from farebox.core.pricing.costs import cost
from farebox.service.catalogue.files import read_json
from farebox.service.catalogue.genai_prices import read_genai_prices
from farebox.service.catalogue.listed import Listed
from farebox.service.catalogue.litellm import read_litellm

NOW: Final = datetime(2026, 9, 21, 12, tzinfo=UTC)
NOW_MICROS: Final = int(NOW.timestamp()) * 1_000_000
INPUT: Final = {"family": "tokens", "direction": "input"}
UNITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "input_tokens": {"per": 1_000_000, "price_key": "input_mtok", "dimensions": INPUT},
    "output_tokens": {"per": 1_000_000, "price_key": "output_mtok", "dimensions": {"family": "tokens"}},
    "cache_read_tokens": {"per": 1_000_000, "price_key": "cache_read_mtok", "dimensions": INPUT},
    "web_searches": {"per": 1_000, "price_key": "web_searches_kcount", "dimensions": {"family": "searches"}},
    "requests": {"per": 1_000, "price_key": "requests_kcount", "dimensions": {"family": "requests"}},
}
LITELLM_BASES: Final = (
    *("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"),
    *("cache_creation_input_token_cost", "cache_creation_input_token_cost_above_1hr", "input_cost_per_audio_token"),
    *("output_cost_per_reasoning_token", "output_cost_per_image", "output_cost_per_second_720p"),
)
ENDINGS: Final = (
    *("", "_batches", "_priority"),
    *("_above_200k_tokens", "_above_1000_tokens_flex", "_above_200k_tokens_priority"),
)
TOKEN_MEMBERS: Final = [base + ending for base in LITELLM_BASES[:7] for ending in ENDINGS]
UPLIFTS: Final = ("fedramp_uplift_multiplier", "regional_endpoint_uplift_multiplier")

prices = st.integers(0, 10**6).map(lambda micros: float(Fraction(micros, 10**9)))
quantities = st.integers(0, 400_000) | st.sampled_from((1, 1_000, 1_001, 200_000, 200_001))


def _request(item: Listed, counts: list[int]) -> dict[str, int]:
    assert item.offer is not None
    assert item.offer.rule is not None
    return dict(zip(item.offer.rule.names, counts, strict=False))


def _charged(item: Listed, request: Mapping[str, int]) -> int:
    assert item.offer is not None
    assert item.offer.rule is not None
    return cost(item.offer.rule, item.offer.rule.rates, request, {}).amount


@given(
    st.dictionaries(st.sampled_from(TOKEN_MEMBERS), prices, max_size=12),
    st.sampled_from(("xai", "fireworks_ai", "other")),
    st.dictionaries(st.sampled_from(UPLIFTS), st.just(1.1)),
    st.lists(quantities, min_size=12, max_size=12),
)
def test_both_readers_of_litellms_file_agree(
    members: dict[str, float], provider: str, uplifts: dict[str, float], counts: list[int]
) -> None:
    ordinary = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "litellm_provider": provider}
    text = json.dumps({"m": {**ordinary, **members, **uplifts}})
    entry = json.loads(text, parse_float=str, parse_int=str)["m"]
    for item in read_litellm(read_json(text.encode())):
        request = _request(item, counts)
        expected = math.ceil(LitellmEntry(entry, item.request_type[1:]).cost(request, NOW) * 1_000_000)
        assert expected == _charged(item, request), item.request_type


tiered = st.builds(
    lambda base, tiers: {"base": base, "tiers": [{"start": start, "price": price} for start, price in tiers.items()]},
    prices,
    st.dictionaries(st.sampled_from((1_000, 199_999, 200_000)), prices, max_size=2),
)
model_prices = st.fixed_dictionaries(
    {"input_mtok": prices | tiered},
    optional={"output_mtok": prices | tiered, "cache_read_mtok": prices, "web_searches_kcount": prices},
)
whens = st.sampled_from(({"a": "batch"}, {"b": "fast"}))
dates = st.sampled_from(("2026-01-01", "2026-09-21", "2026-09-22")).map(lambda day: {"start_date": day})


@given(
    model_prices
    | st.lists(
        st.fixed_dictionaries({"prices": model_prices}, optional={"constraint": dates}), min_size=1, max_size=3
    ),
    st.lists(
        st.fixed_dictionaries(
            {"when": whens, "prices": model_prices}, optional={"constraint": dates}
        ),
        max_size=3,
    ),
    st.lists(quantities, min_size=4, max_size=4),
)  # fmt: skip
def test_both_readers_of_genai_prices_data_agree(model: Any, variants: Any, counts: list[int]) -> None:
    text = json.dumps([{"id": "p", "models": [{"id": "m", "prices": model, "price_variants": variants}]}])
    read = json.loads(text, parse_float=str, parse_int=str)[0]["models"][0]
    for item in read_genai_prices(read_json(text.encode()), at=NOW_MICROS):
        if item.starts_at is None:
            request = _request(item, counts)
            source = GenaiModel("p/m", read, item.request_type[3:], UNITS)
            assert math.ceil(source.cost(request, NOW) * 1_000_000) == _charged(item, request), item.request_type


@pytest.mark.parametrize(("hour", "price"), [(0, 1), (1, 3), (9, 3), (11, 1), (23, 1)])
def test_off_peak_hours_are_told_by_the_time(hour: int, price: int) -> None:
    block = {"input_cost_per_token": "1e-06", "windows": [{"hours_utc": ["10:00-01:00"], "weekdays": ["1"]}]}
    entry = LitellmEntry({"input_cost_per_token": "3e-06", "off_peak_pricing": block}, "")
    assert Fraction(price, 1_000_000) == entry.cost({"input": 1}, NOW.replace(hour=hour))


def test_a_package_that_holds_its_data_as_python_is_read_without_running_it() -> None:
    source = (
        "providers: list[Provider] = [Provider(id='p', models=[ModelInfo(id='m', match=ClauseEquals(equals='m'),"
        " prices=[ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('0.30'))),"
        " ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2026, 1, 2)),"
        " prices=ModelPrice(input_mtok=TieredPrices(base=Decimal('1'),"
        " tiers=[Tier(start=5, price=Decimal('2'))])))])])]"
    )
    tiers = {"base": 1, "tiers": [{"start": 5, "price": 2}]}
    later = {"constraint": {"start_date": "2026-01-02"}, "prices": {"input_mtok": tiers}}
    assert [{"id": "p", "models": [{"id": "m", "prices": [{"prices": {"input_mtok": 0.3}}, later]}]}] == json.loads(
        genai_json(source)
    )
    with pytest.raises(ValueError, match="no data"):
        genai_json("providers: list[Provider] = [print('ran')]")


@pytest.mark.parametrize(
    ("entry", "is_priced"),
    [
        ({"input_cost_per_token": "1e-06"}, True),
        ({"input_cost_per_token": "0", "max_tokens": "5"}, False),
        ({"guardrail_cost_per_unit": {"a": "0.1"}}, True),
        ({"tiered_pricing": [{"range": ["0", "5"], "input_cost_per_token": "1e-06"}]}, True),
        ({"prices": {"input_mtok": {"base": "1", "tiers": []}}}, True),
    ],
)
def test_which_entries_have_a_price(entry: Any, is_priced: bool) -> None:
    assert is_priced == has_price(entry)
