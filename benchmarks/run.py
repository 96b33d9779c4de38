"""Measure memprobe beside gc.collect() and beside its peers, on one aged heap: `make bench`.

    python benchmarks/run.py [--objects N] [--output FILE] [--no-peers]

The unit is C, the time of one full gc.collect() on the same heap. Each job runs in a forked child of the process that has the heap,
after two collections that make the shared pages its own. Times are medians of 5 (of one, for what takes longer than 10 s), with a
collection timed before each run; memory is the growth of the resident set's high-water mark. What has no answer after the time
limit is stopped."""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import io
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import page
from heap import Service

import memprobe

ROOT = Path(__file__).resolve().parent.parent
RUNS = 5
SLOW = 10  # seconds: what takes longer runs once
LIMIT = 150  # seconds a job
MIB = 1 << 20


@dataclass
class Row:
    job: str
    who: str
    seconds: float = 0.0
    ratio: float = 0.0
    peak: float | None = None  # bytes
    note: str = ""


# ---- measuring ------------------------------------------------------------------------------------------------------


def status(field: str) -> int:
    """A size of this process, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{field}:"))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    result = work()
    end = time.perf_counter()
    del result
    return end - start


def peak_of(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds of one run, and by how much the resident set rose at most."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the high-water mark
    before = status("VmRSS")
    seconds = timed(work)
    return seconds, max(0, status("VmHWM") - before)


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Run it: peak memory first, then the times, each beside one of gc.collect(), so that both see the same machine."""
    seconds, peak = peak_of(work)
    units, times = [timed(gc.collect)], [seconds]
    if seconds <= SLOW:
        times = []
        for _ in range(RUNS):
            units.append(timed(gc.collect))
            times.append(timed(work))
    return {"seconds": statistics.median(times), "unit": statistics.median(units), "peak": peak}


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the work returns, from a forked child; {"note": why not} when it fails or takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            gc.collect(), gc.collect()
            signal.alarm(LIMIT)  # the default action ends the child
            answer = work()
        except BaseException as problem:
            answer = {"note": f"{type(problem).__name__}: {problem}"[:80]}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        text = file.read()
    _, code = os.waitpid(child, 0)
    if text:
        return json.loads(text)
    stopped = os.WIFSIGNALED(code) and os.WTERMSIG(code) == signal.SIGALRM
    return {"note": f"no answer in {LIMIT} s" if stopped else f"ended by status {code}"}


# ---- the jobs -------------------------------------------------------------------------------------------------------


def own_jobs(service: Service) -> list[tuple[str, str, Callable[[], object]]]:
    one = service.customers[7]
    return [
        ("who keeps one object alive", "memprobe.why_alive()", lambda: memprobe.why_alive(one)),
        ("what would be freed with one object", "memprobe.retained_sizeof()", lambda: memprobe.retained_sizeof(one)),
        ("cycles that one object is in", "memprobe.find_cycles()", lambda: memprobe.find_cycles(one)),
        ("the references of one object", "memprobe.refcount()", lambda: memprobe.refcount(one)),
        ("who refers to one object", "memprobe.referrers()", lambda: memprobe.referrers(one)),
        ("count by type", "memprobe.count()", memprobe.count),
        ("deep size of the whole structure", "memprobe.deep_sizeof()", lambda: memprobe.deep_sizeof(service)),
        ("capture: whole heap, named edges, sizes, roots", "memprobe.capture()", memprobe.capture),
    ]


def peer_jobs(service: Service) -> list[tuple[str, str, Callable[[], object]]]:
    """What the peers offer for the same question. Import inside: a peer that is not there is a note in the table."""

    def peer(module: str, use: Callable[[Any], object]) -> Callable[[], object]:
        return lambda: use(importlib.import_module(module))

    return [
        ("count by type", "objgraph.typestats()", peer("objgraph", lambda m: m.typestats())),
        (
            "count by type",
            "pympler summary",
            peer("pympler.summary", lambda m: m.summarize(gc.get_objects())),
        ),
        ("deep size of the whole structure", "pympler asizeof()", peer("pympler.asizeof", lambda m: m.asizeof(service))),
        ("deep size of the whole structure", "objsize get_deep_size()", peer("objsize", lambda m: m.get_deep_size(service))),
        ("capture: whole heap, named edges, sizes, roots", "guppy3 heap() (no edges)", peer("guppy", lambda m: m.hpy().heap())),
        ("capture: whole heap, named edges, sizes, roots", "refcycle snapshot()", peer("refcycle", lambda m: m.snapshot())),
    ]


