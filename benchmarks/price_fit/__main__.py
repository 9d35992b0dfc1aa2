"""Import whole price lists, charge three quantities of each type through a server, and compare with the lists."""

import json
import math
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import asdict

from benchmarks.document import rewrite
from benchmarks.footprint import serve_arguments
from benchmarks.price_fit import lists
from benchmarks.price_fit.by_genai_prices import GenaiModel
from benchmarks.price_fit.by_litellm import LitellmEntry
from benchmarks.serving import running

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "explanation" / "price-lists.md"
RESULTS: Final = Path(__file__).parents[1] / "results" / "price-fit.json"
_BATCH: Final = 5_000
_TIMEOUT_SECONDS: Final = 300
_MILLION: Final = 1_000_000
_SHOWN: Final = 10
_PRICE: Final = re.compile(r"cost|_mtok$|_hours$|_kcount$|_kpages$|_gpixels$|_mchars$")
_HOURS_BACK: Final = (0, 7, 15)


class Source(Protocol):
    """A type's price as its list tells it."""

    @property
    def borders(self) -> list[int]:
        """The numbers of input tokens up to which a request is cheaper than above."""
        ...

    def is_input(self, name: str) -> bool:
        """Whether a line counts input tokens."""
        ...

    def cost(self, quantities: Mapping[str, int], at: datetime) -> Fraction:
        """Work a request's cost out, in dollars."""
        ...


class Try(Struct, frozen=True):
    """One charge, and what it should cost in micros; None if the list's own reader could not tell."""

    request_type: str
    quantities: Mapping[str, int]
    requested_at: datetime | None
    expected: int | None


class Fit(Struct, frozen=True):
    """The results of one list."""

    name: str
    version: str
    priced: int
    expressible: int
    with_fractions: int
    types: int
    import_seconds: float
    charges: int
    exact: int
    reasons: Mapping[str, int]

    @property
    def share(self) -> float:
        """The share of priced entries, in percent, all of whose request types can be charged."""
        return 100 * self.expressible / self.priced


def main() -> int:
    """Measure both lists; 0 if enough is expressible, and every charge exact."""
    with tempfile.TemporaryDirectory(prefix="farebox-price-fit-") as folder:
        fits = list(_measure(Path(folder)))
    text = list(_table(fits))
    print("\n".join(text))
    RESULTS.write_text(json.dumps([asdict(fit) for fit in fits], indent=1) + "\n")
    rewrite("price-fit", "```text\n" + "\n".join(text) + "\n```", DOCUMENT)
    return 0 if all(fit.share >= 98.9 and fit.exact == fit.charges for fit in fits) else 1


def _measure(folder: Path) -> Iterator[Fit]:
    downloaded = lists.download(folder)
    read: Any = json.loads(downloaded.litellm, parse_float=str, parse_int=str)
    entries = {name: entry for name, entry in read.items() if name != "sample_spec"}
    models = {
        f"{provider['id']}/{model['id']}": model
        for provider in json.loads(downloaded.genai_prices, parse_float=str, parse_int=str)
        for model in provider["models"]
    }
    yield _fit(
        folder,
        "litellm",
        downloaded.litellm,
        downloaded.versions["litellm"],
        entries,
        lambda name, ending: LitellmEntry(entries[name], ending),
    )
    yield _fit(
        folder,
        "genai-prices",
        downloaded.genai_prices,
        downloaded.versions["genai_prices"],
        models,
        lambda name, ending: GenaiModel(name, models[name], ending, downloaded.genai_units),
    )


def _fit(
    folder: Path,
    kind: str,
    text: str,
    version: str,
    entries: Mapping[str, Any],
    source_of: Callable[[str, str], Source],
) -> Fit:
    path = folder / f"{kind}.json"
    path.write_text(text)
    url = f"sqlite:///{folder / kind}.db"
    _farebox(url, "init")
    priced = {name for name, entry in entries.items() if has_price(entry)}
    importing = ("price", "import", str(path), "--from-list", kind)
    plain = _farebox(url, *importing, "--dry-run")
    started = time.perf_counter()
    made = _farebox(url, *importing, "--fractions")
    seconds = time.perf_counter() - started
    again = _farebox(url, *importing, "--fractions")
    if again["counts"]["new"] or again["counts"]["changed"]:
        raise SystemExit(f"a second import of {kind} changed something: {again['counts']}")
    merchant = _farebox(url, "merchant", "create", "Fit", "--currency", "USD")["merchantId"]
    key = _farebox(url, "key", "create", "--service", "fit")["apiKey"]
    _farebox(url, "topup", merchant, "100000000000", "--reference", "FIT-1")
    now = datetime.now(UTC)
    current = [item for item in made["differences"] if item["after"] and item["startsAt"] == made["startsAt"]]
    tries = [some for item in current for some in _tries(item, entries, source_of, now)]
    with running(serve_arguments, url) as server:
        costs = list(_charge(server.port, key, merchant, tries))
    wrong = [(some, cost) for some, cost in zip(tries, costs, strict=True) if cost != some.expected]
    for some, cost in wrong[:_SHOWN]:
        print(f"{kind} {some.request_type} {dict(some.quantities)}: {cost}, and not {some.expected}")
    return Fit(
        kind,
        version,
        len(priced),
        len(priced - _left_out(plain, entries)),
        len(priced - _left_out(made, entries)),
        len({item["type"] for item in made["differences"] if item["after"]}),
        round(seconds, 1),
        len(tries),
        len(tries) - len(wrong),
        Counter(
            item["problem"].split(":")[0]
            for item in plain["differences"]
            if item["problem"] and _entry_of(item["type"], entries) in priced
        ),
    )


