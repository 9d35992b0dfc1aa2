"""litellm's price file: each kind of member, and what a request then costs."""

from typing import Any

import pytest

from farebox.service.catalogue.files import read_json
from farebox.service.catalogue.listed import Reason
from farebox.service.catalogue.litellm import read_litellm
from farebox.service.errors import InvalidInput
from tests.service.catalogue.lists import costs, litellm, reason_of, rule_of

CHAT = {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06}


def test_tokens_are_charged_by_the_million() -> None:
    model = litellm(CHAT)["m"]
    assert ("input", "cache_read", "output") == rule_of(model).names
    assert 18_750 == costs(model, input=1_000, cache_read=9_000, output=500)


def test_a_price_above_a_threshold_is_for_the_whole_request_and_counts_all_input() -> None:
    dear = {"input_cost_per_token_above_200k_tokens": 5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05}
    model = litellm({**CHAT, **dear})["m"]
    assert 500_000 + 10_000 == costs(model, input=200_000, output=1_000)
    assert 1_000_005 + 15_000 == costs(model, input=200_001, output=1_000)
    # Cached tokens are input too, and cost above the threshold what they cost below it.
    assert 5 + 250_000 == costs(model, input=1, cache_read=200_000)


def test_the_threshold_itself_is_above_it_for_one_provider() -> None:
    model = litellm({**CHAT, "input_cost_per_token_above_200k_tokens": 5e-06, "litellm_provider": "xai"})["m"]
    assert [499_998, 1_000_000] == [costs(model, input=tokens) for tokens in (199_999, 200_000)]


def test_another_processing_is_a_type_of_its_own_which_takes_ordinary_prices_where_it_has_none() -> None:
    more = {
        "output_cost_per_reasoning_token": 2e-05,
        "input_cost_per_token_batches": 1.25e-06,
        "output_cost_per_token_priority": 4e-05,
        "input_cost_per_token_above_200k_tokens": 6e-06,
        "input_cost_per_token_above_200k_tokens_priority": 8e-06,
    }
    types = litellm({**CHAT, **more})
    assert {"m", "m:batch", "m:priority"} == set(types)
    assert [2_500, 1_250, 2_500] == [costs(types[name], input=1_000) for name in ("m", "m:batch", "m:priority")]
    assert [10_000, 10_000, 40_000] == [costs(types[name], output=1_000) for name in ("m", "m:batch", "m:priority")]
    # Reasoning is output: it is not cheaper than other output of the same processing.
    assert [20, 20, 40] == [costs(types[name], output_reasoning=1) for name in ("m", "m:batch", "m:priority")]
    assert [1_200_006, 1_200_006, 1_600_008] == [
        costs(types[name], input=200_001) for name in ("m", "m:batch", "m:priority")
    ]


def test_a_region_is_a_type_of_its_own_in_which_tokens_cost_more() -> None:
    more = {
        "regional_processing_uplift_multiplier_eu": 1.1,
        "fedramp_uplift_multiplier": 1.2,
        "provider_specific_entry": {"us": 1.1, "fast": 2.0},
        "input_cost_per_token_batches": 1.25e-06,
        "search_context_cost_per_query": {f"search_context_size_{size}": 0.01 for size in ("low", "medium", "high")},
    }
    types = litellm({**CHAT, **more})
    regions = ("", "@eu", "@us", "@fedramp")
    assert {f"m{region}{way}" for region in regions for way in ("", ":batch", ":fast")} == set(types)
    assert 2_750 == costs(types["m@eu"], input=1_000)
    assert 1_375 == costs(types["m@us:batch"], input=1_000)
    assert 5_500 == costs(types["m@us:fast"], input=1_000)
    assert 3_000 == costs(types["m@fedramp"], input=1_000)
    assert 10_000 == costs(types["m@eu"], web_searches=1)


