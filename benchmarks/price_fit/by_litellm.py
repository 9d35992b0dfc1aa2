"""What a request costs by litellm's price file, straight from its members: independent of the import and its rules."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

from benchmarks.price_fit.numbers import dollars, number

Entry = Mapping[str, Any]

_MEMBERS: Final = {
    "input": "input_cost_per_token",
    "input_audio": "input_cost_per_audio_token",
    "input_image": "input_cost_per_image_token",
    "input_video": "input_cost_per_video_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_read_explicit": "explicit_cache_read_input_token_cost",
    "cache_audio_read": "cache_read_input_audio_token_cost",
    "cache_image_read": "cache_read_input_image_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "cache_write_12h": "cache_creation_input_token_cost_above_12hr",
    "cache_audio_write": "cache_creation_input_audio_token_cost",
    "output": "output_cost_per_token",
    "output_reasoning": "output_cost_per_reasoning_token",
    "output_citation": "citation_cost_per_token",
    "output_audio": "output_cost_per_audio_token",
    "output_image": "output_cost_per_image_token",
    "output_video": "output_cost_per_video_token",
    "queries": "input_cost_per_query",
    "input_characters": "input_cost_per_character",
    "output_characters": "output_cost_per_character",
    "input_seconds": "input_cost_per_second",
    "output_seconds": "output_cost_per_second",
    "input_audio_seconds": "input_cost_per_audio_per_second",
    "input_video_seconds": "input_cost_per_video_per_second",
    "input_video_seconds_8s_interval": "input_cost_per_video_per_second_above_8s_interval",
    "input_video_seconds_15s_interval": "input_cost_per_video_per_second_above_15s_interval",
    "output_video_seconds": "output_cost_per_video_per_second",
    "input_images": "input_cost_per_image",
    "output_images": "output_cost_per_image",
    "input_pixels": "input_cost_per_pixel",
    "output_pixels": "output_cost_per_pixel",
    "input_text_messages": "input_cost_per_text_message",
    "input_document_pages": "ocr_cost_per_page",
    "input_annotated_document_pages": "annotation_cost_per_page",
    "credits": "ocr_cost_per_credit",
    "map_searches": "google_maps_grounding_cost_per_query",
    "code_executions": "code_interpreter_cost_per_session",
}
_SIZED: Final = re.compile(r"(input|output)_(image|second)s_(\w[\w.]*)")
_REGIONS: Final = {
    "eu": "regional_processing_uplift_multiplier_eu",
    "us": "regional_processing_uplift_multiplier_us",
    "regional": "regional_endpoint_uplift_multiplier",
    "fedramp": "fedramp_uplift_multiplier",
}
_TOKEN_LINES: Final = frozenset(name for name, member in _MEMBERS.items() if "token" in member)
_INPUT_LINES: Final = frozenset(name for name in _TOKEN_LINES if not name.startswith("output"))
_ABOVE: Final = re.compile(r"_above_([0-9]+)(k?)_tokens")


class LitellmEntry:
    """One entry, in one region and processing: the ending of a request type's name."""

    def __init__(self, entry: Entry, ending: str) -> None:
        """Take an entry apart by what stands behind its name: @region, :processing, both or nothing."""
        region, _, processing = ending.removeprefix("@").partition(":") if ending.startswith("@") else (
            "", "", ending.removeprefix(":"))  # fmt: skip
        extra = entry.get("provider_specific_entry") or {}
        self._entry = entry
        self._suffix = {"": "", "fast": "", "batch": "_batches"}.get(processing, f"_{processing}")
        uplift = entry.get(_REGIONS.get(region, ""), extra.get(region, 1))
        self._uplift = Fraction(str(uplift)) * (Fraction(str(extra["fast"])) if processing == "fast" else 1)
        self._tiers: list[Entry] = entry.get("tiered_pricing") or []

    @property
    def borders(self) -> list[int]:
        """The numbers of input tokens up to which a request is cheaper than above."""
        found = {int(mark[1]) * (1000 if mark[2] else 1) for name in self._entry for mark in _ABOVE.finditer(name)}
        found |= {int(float(tier["range"][0])) for tier in self._tiers if "range" in tier}
        return sorted(found - {0})

    def is_input(self, name: str) -> bool:
        return name in _INPUT_LINES

    def cost(self, quantities: Mapping[str, int], at: datetime) -> Fraction:
        """Work a request's cost out, in dollars."""
        tokens = sum(count for name, count in quantities.items() if name in _INPUT_LINES)
        total = number(self._entry.get("input_cost_per_request"))
        for name, count in quantities.items():
            price = self._price(name, tokens, quantities.get("max_results", 0), at)
            total += price * count * (self._uplift if name in _TOKEN_LINES else 1)
        return total

    def _price(self, name: str, tokens: int, results: int, at: datetime) -> Fraction:
        if name == "max_results":
            return Fraction(0)
        if name.startswith("web_searches"):
            sizes = self._entry["search_context_cost_per_query"]
            size = name.removeprefix("web_searches").removeprefix("_")
            return dollars(str(sizes[f"search_context_size_{size}"] if size else next(iter(sizes.values()))))
        units = self._entry.get("guardrail_cost_per_unit") or {}
        for unit, price in units.items():
            if unit.lower() == name.replace("_", ""):
                return dollars(str(price))
        if self._tiers:
            return self._tier_price(_member(name), tokens, results)
        block = self._entry.get("off_peak_pricing")
        if block and _member(name) in block and _is_off_peak(block, at):
            return dollars(str(block[_member(name)]))
        for marked in self._levels(tokens):
            for suffix in dict.fromkeys((self._suffix, "")):
                for member in _candidates(name, suffix):
                    if self._entry.get(f"{member}{marked}{suffix}") is not None:
                        return dollars(str(self._entry[f"{member}{marked}{suffix}"]))
        if name == "cache_read" and self._entry.get("litellm_provider") == "fireworks_ai":
            return dollars(str(self._entry["input_cost_per_token"])) / 2
        return self._price("input" if name in _INPUT_LINES else "output", tokens, results, at)

    def _levels(self, tokens: int) -> list[str]:
        """List what stands in the names of prices that a request of so many tokens reaches, the highest first."""
        marks = {
            mark[0]: int(mark[1]) * (1000 if mark[2] else 1) for name in self._entry for mark in _ABOVE.finditer(name)
        }
        is_included = self._entry.get("litellm_provider") == "xai"
        reached = [mark for mark, border in marks.items() if tokens > border or (is_included and tokens == border)]
        return [*sorted(reached, key=lambda mark: -marks[mark]), ""]

    def _tier_price(self, member: str, tokens: int, results: int) -> Fraction:
        tiers = self._tiers
        for tier in tiers:
            low, high = tier.get("range") or tier["max_results_range"]
            if "range" in tier and (float(low) < tokens <= float(high) or (tokens == 0 and float(low) == 0)):
                break
            if "range" not in tier and int(low) <= results <= int(high):
                break
        if member in tier:
            return dollars(str(tier[member]))
        if any(member in other for other in tiers):
            return dollars(
                str(tier["output_cost_per_token" if member.startswith("output") else "input_cost_per_token"])
            )
        return dollars(str(self._entry[member]))


