"""The caller's trace, handed on where its service uses OpenTelemetry; nothing here depends on that."""

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

_IN_USE: Final = "opentelemetry.trace"
_NONE: Final[Mapping[str, str]] = {}
_SAMPLED: Final = "13579bdf"
"""The last digit of a `traceparent` that is sampled."""


def present_trace() -> Mapping[str, str]:
    """Return W3C's `traceparent` and `tracestate` of the present span, as headers; none if there is no span."""
    # A service that traces has imported it; one that does not shall not wait for it.
    if _IN_USE not in sys.modules:
        return _NONE
    carrier: dict[str, str] = {}
    _propagator().inject(carrier)
    return carrier


def shared_trace(traces: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    """Choose the trace that a request of several callers belongs to: the first that is sampled, else the first."""
    told = [trace for trace in traces if trace]
    return next((trace for trace in told if trace["traceparent"][-1] in _SAMPLED), told[0] if told else _NONE)


@cache
def _propagator() -> Any:
    return import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()