def _left_out(answer: Any, entries: Mapping[str, Any]) -> set[str]:
    """Name the entries of which a request type was left out."""
    return {_entry_of(item["type"], entries) for item in answer["differences"] if item["problem"]}


def _entry_of(request_type: str, entries: Mapping[str, Any]) -> str:
    """Find the entry that a request type comes of: the longest name that it begins with."""
    name = request_type
    while name not in entries:
        name = name[: max(name.rfind("@"), name.rfind(":"))]
    return name


def has_price(value: Any, *, is_price: bool = False) -> bool:
    """Tell whether an entry of a list has a price above zero, in any of the members that are prices."""
    if isinstance(value, Mapping):
        return any(
            has_price(member, is_price=is_price or _PRICE.search(name) is not None) for name, member in value.items()
        )
    if isinstance(value, list):
        return any(has_price(item, is_price=is_price) for item in value)
    try:
        return is_price and not isinstance(value, bool) and float(value) > 0
    except (TypeError, ValueError):
        return False


def _tries(
    item: Any, entries: Mapping[str, Any], source_of: Callable[[str, str], Source], now: datetime
) -> Iterator[Try]:
    """Make three charges of a type: a unit of each line, up to a border of its prices, and above it."""
    name = _entry_of(item["type"], entries)
    source = source_of(name, item["type"][len(name) :])
    rule = item["after"]["rule"]
    lines = [line["name"] for line in rule["lines"]]
    made_up = random.Random(item["type"])
    for number in range(3):
        if number == 0:
            quantities = dict.fromkeys(lines, 1)
        else:
            quantities = {line: made_up.randint(1, 10 ** (2 * number + 2)) for line in lines}
            inputs = [line for line in lines if source.is_input(line)]
            if source.borders and inputs:
                border = source.borders[0] if number == 1 else source.borders[-1] + 1
                quantities |= {**dict.fromkeys(inputs, 1), inputs[0]: border - len(inputs) + 1}
        at = now - timedelta(hours=_HOURS_BACK[number] if "windows" in rule else 0)
        try:
            expected = math.ceil(source.cost(quantities, at) * _MILLION)
        except LookupError:
            expected = None
        yield Try(item["type"], quantities, at if "windows" in rule else None, expected)


def _charge(port: int, key: str, merchant: str, tries: Sequence[Try]) -> Iterator[int | None]:
    """Make charges in batches, and tell what each cost, in micros."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    for start in range(0, len(tries), _BATCH):
        charges = [
            {
                "merchant": merchant,
                "type": some.request_type,
                "idempotencyKey": f"fit-{number}",
                "quantities": some.quantities or None,
                "requestedAt": some.requested_at and some.requested_at.isoformat(),
            }
            for number, some in enumerate(tries[start : start + _BATCH], start)
        ]
        body = json.dumps({"charges": charges})
        headers = {"x-api-key": key, "content-type": "application/json"}
        connection.request("POST", "/api/charges/batch", body, headers)
        answer = json.loads(connection.getresponse().read())
        if not answer.get("isSuccess"):
            raise SystemExit(f"a batch was refused: {answer}")
        for outcome in answer["data"]["outcomes"]:
            data = outcome["data"]
            yield round(Fraction(data["cost"]) * _MILLION) if data else None
    connection.close()


def _farebox(url: str, *words: str) -> Any:
    environment = {**os.environ, "FAREBOX_DATABASE_URL": url}
    command = [sys.executable, "-m", "farebox", *words, "--json"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def _table(fits: Sequence[Fit]) -> Iterator[str]:
    yield f"{platform.machine()}, Python {platform.python_version()}, SQLite, through a running server"
    for fit in fits:
        yield ""
        yield f"{fit.name} {fit.version}"
        yield f"  entries that have a price      {fit.priced:>7,}"
        yield f"  expressible as a rule          {fit.expressible:>7,}  {_share(fit.expressible, fit.priced)}"
        yield f"  with rests read as fractions   {fit.with_fractions:>7,}  {_share(fit.with_fractions, fit.priced)}"
        for reason, count in fit.reasons.items():
            yield f"    types left out               {count:>7,}  {reason}"
        yield f"  request types imported         {fit.types:>7,}  in {fit.import_seconds:.1f} s"
        yield f"  charges                        {fit.charges:>7,}"
        yield f"  exactly what the list says     {fit.exact:>7,}  {_share(fit.exact, fit.charges)}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"


if __name__ == "__main__":
    sys.exit(main())
