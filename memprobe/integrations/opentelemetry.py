"""Gauges of this process's memory for OpenTelemetry:

    from memprobe.integrations.opentelemetry import observe_memory

    observe_memory()

Each collection asks memprobe.agent.memory(), which see for the names and what they cost."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, ObservableGauge, Observation

from memprobe import agent


def observe_memory(meter: Meter | None = None, *, detail: bool = False) -> ObservableGauge:
    """One gauge, `python.memory`, with an attribute `kind` for each number that is known. Without a meter, that of the global
    provider. `detail` as for memprobe.agent.memory()."""

    def observe(options: CallbackOptions) -> Iterable[Observation]:
        numbers = agent.memory(detail=detail)
        return [Observation(value, {"kind": name}) for name, value in numbers.items() if value is not None]

    meter = meter or metrics.get_meter("memprobe")
    return meter.create_observable_gauge("python.memory", [observe], description="Memory of this process")
