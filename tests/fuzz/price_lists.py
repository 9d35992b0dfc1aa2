"""Price lists of each format, damaged: every entry comes to rules that can be charged, or to a reason why not."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from random import Random
from typing import Any, Final

from farebox.core.pricing.costs import CostTooLarge, cost
from farebox.presenters.price_imports import offer_words
from farebox.service.catalogue.difference import differences
from farebox.service.catalogue.files import read_file, read_json
from farebox.service.catalogue.genai_prices import read_genai_prices
from farebox.service.catalogue.listed import Listed
from farebox.service.catalogue.litellm import read_litellm
from farebox.service.catalogue.own import read_own
from farebox.service.errors import InvalidInput
from farebox.service.price_texts import read_rule, write_rule
from tests.fuzz.making import any_bytes, edited_bytes, just, one_of
from tests.fuzz.rules import WHOLE, place_in
from tests.fuzz.target import Target

NOW: Final = 1_790_000_000_000_000
LITELLM: Final[dict[str, Any]] = {
    "m": {
        "litellm_provider": "xai",
        "input_cost_per_token": 1.5000000000000002e-07,
        "output_cost_per_token": 6e-07,
        "output_cost_per_token_batches": 3e-07,
        "input_cost_per_token_above_200k_tokens": 3e-07,
        "input_cost_per_token_above_200k_tokens_priority": 0.0005666666666666667,
        "output_cost_per_reasoning_token": 9e-07,
        "regional_processing_uplift_multiplier_eu": 1.1,
        "provider_specific_entry": {"us": 1.1, "fast": 2.0},
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.02},
    },
    "t": {
        "tiered_pricing": [
            {"range": [0, 9.0], "input_cost_per_token": 1e-06},
            {"range": [9, 20], "input_cost_per_token": 2e-06},
        ]
    },
    "w": {
        "input_cost_per_token": 3e-07,
        "off_peak_pricing": {
            "input_cost_per_token": 1e-07,
            "weekday_timezone": "Asia/Shanghai",
            "windows": [{"hours_utc": ["00:00-01:00", "10:00-00:00"], "weekdays": [1, 5]}],
        },
    },
}  # fmt: skip
GENAI: Final[list[Any]] = [
    {
        "id": "p",
        "models": [
            {
                "id": "m",
                "prices": [
                    {"prices": {"input_mtok": {"base": 1, "tiers": [{"start": 9, "price": 2}]}, "requests_kcount": 14}},
                    {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 0.08333333333333334}},
                    {"constraint": {"start_time": "22:00:00Z", "end_time": "03:00:00Z"}, "prices": {"input_mtok": 3}},
                ],
                "price_variants": [{"when": {"processing": "batch"}, "prices": {"audio_hours": 0.04}}],
            }
        ],
    }
]
OWN: Final[dict[str, Any]] = {
    "image": {"unitPrice": "0.008"},
    "chat": [{"rule": WHOLE}, {"variable": True, "startsAt": "2027-01-01T00:00:00Z"}],
}
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 10**12, 10**30, 0.15, 1e-300, 1e300, 5e-324),
    *(2.0345052083e-09, 1.1428571428571428e-06),
    *("", "0.15", "3e-7", "1e999999999", "m", "25:00-26:00", "UTC", "Europe/Berlin", "\ud800", "x" * 300),
    *([], {}, [[]], [0], [1, 2], {"input_mtok": 1}, {"input_cost_per_token": 1e-06}),
)  # fmt: skip


def _damaged(whole: Any) -> Callable[[Random], bytes]:
    def make(random: Random) -> bytes:
        root = {"list": deepcopy(whole)}
        for _ in range(random.choice((1, 1, 2, 3))):
            inner, key = place_in(root, random)
            if inner is not root:
                inner[key] = deepcopy(random.choice(VALUES))
        return json.dumps(root["list"]).encode()

    return make


def _read(read: Callable[[bytes], Iterable[Listed]], data: bytes) -> list[Listed]:
    """Read a list; nothing if it was refused in words that can be shown."""
    try:
        return list(read(data))
    except InvalidInput as error:
        refused = error
    assert refused.message.encode()
    return []


def _checked(read: Callable[[bytes], Iterable[Listed]]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        listed = _read(read, data)
        for item in listed:
            assert (item.offer is None) == (item.problem is not None)
            assert item.problem is None or item.problem.detail.isprintable()
            assert "".join(item.remarks).isprintable()
            if item.offer is not None and item.offer.rule is not None:
                rule = item.offer.rule
                assert rule == read_rule("rule", write_rule(rule))
                assert offer_words(item.offer, "")
                for rates in rule.every_rates:
                    with suppress(CostTooLarge):
                        assert cost(rule, rates, dict.fromkeys(rule.names, 1_000), {}).amount >= 0
        assert len(listed) == len(differences(listed, (), NOW))

    return check


def price_list_targets() -> list[Target[Any]]:
    """List what reads price lists."""
    readers: tuple[tuple[str, Any, Callable[[bytes], Iterable[Listed]]], ...] = (
        ("litellm's price file", LITELLM, lambda data: read_litellm(read_json(data), reads_fractions=True)),
        ("genai-prices' data", GENAI, lambda data: read_genai_prices(read_json(data), at=NOW)),
        ("price lists of our own", OWN, lambda data: read_own(read_file(data))),
    )
    return [
        Target(
            name,
            one_of(_damaged(whole), _damaged(whole), edited_bytes(just(json.dumps(whole).encode())), any_bytes),
            _checked(read),
            15,
        )
        for name, whole, read in readers
    ]