def test_a_table_of_tiers_is_for_whole_requests() -> None:
    tiers = [
        {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
        {
            "range": [32000.0, 128000.0],
            "input_cost_per_token": 1.8e-06,
            "output_cost_per_token": 9e-06,
            "cache_read_input_token_cost": 1.8e-07,
        },
    ]
    model = litellm({"tiered_pricing": tiers})["m"]
    assert [32_000, 57_602] == [costs(model, input=tokens) for tokens in (32_000, 32_001)]
    assert 1_000_000 * 18 // 10 == costs(model, input=1_000_000)
    # Where a tier has no price for cached tokens, they cost what other input does.
    assert 1_000 == costs(model, cache_read=1_000)


def test_tiers_of_search_results_choose_the_price_of_a_query() -> None:
    tiers = [
        {"input_cost_per_query": 0.005, "max_results_range": [0, 25]},
        {"input_cost_per_query": 0.025, "max_results_range": [26, 100]},
    ]
    model = litellm({"tiered_pricing": tiers})["m"]
    assert [5_000, 5_000, 50_000] == [
        costs(model, queries=1),
        costs(model, queries=1, max_results=25),
        costs(model, queries=2, max_results=26),
    ]


@pytest.mark.parametrize("zone", [None, "Asia/Shanghai"])
def test_off_peak_hours_are_windows(zone: str | None) -> None:
    block: dict[str, Any] = {
        "input_cost_per_token": 1e-06,
        "windows": [
            {"hours_utc": ["00:00-01:00", "10:00-00:00"], "weekdays": [1, "tue"]},
            {"hours_utc": "00:00-00:00", "weekdays": [7]},
        ],
    }
    if zone is not None:
        block["weekday_timezone"] = zone
    model = litellm({**CHAT, "off_peak_pricing": block})["m"]
    windows = rule_of(model).windows
    assert windows is not None
    open_at = {(window.days, window.start_minute // 60, window.end_minute // 60) for window in windows.windows}
    if zone is None:
        assert ("UTC", {((0, 1), 0, 1), ((0, 1), 10, 24), ((6,), 0, 24)}) == (windows.zone, open_at)
    else:
        # 10:00 to midnight UTC is 18:00 to 08:00 in Shanghai, and the day is Shanghai's.
        assert (zone, {((0, 1), 0, 9), ((0, 1), 18, 24), ((6,), 0, 24)}) == (windows.zone, open_at)
    for window in windows.windows:
        assert 1_000 + 1_250 + 10_000 == costs(model, window.rates, input=1_000, cache_read=1_000, output=1_000)
    assert 2_500 == costs(model, input=1_000)


def test_hours_in_utc_and_days_of_a_zone_whose_clock_changes_have_no_windows() -> None:
    block = {"input_cost_per_token": 1e-06, "hours_utc": "00:00-01:00", "weekday_timezone": "Europe/Berlin"}
    assert Reason.HOURS == reason_of(litellm({**CHAT, "off_peak_pricing": block})["m"])


@pytest.mark.parametrize(
    ("members", "quantities", "micros"),
    [
        ({"input_cost_per_character": 1.5e-05}, {"input_characters": 1_000}, 15_000),
        ({"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0}, {"input_seconds": 61}, 6_100),
        ({"cost_per_second": 0.0175, "input_cost_per_second": 0.0175}, {"input_seconds": 2}, 35_000),
        ({"output_cost_per_second_720p": 0.1, "output_cost_per_second": 0.2}, {"output_seconds_720p": 3}, 300_000),
        ({"output_cost_per_image_0.5K": 0.06}, {"output_images_0.5k": 2}, 120_000),
        ({"input_cost_per_pixel": 2.384185791015625e-08}, {"input_pixels": 1_300 * 1_100}, 34_094),
        ({"ocr_cost_per_page": 0.003, "annotation_cost_per_page": 0.005},
         {"input_document_pages": 10, "input_annotated_document_pages": 1}, 35_000),
        ({"input_cost_per_request": 0.005, "input_cost_per_token": 1e-06}, {"input": 500}, 5_500),
        ({"input_cost_per_query": 0.00166}, {"queries": 3}, 4_980),
        ({"search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.02}},
         {"web_searches_low": 1, "web_searches_high": 1}, 30_000),
        ({"guardrail_cost_per_unit": {"topicPolicyUnits": 0.00015}}, {"topic_policy_units": 2}, 300),
        ({"input_cost_per_token": "3e-7"}, {"input": 10}, 3),
        ({"input_cost_per_token": 0, "output_cost_per_token": 0.0}, {"input": 10, "output": 10}, 0),
        ({"input_cost_per_token": 2.8e-07, "cache_read_input_token_cost": 2.8e-08,
          "input_cost_per_token_cache_hit": 2.8e-08}, {"cache_read": 1_000}, 28),
        ({"input_cost_per_token": 1e-06, "litellm_provider": "fireworks_ai"}, {"cache_read": 1_000}, 500),
        ({"input_cost_per_token": 1e-06, "input_dbu_cost_per_token": 1.4e-05}, {"input": 1_000}, 1_000),
    ],
)  # fmt: skip
def test_each_kind_of_member(members: dict[str, Any], quantities: dict[str, int], micros: int) -> None:
    assert micros == costs(litellm(members)["m"], **quantities)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, Reason.NO_PRICE),
        ({"mode": "chat", "input_cost_per_token": None}, Reason.NO_PRICE),
        ({"input_dbu_cost_per_token": 1.4e-05}, Reason.NO_PRICE),
        ({"input_cost_per_moon": 1.0}, Reason.UNKNOWN_MEMBER),
        ({"some_cost": {"a": 1.0}}, Reason.UNKNOWN_MEMBER),
        ({"search_context_cost_per_query": {"search_context_size_huge": 1.0}}, Reason.UNKNOWN_MEMBER),
        ({"input_cost_per_token": -1e-06}, Reason.MALFORMED),
        ({"input_cost_per_token": "cheap"}, Reason.MALFORMED),
        ({"input_cost_per_token": [1]}, Reason.MALFORMED),
        ({"input_cost_per_pixel": 2.0345052083e-09}, Reason.TOO_FINE),
        ({"input_cost_per_second": 0.0005666666666666667}, Reason.REST),
        ({"cost_per_second": 0.01, "input_cost_per_second": 0.02}, Reason.TWICE),
        ({"input_cost_per_image": 0.1, "input_cost_per_image_above_128k_tokens": 0.2}, Reason.TIERS),
        ({"tiered_pricing": 5}, Reason.MALFORMED),
        ({"tiered_pricing": [{"range": [0, "x"], "input_cost_per_token": 1e-06}]}, Reason.TIERS),
        ({"tiered_pricing": [{"range": [5, 9], "input_cost_per_token": 1e-06}]}, Reason.TIERS),
        ({"tiered_pricing": [{"range": [0, 9], "input_cost_per_token": 1e-06},
                             {"range": [10, 20], "input_cost_per_token": 1e-06}]}, Reason.TIERS),
        ({"tiered_pricing": [{"range": [0, 9], "input_cost_per_moon": 1e-06}]}, Reason.UNKNOWN_MEMBER),
        ({**CHAT, "off_peak_pricing": {"input_cost_per_token": 1e-06}}, Reason.HOURS),
        ({**CHAT, "off_peak_pricing": {"hours_utc": "25:00-26:00"}}, Reason.HOURS),
        ({**CHAT, "off_peak_pricing": {"hours_utc": "00:00-01:00", "per_moon": 1.0}}, Reason.UNKNOWN_MEMBER),
        ({**CHAT, "fedramp_uplift_multiplier": 0}, Reason.MALFORMED),
    ],
)  # fmt: skip
def test_what_has_no_rule_is_told_with_the_reason(members: dict[str, Any], reason: Reason) -> None:
    assert reason == reason_of(litellm(members)["m"])


def test_a_rest_is_read_as_a_fraction_only_when_asked_to_and_is_listed() -> None:
    text = '{"input_cost_per_second": 0.0005666666666666667}'
    model = litellm(text, reads_fractions=True)["m"]
    assert [567, 34_000] == [costs(model, input_seconds=seconds) for seconds in (1, 60)]
    assert ("input_cost_per_second 0.0005666666666666667 is read as 17/30000",) == model.remarks


def test_the_entry_that_explains_the_others_is_none() -> None:
    assert [] == list(read_litellm(read_json(b'{"sample_spec": {"input_cost_per_token": 0.0}}')))


@pytest.mark.parametrize("data", [b"[]", b'{"m": 1, "m": 2}', b"{", b"\xff", b'{"m": NaN}', b"[" * 100_000])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        list(read_litellm(read_json(data)))
