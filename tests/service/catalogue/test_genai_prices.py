"""genai-prices' data: prices, tiers, dates, hours and variants, and what a request then costs."""

from typing import Any

import pytest

from farebox.service.catalogue.files import read_json
from farebox.service.catalogue.genai_prices import read_genai_prices
from farebox.service.catalogue.listed import Reason
from farebox.service.errors import InvalidInput
from tests.service.catalogue.lists import NOON, costs, genai, reason_of, rule_of

CHAT = {"input_mtok": 2.5, "output_mtok": 10, "cache_read_mtok": 1.25}
DAY = 86_400_000_000


def test_a_model_is_a_type_with_its_provider() -> None:
    (model,) = genai({"prices": CHAT})
    assert ("p/m", ("input", "cache_read", "output")) == (model.request_type, rule_of(model).names)
    assert 18_750 == costs(model, input=1_000, cache_read=9_000, output=500)


def test_a_tier_is_for_requests_of_more_input_than_it_says() -> None:
    tiers = {"base": 1.25, "tiers": [{"start": 400_000, "price": 5}, {"start": 200_000, "price": 2.5}]}
    output = {"base": 10, "tiers": [{"start": 200_000, "price": 15}]}
    (model,) = genai({"prices": {"input_mtok": tiers, "output_mtok": output, "cache_read_mtok": 1}})
    assert 250_000 + 10_000 == costs(model, input=200_000, output=1_000)
    assert 500_003 + 15_000 == costs(model, input=200_001, output=1_000)
    assert 3 + 200_000 == costs(model, input=1, cache_read=200_000)
    assert 2_000_005 + 15 == costs(model, input=400_001, output=1)


@pytest.mark.parametrize(
    ("prices", "quantities", "micros"),
    [
        ({"audio_hours": 0.36}, {"audio_seconds": 61}, 6_100),
        ({"web_searches_kcount": 10}, {"web_searches": 3}, 30_000),
        ({"input_document_kpages": 4}, {"input_document_pages": 1}, 4_000),
        ({"input_gpixels": 25}, {"input_pixels": 1_000_001}, 25_001),
        ({"input_mchars": 30}, {"input_characters": 1}, 30),
        ({"requests_kcount": 14, "input_mtok": 3}, {"input": 1}, 14_003),
        ({"input_mtok": 0, "output_mtok": 0}, {"input": 5}, 0),
        ({"input_mtok": None, "output_mtok": 3}, {"output": 5}, 15),
    ],
)
def test_each_kind_of_price(prices: dict[str, Any], quantities: dict[str, int], micros: int) -> None:
    (model,) = genai({"prices": prices})
    assert micros == costs(model, **quantities)


def test_what_begins_later_is_a_version_that_starts_then_and_what_is_past_is_left_out() -> None:
    prices = [
        {"prices": {"input_mtok": 1}},
        {"constraint": {"start_date": "2026-01-01"}, "prices": {"input_mtok": 2}},
        {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 3}},
        {"constraint": {"start_date": "2027-02-01"}, "prices": {"input_mtok": 3.0}},
    ]
    versions = genai({"prices": prices})
    assert [(None, 2), (1_798_761_600_000_000, 3)] == [(item.starts_at, costs(item, input=1)) for item in versions]


def test_hours_of_a_day_are_windows_and_a_date_behind_them_does_not_end_them() -> None:
    prices = [
        {"prices": {"input_mtok": 1}},
        {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 2}},
        {"constraint": {"start_time": "22:30:00Z", "end_time": "03:00:00Z"}, "prices": {"input_mtok": 4}},
    ]
    before, after = genai({"prices": prices})
    assert [1, 2] == [costs(item, input=1) for item in (before, after)]
    for item in (before, after):
        windows = rule_of(item).windows
        assert windows is not None
        assert {(0, 180), (1_350, 1_440)} == {(window.start_minute, window.end_minute) for window in windows.windows}
        assert {4} == {costs(item, window.rates, input=1) for window in windows.windows}


def test_a_variant_is_a_type_of_its_own_over_the_ordinary_prices() -> None:
    variants = [
        {"when": {"processing": "batch"}, "prices": {"input_mtok": 1.25}},
        {"when": {"processing": "batch"}, "prices": {"input_mtok": 9, "output_mtok": 5}},
        {"when": {"route": "x/eu"}, "prices": {"input_mtok": 3}},
        {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 1}, "constraint": {"start_date": "2027-01-01"}},
    ]
    versions = {item.request_type: item for item in genai({"prices": CHAT, "price_variants": variants})}
    assert {"p/m", "p/m:batch", "p/m@x/eu", "p/m:flex"} == set(versions)
    assert 1_250 + 5_000 + 1_250 == costs(versions["p/m:batch"], input=1_000, output=1_000, cache_read=1_000)
    assert 3_000 + 10_000 == costs(versions["p/m@x/eu"], input=1_000, output=1_000)
    assert 1_798_761_600_000_000 == versions["p/m:flex"].starts_at


def test_seconds_that_are_billed_as_ten_at_least() -> None:
    data = b'[{"id": "groq", "models": [{"id": "whisper-large-v3", "prices": {"audio_hours": 0.04}}]}]'
    (model,) = read_genai_prices(read_json(data), at=NOON)
    assert [112, 123] == [costs(model, audio_seconds=seconds) for seconds in (7, 11)]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({}, Reason.NO_PRICE),
        ({"prices": {}}, Reason.NO_PRICE),
        ({"prices": []}, Reason.NO_PRICE),
        ({"prices": {"input_moons": 1}}, Reason.UNKNOWN_MEMBER),
        ({"prices": {"input_mtok": "x"}}, Reason.MALFORMED),
        ({"prices": {"input_mtok": -1}}, Reason.MALFORMED),
        ({"prices": {"input_mtok": {"base": 1}}}, Reason.MALFORMED),
        ({"prices": {"input_mtok": {"base": 1, "tiers": [{"start": -1, "price": 1}]}}}, Reason.MALFORMED),
        ({"prices": {"audio_hours": {"base": 1, "tiers": [{"start": 9, "price": 1}]}}}, Reason.TIERS),
        ({"prices": {"requests_kcount": 0.0001}}, Reason.TOO_FINE),
        ({"prices": {"input_mtok": 0.08333333333333334}}, Reason.REST),
        ({"prices": [{"constraint": {"start_date": "soon"}, "prices": {}}]}, Reason.HOURS),
        ({"prices": [{"constraint": {"weekday": "mon"}, "prices": {}}]}, Reason.HOURS),
        ({"prices": [{"constraint": {"start_time": "01:00:01", "end_time": "02:00:00"}, "prices": {}}]}, Reason.HOURS),
        ({"prices": [{"prices": {"input_mtok": 1}}, {"prices": {"output_mtok": 1}, "constraint":
            {"start_time": "01:00:00", "end_time": "02:00:00"}}]}, Reason.HOURS),
        ({"prices": {"input_mtok": 1}, "price_variants": [{"prices": {}}]}, Reason.MALFORMED),
        ({"prices": {"input_mtok": 1}, "price_variants": [{"when": {"a": "fast"}, "prices": {}},
                                                          {"when": {"b": "fast"}, "prices": {}}]}, Reason.TWICE),
    ],
)  # fmt: skip
def test_what_has_no_rule_is_told_with_the_reason(model: dict[str, Any], reason: Reason) -> None:
    (item,) = genai(model)
    assert reason == reason_of(item)


@pytest.mark.parametrize("data", [b"{}", b"[1]", b'[{"id": "p"}]', b'[{"id": "p", "models": [1]}]'])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        list(read_genai_prices(read_json(data), at=NOON))
