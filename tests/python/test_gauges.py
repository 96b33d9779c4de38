# SPDX-License-Identifier: MIT
"""Numbers for gauges: what the kernel says itself, and a scrape by the real libraries."""

from __future__ import annotations

import resource
import sys
import threading
import urllib.request
from functools import partial
from pathlib import Path

import pytest

import memprobe
from memprobe import _core, agent

MIB = 1 << 20


def kernel(name: str) -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def test_counters_of_the_kernel() -> None:
    kept = bytes([7]) * (8 * MIB)
    found = agent.memory()
    assert abs(found["resident_bytes"] - kernel("Rss")) < 2 * MIB and found["resident_bytes"] > len(kept)  # type: ignore[operator]
    assert found["peak_resident_bytes"] >= found["resident_bytes"]  # type: ignore[operator]
    assert abs(found["peak_resident_bytes"] - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) < 8 * MIB  # type: ignore[operator]
    parts = [found[name] or 0 for name in ("anonymous_bytes", "file_bytes", "shared_memory_bytes")]
    assert sum(parts) == found["resident_bytes"]
    assert found["threads"] == len(list(Path("/proc/self/task").iterdir()))
    assert found["malloc_used_bytes"] is None and found["private_bytes"] is None  # what has to be looked for


def test_detail() -> None:
    found = agent.memory(detail=True)
    assert set(found) == set(agent.memory())
    assert abs(found["proportional_bytes"] - kernel("Pss")) < 2 * MIB  # type: ignore[operator]
    assert found["python_allocator_used_bytes"] <= found["python_allocator_bytes"] < found["resident_bytes"]  # type: ignore[operator]


def test_nothing_is_read_that_grows_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of /proc that the kernel fills by looking at each page are not opened, and no agent is needed."""
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" and watching else None)
    read = _core.read_file
    monkeypatch.setattr(_core, "read_file", lambda path: (opened.append(path), read(path))[1])
    watching = [True]
    agent.memory()
    watching.clear()
    assert any(name.endswith("/status") for name in opened)
    assert not [name for name in opened if "smaps" in name or "pagemap" in name or name.endswith("/maps")]


def test_control_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the least limit; tests/c/test_headroom.c has more."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    for name, text in {
        "a/memory.max": "900",
        "a/memory.current": "400",
        "a/b/memory.max": "max",
        "a/b/memory.current": "30",
    }.items():
        (tmp_path / name).write_text(f"{text}\n")
    there = partial(_core.cgroup_memory, process=str(tmp_path), cgroups=str(tmp_path))
    monkeypatch.setattr(_core, "cgroup_memory", there)
    found = agent.memory()
    assert (found["cgroup_used_bytes"], found["cgroup_limit_bytes"]) == (400, 900)
    (tmp_path / "a/memory.max").unlink()
    found = agent.memory()
    assert (found["cgroup_used_bytes"], found["cgroup_limit_bytes"]) == (30, None)


def test_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is None."""
    monkeypatch.setattr("memprobe._gauges._proc.status", lambda pid: {})
    nowhere = partial(_core.cgroup_memory, process="/nowhere", cgroups="/nowhere")
    monkeypatch.setattr(_core, "cgroup_memory", nowhere)
    assert set(agent.memory().values()) == {None}


def test_prometheus() -> None:
    client = pytest.importorskip("prometheus_client")
    from memprobe.integrations.prometheus import MemoryCollector

    registry = client.CollectorRegistry()
    registry.register(MemoryCollector())
    server, thread = client.start_http_server(0, "127.0.0.1", registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert abs(float(values["python_memory_resident_bytes"]) - kernel("Rss")) < 8 * MIB
    assert "python_memory_private_bytes" not in values and "# TYPE python_memory_resident_bytes gauge" in text


def test_opentelemetry() -> None:
    pytest.importorskip("opentelemetry.sdk.metrics")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from memprobe.integrations.opentelemetry import observe_memory

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe_memory(provider.get_meter("test"), detail=True)
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = (metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics)
    values = {str((point.attributes or {})["kind"]): point.value for point in metric.data.data_points}  # type: ignore[union-attr]
    assert metric.name == "python.memory" and abs(values["resident_bytes"] - kernel("Rss")) < 8 * MIB
    assert values["private_bytes"] > MIB
    provider.shutdown()


def test_other_threads_run_meanwhile() -> None:
    """Detail is looked for without the interpreter's lock."""
    kept = [bytes([n % 256]) * 4000 for n in range(20_000)]
    count = [0]
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    before = count[0]
    for _ in range(5):
        agent.memory(detail=True)
    done.set()
    thread.join()
    assert count[0] > before and len(kept) == 20_000


def test_names_are_public() -> None:
    assert memprobe.agent.memory is agent.memory
