"""Gauges of this process's memory for prometheus_client:

    from prometheus_client import REGISTRY
    from memprobe.integrations.prometheus import MemoryCollector

    REGISTRY.register(MemoryCollector())

Each scrape asks memprobe.agent.memory(), which see for the names and what they cost."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from memprobe import agent


class MemoryCollector(Collector):
    """A gauge `python_memory_NAME` for each number that is known. `detail` as for memprobe.agent.memory()."""

    def __init__(self, detail: bool = False) -> None:
        self.detail = detail

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What the registry asks at a scrape."""
        for name, value in agent.memory(detail=self.detail).items():
            if value is not None:
                yield GaugeMetricFamily(f"python_memory_{name}", f"{name.replace('_', ' ')} of this process", value=value)
