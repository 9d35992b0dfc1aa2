"""The members of litellm's price file: which component each one prices, and at which processing and number of tokens.

`output_cost_per_token_above_200k_tokens_batches` is a price of the component `output`, for requests of more than
200,000 input tokens, in batches. Names of components are those of genai-prices, so that both lists mean the same.
"""

import re
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from farebox.core.prices import REQUESTS
from farebox.service.catalogue.lines import MILLION, Component


def _input(name: str) -> Component:
    return Component(name, MILLION, is_token=True, is_input=True)


def _output(name: str) -> Component:
    return Component(name, MILLION, is_token=True)


INPUT: Final = _input("input")
OUTPUT: Final = _output("output")
CACHE_READ: Final = _input("cache_read")
CACHE_WRITE: Final = _input("cache_write")
REASONING: Final = _output("output_reasoning")
REQUEST: Final = Component(REQUESTS)
"""The fee of a request, which becomes the rule's base."""

QUERY: Final = Component("queries")
RESULTS: Final = Component("max_results")
"""Costs nothing by itself: what it counts to decides about the price of a query."""

COMPONENTS: Final = MappingProxyType(
    {
        "input_cost_per_token": INPUT,
        "input_cost_per_audio_token": _input("input_audio"),
        "input_cost_per_image_token": _input("input_image"),
        "input_cost_per_video_token": _input("input_video"),
        "cache_read_input_token_cost": CACHE_READ,
        "input_cost_per_token_cache_hit": CACHE_READ,
        "explicit_cache_read_input_token_cost": _input("cache_read_explicit"),
        "cache_read_input_audio_token_cost": _input("cache_audio_read"),
        "cache_read_input_image_token_cost": _input("cache_image_read"),
        "cache_creation_input_token_cost": CACHE_WRITE,
        "cache_creation_input_token_cost_above_1hr": _input("cache_write_1h"),
        "cache_creation_input_token_cost_above_12hr": _input("cache_write_12h"),
        "cache_creation_input_audio_token_cost": _input("cache_audio_write"),
        "output_cost_per_token": OUTPUT,
        "output_cost_per_reasoning_token": REASONING,
        "citation_cost_per_token": _output("output_citation"),
        "output_cost_per_audio_token": _output("output_audio"),
        "output_cost_per_image_token": _output("output_image"),
        "output_cost_per_video_token": _output("output_video"),
        "input_cost_per_request": REQUEST,
        "input_cost_per_query": QUERY,
        "input_cost_per_character": Component("input_characters", MILLION),
        "output_cost_per_character": Component("output_characters", MILLION),
        "input_cost_per_second": Component("input_seconds"),
        "cost_per_second": Component("input_seconds"),
        "output_cost_per_second": Component("output_seconds"),
        "input_cost_per_audio_per_second": Component("input_audio_seconds"),
        "input_cost_per_video_per_second": Component("input_video_seconds"),
        "input_cost_per_video_per_second_above_8s_interval": Component("input_video_seconds_8s_interval"),
        "input_cost_per_video_per_second_above_15s_interval": Component("input_video_seconds_15s_interval"),
        "output_cost_per_video_per_second": Component("output_video_seconds"),
        "input_cost_per_image": Component("input_images"),
        "output_cost_per_image": Component("output_images"),
        "input_cost_per_pixel": Component("input_pixels"),
        "output_cost_per_pixel": Component("output_pixels"),
        "input_cost_per_text_message": Component("input_text_messages"),
        "ocr_cost_per_page": Component("input_document_pages"),
        "annotation_cost_per_page": Component("input_annotated_document_pages"),
        "ocr_cost_per_credit": Component("credits"),
        "google_maps_grounding_cost_per_query": Component("map_searches"),
        "code_interpreter_cost_per_session": Component("code_executions"),
    }
)

ORDER: Final = MappingProxyType({component.name: place for place, component in enumerate(COMPONENTS.values())})
"""The order of a rule's lines; components that are not named here stand behind."""

PROCESSINGS: Final = MappingProxyType(
    {
        "batches": "batch",
        "priority": "priority",
        "flex": "flex",
        "balanced": "balanced",
        "ultrafast": "ultrafast",
        "decisions": "decisions",
    }
)
"""How the file ends a member of another processing, and how the request type of that processing ends."""

REGIONS: Final = MappingProxyType(
    {
        "regional_processing_uplift_multiplier_eu": "eu",
        "regional_processing_uplift_multiplier_us": "us",
        "regional_endpoint_uplift_multiplier": "regional",
        "fedramp_uplift_multiplier": "fedramp",
    }
)
"""Members that say how many times as much tokens cost elsewhere, and what the request type has behind its @."""

IN_OTHER_UNITS: Final = frozenset({"input_dbu_cost_per_token", "output_dbu_cost_per_token"})
"""Prices in a platform's own units, beside those in dollars."""

_PROCESSING: Final = re.compile(rf"(.+)_({'|'.join(PROCESSINGS)})", re.ASCII)
_THRESHOLD: Final = re.compile(r"(.+)_above_([0-9]{1,9})(k?)_tokens", re.ASCII)
_SIZED: Final = re.compile(r"(input|output)_cost_per_(image|second)_([0-9]{1,5}(?:\.[0-9])?[kKp]?)", re.ASCII)


class PricedMember(Struct, frozen=True):
    """What a member of an entry prices: processing "" is the ordinary one, above 0 any number of tokens."""

    component: Component
    processing: str = ""
    above: int = 0


def read_member(name: str) -> PricedMember | None:
    """Tell what a member prices; None if it is not known."""
    processing, above = "", 0
    if found := _PROCESSING.fullmatch(name):
        name, processing = found[1], PROCESSINGS[found[2]]
    if found := _THRESHOLD.fullmatch(name):
        name, above = found[1], int(found[2]) * (1000 if found[3] else 1)
    component = COMPONENTS.get(name)
    if component is None and (sized := _SIZED.fullmatch(name)):
        component = Component(f"{sized[1]}_{sized[2]}s_{sized[3].lower()}")
    return None if component is None else PricedMember(component, processing, above)
