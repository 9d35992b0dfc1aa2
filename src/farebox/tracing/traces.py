"""What makes spans: which requests are traced, and what is told of the batch that a request's command went with."""

import os
import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from importlib import metadata
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, TraceFlags, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from farebox.core.commands import Command
from farebox.service.ledger.committer import CommittedBatch
from farebox.storage.batch_steps import BatchSteps

SAMPLER_DEFAULTS: Final = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
"""One request of a hundred, and each that a traced caller asks to trace, unless the environment says otherwise."""

FLUSH_SECONDS_MAX: Final = 2.0
"""How long a server that stops waits until its last spans are taken."""

_SERVICE: Final = "farebox"
_RATIO: Final = re.compile(r"(ParentBased\{root:)?TraceIdRatioBased\{(?P<rate>[0-9.e-]+)\}", re.ASCII)
_UNSET: Final = Status()
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
_TRACEPARENT_BYTES: Final = 55
_UNSAMPLED: Final = frozenset({b"0", b"2", b"4", b"6", b"8", b"a", b"c", b"e"})
"""The last digit of a caller's trace that is not sampled."""

_TRACEPARENT: Final = b"traceparent"
_TRACESTATE: Final = b"tracestate"

Headers = Sequence[tuple[bytes, bytes]]


class RequestTrace:
    """One request that is traced, and the commands of it that wait for a batch."""

    def __init__(self, name: str, context: SpanContext, parent: SpanContext | None) -> None:
        """Trace a request from now on, as a part of its caller's trace if there is one."""
        self.name = name
        self.context = context
        self.parent = parent
        self.attributes: dict[str, str | int] = {}
        self.links: list[Link] = []
        self.status = _UNSET
        self.begun_at = time.time_ns()
        self.waiting: list[int] = []
        self.commands: list[Command] = []
        """Kept until the end: as long as they are there, no other command has the id of one of them."""
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


CURRENT: Final[ContextVar[RequestTrace | None]] = ContextVar("farebox_trace", default=None)
"""The trace of the request that is being answered; None if it is not traced."""


