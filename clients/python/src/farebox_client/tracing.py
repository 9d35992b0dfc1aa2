"""The caller's trace, handed on where its service uses OpenTelemetry; nothing here depends on that."""

import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

_IN_USE: Final = "opentelemetry.trace"


def with_trace(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Add W3C's `traceparent` and `tracestate` of the present span to headers, if there is one."""
    # A service that traces has imported it; one that does not shall not wait for it.
    if _IN_USE not in sys.modules:
        return headers
    carrier = dict(headers)
    _propagator().inject(carrier)
    return carrier


@cache
def _propagator() -> Any:
    return import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()