def objgraph_rows(service: Service) -> list[Row]:
    """objgraph's own questions, by itself and by the drop-in, about one customer of the heap; times after one collection each."""
    jobs: dict[str, Callable[[Any], Callable[[], object]]] = {
        "most_common_types()": lambda m: m.most_common_types,
        "find_backref_chain()": lambda m: lambda: m.find_backref_chain(service.customers[7], m.is_proper_module),
        "show_backrefs(), depth 5": lambda m: lambda: m.show_backrefs([service.customers[7]], max_depth=5, output=io.StringIO()),
    }
    rows = []
    for job, ask in jobs.items():
        for module in ("memprobe.objgraph", "objgraph"):
            answer = in_child(lambda ask=ask, module=module: measure(ask(importlib.import_module(module))))
            rows.append(row(f"objgraph's {job}", module, answer))
    return rows


def snapshot_rows(folder: Path) -> list[Row]:
    """Write a file, and read it in a process of its own."""
    path = folder / "bench.snap"

    def write() -> dict[str, Any]:
        done = memprobe.snapshot(path)
        units, times, pauses = [], [], []
        for _ in range(RUNS):
            units.append(timed(gc.collect))
            start = time.perf_counter()
            done = memprobe.snapshot(path)
            times.append(time.perf_counter() - start)
            pauses.append(done.pause_ms)
        with open(folder / "again.snap", "wb") as file:
            memory = memprobe._core.snapshot(file.fileno())["memory"]
        pause, rss = statistics.median(pauses), status("VmRSS")
        facts = memprobe.load(path)._graph.infos()
        balance = sum(int(facts[part]) for part in ("account_ns", "unseen_ns"))
        share = 100 * balance / (int(facts["duration_ns"]) - balance)
        note = (
            f"pause {pause:.1f} ms = {pause * (1 << 30) / rss:.1f} ms a GiB; {done.bytes / done.objects:.1f} bytes an object; "
            f"memory beside the process {memory / MIB:.1f} MiB = {100 * memory / rss:.1f} % of RSS;"
            f" the balance and the search for objects that only C holds take {share:.1f} % of the rest's time"
        )
        return {"seconds": statistics.median(times), "unit": statistics.median(units), "peak": memory, "note": note}

    source = (
        "import json, memprobe, statistics, sys; sys.path.insert(0, sys.argv[1]); import run\n"
        f"print(json.dumps(run.measure(lambda: memprobe.load({str(path)!r}).types())))"
    )
    wrote = in_child(write)
    rows = [row("snapshot to a file", "memprobe.snapshot()", wrote)]
    done = subprocess.run([sys.executable, "-c", source, str(ROOT / "benchmarks")], stdout=subprocess.PIPE, text=True)
    read = json.loads(done.stdout) if done.returncode == 0 else {"note": "failed"}
    if "unit" in wrote:
        read["unit"] = wrote["unit"]  # its own process has no heap to collect
    return [*rows, row("open a file: read, check, freeze, type table", "memprobe.load().types()", read)]


def row(job: str, who: str, answer: dict[str, Any]) -> Row:
    seconds = answer.get("seconds", 0.0)
    return Row(job, who, seconds, seconds / answer.get("unit", 1.0), answer.get("peak"), answer.get("note", ""))


class Session:
    cart: object


class Cart:
    session: Session


