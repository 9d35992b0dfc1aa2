"""The metrics of one server process: what it counts is put into its slot, and an answer tells of the whole server."""

from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from itertools import accumulate
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from farebox.metrics import definitions
from farebox.metrics.counts import CountsSnapshot, ProcessCounts
from farebox.metrics.definitions import METRICS, Metric, Type
from farebox.metrics.ledger import LedgerFigures, Values
from farebox.metrics.slots import Slot

Gauges = Callable[[], Mapping[Metric, float]]


class Metrics:
    """What one process counts, and answers with."""

    def __init__(self, folder: Path) -> None:
        """Take a place in the server's folder, and go on from what was counted there.

        Raises:
            NoSlot: there is no place left.
        """
        self._slot = Slot(folder)
        self.counts = ProcessCounts(self._slot.before)
        self._gauges: dict[Metric, Callable[[], float]] = {}

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Tell a gauge of this process by what `read` returns; those of all processes are added up."""
        self._gauges[metric] = read

    async def write(self) -> None:
        """Tell the other processes what this one has counted; to be called every WRITE_SECONDS."""
        self._slot.write(self._snapshot())

    def close(self) -> None:
        """Tell the last of it and leave the place."""
        self._slot.write(self._snapshot())
        self._slot.close()

    async def answer(self, figures: LedgerFigures, accept: str) -> tuple[bytes, str]:
        """Write the metrics of the whole server in the format that is asked for; return its media type as well.

        The ledger's figures that can't be read are left out; the rest is answered all the same.
        """
        values = await figures.values()
        counted, processes = self._slot.read_all(self._snapshot())
        engine = figures.engine
        values += [
            (definitions.PROCESSES, (), float(processes)),
            (definitions.BUILD, (metadata.version("farebox"), engine), 1.0),
        ]
        encoder, media_type = choose_encoder(accept)
        return encoder(_Answer(counted, values)), media_type

    def _snapshot(self) -> CountsSnapshot:
        return self.counts.snapshot({metric: read() for metric, read in self._gauges.items()})


class _Answer(Collector):
    """The metrics of one answer, as prometheus_client writes them."""

    def __init__(self, counted: CountsSnapshot, values: Values) -> None:
        self._counted = counted
        self._values = values

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            write = {
                Type.COUNTER: self._counter,
                Type.GAUGE: self._gauge,
                Type.HISTOGRAM: self._histogram,
            }[metric.type]
            yield write(metric)

    def _counter(self, metric: Metric) -> Family:
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, count in sorted(self._counted.counters.get(metric.name, ())):
            family.add_metric(labels, count)
        return family

    def _gauge(self, metric: Metric) -> Family:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in self._counted.gauges.get(metric.name, ()):
            family.add_metric(labels, value)
        for other, labels, value in self._values:
            if other is metric:
                family.add_metric(labels, value)
        return family

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
        for labels, histogram in sorted(self._counted.histograms.get(metric.name, ()), key=lambda item: item[0]):
            buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
            family.add_metric(labels, buckets, sum_value=histogram.total)
        return family