def _member(name: str) -> str:
    sized = _SIZED.fullmatch(name)
    if name not in _MEMBERS and sized:
        return f"{sized[1]}_cost_per_{sized[2]}_{sized[3]}"
    return _MEMBERS[name]


def _candidates(name: str, suffix: str) -> list[str]:
    member = _member(name)
    found = [member]
    if name in {"output_images_0.5k", "output_images_1k", "output_images_2k", "output_images_4k"}:
        found.append(member.replace("k", "K", 1) if member[-1] == "k" else member)
        found.append(member[:-1] + "K")
    if name == "input_seconds":
        found.append("cost_per_second")
    if name == "cache_read":
        found.append("input_cost_per_token_cache_hit")
    if name == "output_reasoning" and suffix:
        # Where reasoning has no price for the processing, it is other output of that processing.
        found.append("output_cost_per_token")
    return found


def _is_off_peak(block: Entry, at: datetime) -> bool:
    zone = ZoneInfo(block.get("weekday_timezone", "UTC"))
    minute = at.astimezone(UTC).hour * 60 + at.astimezone(UTC).minute
    weekday = at.astimezone(zone).isoweekday()
    rules = [*block.get("windows", ()), *([{"hours_utc": block["hours_utc"]}] if "hours_utc" in block else [])]
    for rule in rules:
        if weekday not in [int(day) for day in rule.get("weekdays", range(1, 8))]:
            continue
        hours = rule["hours_utc"]
        for text in [hours] if isinstance(hours, str) else hours:
            start, end = (int(border[:2]) * 60 + int(border[3:5]) for border in text.split("-"))
            if start <= minute < end if start < end else minute >= start or minute < end:
                return True
    return False