def cycle_rows() -> list[Row]:
    """The service's heap with another shape in it, each in a child that makes it: many cycles, one long chain. What prepares the
    answer, as a capture does, is not timed."""

    def many() -> dict[str, Any]:
        held = []
        for _ in range(100_000):
            session, cart = Session(), Cart()
            session.cart, cart.session = cart, session
            held.append(session)
        unit = statistics.median(timed(gc.collect) for _ in range(RUNS))
        heap = memprobe.capture()
        graph = heap._graph
        seconds = [timed(lambda: memprobe._core.cycles(graph, False, False, None)) for _ in range(RUNS)]
        return {"seconds": statistics.median(seconds), "unit": unit, "note": f"{heap.cycles().cycles:,} cycles"}

    def long() -> dict[str, Any]:
        chain: list[Any] = []
        for _ in range(1_000_000):
            chain = [chain]
        unit = statistics.median(timed(gc.collect) for _ in range(RUNS))
        innermost = chain
        while innermost:
            innermost = innermost[0]
        address = id(innermost)
        del innermost
        heap = memprobe.capture()
        node = heap.at(address)
        heap.paths(node)  # makes the tree of names
        seconds = statistics.median(timed(lambda: heap.paths(node)) for _ in range(RUNS))
        return {"seconds": seconds, "unit": unit, "note": f"{len(heap.paths(node)[0].steps):,} steps"}

    return [
        row("cycles of a heap that has 100,000", "heap.cycles() of many", in_child(many)),
        row("a path through a chain of a million", "heap.paths() of a chain", in_child(long)),
    ]


def analysis_rows(folder: Path) -> list[Row]:
    """Questions on a graph that is there, and two files compared from cold. The unit is timed before, on the heap itself."""
    path = folder / "bench.snap"

    def ask() -> dict[str, Any]:
        unit = statistics.median(timed(gc.collect) for _ in range(RUNS))
        heap = memprobe.capture()
        graph = heap._graph
        node = heap.find(limit=1000)[-1]
        answers = {
            "unit": unit,
            "cycles": statistics.median(timed(lambda: memprobe._core.cycles(graph, False, False, None)) for _ in range(RUNS)),
        }
        memory = graph.memory
        answers["dominators"] = timed(lambda: (graph.retained(0), graph.dominated(0)))  # up and down the tree
        answers["peak"] = graph.memory - memory
        answers["suspects"] = timed(heap.suspects)
        graph.paths(node.id)  # makes the reverse index
        answers["path"] = statistics.median(timed(lambda: graph.paths(node.id)) for _ in range(RUNS))
        answers["all"] = graph.memory - memory
        answers["a_node"] = (answers["all"] - 5 * graph.edges) / graph.nodes
        return answers

    found = in_child(ask)
    if "note" in found:
        return [Row("analyses", "memprobe.Heap", note=found["note"])]
    unit = found["unit"]
    added = f"all that the analyses add: {found['all'] / MIB:,.0f} MiB = 5 B an edge + {found['a_node']:.1f} B a node"
    rows = [
        Row("cycles of the whole heap, after capture", "heap.cycles()", found["cycles"], found["cycles"] / unit),
        row("dominator tree and all retained sizes", "heap.dominators()", {**found, "seconds": found["dominators"]}),
        Row("suspects, after that", "heap.suspects()", found["suspects"], found["suspects"] / unit),
        Row("one more path to a root", "heap.paths()", found["path"], found["path"] / unit, note=added),
    ]

    def compare() -> dict[str, Any]:
        return {"seconds": timed(lambda: memprobe.load(path).diff(memprobe.load(folder / "again.snap"))), "unit": unit}

    return [*rows, row("two such files compared, from cold", "memprobe.load().diff()", in_child(compare))]


# ---- the report -----------------------------------------------------------------------------------------------------

