"""Traces for OpenTelemetry. They are off, and cost nothing, unless it is installed and told where to send
them.

`OTEL_EXPORTER_OTLP_ENDPOINT` and the other variables of OpenTelemetry say where and how. Processes pass W3C's
`traceparent` (https://www.w3.org/TR/trace-context/) to each other, a string that is stored with a job.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_Value = str | int | float | bool


class _Tracing:
    """Whether and where this process sends traces."""

    tracer: "Tracer | None" = None
    flush: Any = None


def configure_tracing(process: str, exporter: "SpanExporter | None" = None) -> None:
    """Starts tracing: to `exporter`, as each span ends, or in batches to the destination in the environment.
    Without a destination, does nothing. With one, raises ImportError if the extra `otel` is missing."""
    if exporter is None and not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": f"tunery-{process}"}
    provider = TracerProvider(resource=Resource.create(named))
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _Tracing.tracer, _Tracing.flush = provider.get_tracer("tunery"), provider.force_flush


def stop_tracing() -> None:
    """Sends what has not been sent, within 5 seconds, and stops tracing."""
    if _Tracing.flush is not None:
        _Tracing.flush(5_000)
    _Tracing.tracer = _Tracing.flush = None


class Describe(Protocol):
    """Renames a span, and adds attributes."""

    def __call__(self, name: str, **attributes: _Value) -> None: ...


@contextmanager
def span(name: str, *, parent: str | None = None, **attributes: _Value) -> Iterator[Describe]:
    """Makes a span that lasts as long as the block, below `parent`, a `traceparent`, or below the enclosing
    span. An exception marks it as failed; its text stays in the logs. Attributes are named `tunery.…`."""
    tracer = _Tracing.tracer
    if tracer is None:
        yield no_span
        return
    from opentelemetry.trace import Status, StatusCode

    with tracer.start_as_current_span(
        name,
        context=_context(parent),
        attributes=_named(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:

        def describe(name: str, **attributes: _Value) -> None:
            current.update_name(name)
            current.set_attributes(_named(attributes))

        try:
            yield describe
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def detached_span(
    name: str, *, parent: str | None = None, **attributes: _Value
) -> Iterator[Callable[[str], None]]:
    """Like `span`, for a generator, whose parts may run in different tasks: spans in the block are not below
    it. Yields a function that records an event in the span."""
    tracer = _Tracing.tracer
    if tracer is None:
        yield no_event
        return
    from opentelemetry.trace import Status, StatusCode

    current = tracer.start_span(
        name,
        context=_context(parent),
        attributes=_named(attributes),
        record_exception=False,
        set_status_on_exception=False,
    )
    try:
        yield current.add_event
    except Exception as error:
        current.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        current.end()


def no_event(name: str) -> None:
    """Records nothing."""


def no_span(name: str, **attributes: _Value) -> None:
    """Describes nothing."""


def traceparent() -> str | None:
    """Returns the `traceparent` of the caller's span, for work that continues elsewhere."""
    if _Tracing.tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _context(parent: str | None) -> Any:
    """Returns the context of a parent, or the current one if there is none. Text that is not a `traceparent`
    begins a new trace."""
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _named(attributes: Mapping[str, _Value]) -> dict[str, _Value]:
    return {f"tunery.{key}": value for key, value in attributes.items()}