class Traces:
    """Traces requests and batches of one process."""

    def __init__(self, engine: str) -> None:
        """Start what sends spans; the environment tells it where to, in OpenTelemetry's own names."""
        for name, text in SAMPLER_DEFAULTS.items():
            os.environ.setdefault(name, text)
        if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            os.environ.setdefault("OTEL_SERVICE_NAME", _SERVICE)
        # A provider that is given no sampler reads the environment's.
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        # What most samplers say is known ahead, and to ask them would cost each request several microseconds.
        described = self._sampler.get_description()
        ratio = _RATIO.match(described)
        self._rate = None if ratio is None else float(ratio["rate"])
        self._is_parent_asked = described.startswith("ParentBased")
        self._resource = Resource.create({"service.version": metadata.version("farebox"), "process.pid": os.getpid()})
        self._scope = InstrumentationScope(_SERVICE)
        self._ids = RandomIdGenerator()
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        self._propagator = TraceContextTextMapPropagator()
        self._engine = engine
        self._waiting: dict[int, tuple[RequestTrace, int]] = {}
        self._traceparents: dict[int, str] = {}

    def begin(self, name: str, headers: Headers) -> RequestTrace | None:
        """Begin the trace of a request, as a part of its caller's if there is one; None if it is not to be traced."""
        parent: Context | None = None
        for key, value in headers:
            if key == _TRACEPARENT:
                if self._is_parent_asked and len(value) == _TRACEPARENT_BYTES and value[-1:] in _UNSAMPLED:
                    return None
                parent = self._parent(headers)
                break
        if parent is None and self._rate is not None:
            if random.random() >= self._rate:  # noqa: S311 - no secret is made.
                return None
            trace_id = self._ids.generate_trace_id()
        else:
            caller = get_current_span(parent or Context()).get_span_context()
            trace_id = caller.trace_id if caller.is_valid else self._ids.generate_trace_id()
            decision = self._sampler.should_sample(parent, trace_id, name).decision
            if decision is not Decision.RECORD_AND_SAMPLE:
                return None
            if caller.is_valid:
                return RequestTrace(name, self._below(caller), caller)
        return RequestTrace(name, SpanContext(trace_id, self._ids.generate_span_id(), False, _SAMPLED), None)

    def end(self, trace: RequestTrace) -> None:
        """End the trace of a request; what still waits for a batch is told of no more."""
        for key in trace.waiting:
            self._waiting.pop(key, None)
        for command in trace.commands:
            self._traceparents.pop(id(command), None)
        self._tell(
            trace.name,
            trace.context,
            trace.parent,
            (trace.begun_at, time.time_ns()),
            kind=SpanKind.SERVER,
            attributes=trace.attributes,
            links=trace.links,
            status=trace.status,
        )

    def _below(self, parent: SpanContext) -> SpanContext:
        """Name a span within another one's trace."""
        flags = TraceFlags(parent.trace_flags | TraceFlags.SAMPLED)
        return SpanContext(parent.trace_id, self._ids.generate_span_id(), False, flags, parent.trace_state)

    def queued(self, commands: Sequence[Command]) -> None:
        """Note that commands of the present request wait for a batch. The first of them is told of."""
        trace = CURRENT.get()
        if trace is None:
            return
        first = id(commands[0])
        trace.waiting.append(first)
        self._waiting[first] = (trace, time.monotonic_ns())
        trace.commands.extend(commands)
        for command in commands:
            self._traceparents[id(command)] = trace.traceparent

    def traceparents(self, commands: Sequence[Command]) -> Mapping[int, str]:
        """Tell which commands of a batch are of requests that are traced, by their places, and of which spans."""
        known = self._traceparents
        if not known:
            return known
        return {place: known[id(command)] for place, command in enumerate(commands) if id(command) in known}

    def committed(self, batch: CommittedBatch) -> None:
        """Tell of a batch, if one of its commands is of a request that is traced."""
        if not self._waiting:
            return
        traced = [
            (index, *self._waiting.pop(id(command)))
            for index, command in enumerate(batch.commands)
            if id(command) in self._waiting
        ]
        if not traced:
            return
        # The clock may have been set since the start.
        offset_ns = time.time_ns() - time.monotonic_ns()
        steps = batch.steps
        context = SpanContext(self._ids.generate_trace_id(), self._ids.generate_span_id(), False, _SAMPLED)
        self._tell(
            "batch",
            context,
            None,
            (steps.begun + offset_ns, steps.committed + offset_ns),
            attributes={"farebox.batch.commands": len(batch.commands), "farebox.engine": self._engine},
            links=[Link(trace.context) for _, trace, _ in traced],
        )
        for index, trace, queued_at in traced:
            trace.links.append(Link(context))
            trace.attributes["farebox.outcome"] = batch.outcomes[index].code.value
            self._steps(trace, queued_at, steps, offset_ns)

    def _steps(self, trace: RequestTrace, queued_at: int, steps: BatchSteps, offset_ns: int) -> None:
        """Tell of a command's wait, and of each step of its batch, below its request."""
        begun = queued_at
        for name, done in (
            ("queue", steps.begun),
            ("lock", steps.locked),
            ("load", steps.loaded),
            ("decide", steps.decided),
            ("apply", steps.applied),
            ("commit", steps.committed),
        ):
            self._tell(name, self._below(trace.context), trace.context, (begun + offset_ns, done + offset_ns))
            begun = done

    def _tell(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        times: tuple[int, int],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, str | int] | None = None,
        links: Sequence[Link] = (),
        status: Status = _UNSET,
    ) -> None:
        """Hand a span that has ended to what sends it.

        One that is made whole costs a seventh of one that is begun and ended by the SDK.
        """
        self._processor.on_end(
            ReadableSpan(
                name,
                context,
                parent,
                self._resource,
                attributes,
                links=links,
                kind=kind,
                status=status,
                start_time=times[0],
                end_time=times[1],
                instrumentation_scope=self._scope,
            )
        )

    def _parent(self, headers: Headers) -> Context | None:
        """Read the caller's trace; one that is malformed or told twice counts as none."""
        parents = [value for key, value in headers if key == _TRACEPARENT]
        if len(parents) != 1:
            return None
        states = b",".join(value for key, value in headers if key == _TRACESTATE)
        carrier = {"traceparent": parents[0].decode("latin-1"), "tracestate": states.decode("latin-1")}
        return self._propagator.extract(carrier, Context())

    def close(self) -> None:
        """Send what is left, for as long as that may take; a collector that is away keeps no server from its end."""
        sender = threading.Thread(target=self._processor.shutdown, daemon=True)
        sender.start()
        sender.join(FLUSH_SECONDS_MAX)