GOALS = {
    "memprobe.count()": 0.4,
    "memprobe.deep_sizeof()": 0.6,
    "memprobe.capture()": 0.8,
    "memprobe.why_alive()": 1.2,
    "memprobe.retained_sizeof()": 1.2,
    "memprobe.find_cycles()": 1.2,
    "memprobe.refcount()": 0.6,
    "memprobe.referrers()": 0.6,
    "heap.cycles() of many": 0.4,
    "heap.paths() of a chain": 0.2,
    "memprobe.load().types()": 0.6,
    "heap.cycles()": 0.4,
    "heap.dominators()": 1.2,
    "heap.suspects()": 0.3,
    "memprobe.load().diff()": 4,
}


def report(rows: list[Row], facts: dict[str, str], unit: float) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`; `benchmarks/run.py` describes what is measured and how. C is one full `gc.collect()` on the",
        f"same heap, timed between the runs of each job: about {unit * 1000:.0f} ms. Times are medians of {RUNS}, above",
        f"{SLOW} s of one run. Ratios are to the C of the job's own runs, so a machine that is busy for a while shifts both.",
        "Peak is memory beside the heap. How cost grows to 30 million objects, and the analyses of a heap of 100 million:",
        "SCALING.md; snapshots of real servers under load: below.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "| job | who | time | ratio | goal | peak | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for one in rows:
        time_text = f"{one.seconds * 1000:,.0f} ms" if one.seconds else ""
        ratio = f"{one.ratio:.2f} C" if one.seconds else ""
        goal = f"≤ {GOALS[one.who]} C" if one.who in GOALS else ""
        peak = "" if one.peak is None else f"{one.peak / MIB:,.0f} MiB"
        lines.append(f"| {one.job} | {one.who} | {time_text} | {ratio} | {goal} | {peak} | {one.note} |")
    return "\n".join(lines) + "\n"


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} processors"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=3_000_000)
    parser.add_argument("--output", type=Path, default=page.BENCHMARKS)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()

    print(f"making a heap of about {options.objects:,} objects", file=sys.stderr)
    gc.disable()
    service = Service(options.objects)
    gc.enable()
    gc.collect()
    load = os.getloadavg()[0]
    unit = in_child(lambda: measure(gc.collect))["seconds"]
    counted = memprobe.summary()
    rows = [Row("the unit", "gc.collect()", unit, 1.0)]
    jobs = [*own_jobs(service), *([] if options.no_peers else peer_jobs(service))]
    for job, who, work in sorted(jobs, key=lambda entry: entry[0]):
        print(f"{who} ...", file=sys.stderr, flush=True)
        rows.append(row(job, who, in_child(lambda work=work: measure(work))))
    if not options.no_peers:
        print("objgraph's questions ...", file=sys.stderr, flush=True)
        rows += objgraph_rows(service)
    with tempfile.TemporaryDirectory() as folder:
        print("snapshot and load ...", file=sys.stderr, flush=True)
        rows += snapshot_rows(Path(folder))
        print("analyses ...", file=sys.stderr, flush=True)
        rows += [*analysis_rows(Path(folder)), *cycle_rows()]
    graph = in_child(graph_facts)
    facts = {
        "heap": f"{counted.objects:,} objects, {counted.bytes / MIB:,.0f} MiB in them, resident {status('VmRSS') / MIB:,.0f} MiB",
        "graph": graph.get("text", graph.get("note", "")),
        "machine": f"{machine()}; its load average when the jobs began was {load:.1f}",
        "python": sys.version.split(" [")[0],
        "peers": ", ".join(f"{name} {version_of(name)}" for name in ("objgraph", "pympler", "guppy3", "objsize", "refcycle")),
    }
    text = report(rows, facts, unit)
    page.put(text, options.output)
    print(text)
    return 0


def graph_facts() -> dict[str, Any]:
    """Memory of the graph against its budget of 24 bytes a node and 8 an edge."""
    graph = memprobe._core.capture()
    share = graph.memory / (24 * graph.nodes + 8 * graph.edges)
    size = f"{graph.nodes:,} nodes, {graph.edges:,} edges, {graph.memory / MIB:,.0f} MiB"
    return {"text": f"{size} = {share:.2f} of the budget (24 bytes a node + 8 an edge)"}


if __name__ == "__main__":
    raise SystemExit(main())
