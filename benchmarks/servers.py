# SPDX-License-Identifier: MIT
"""Snapshots of real servers under load: `make bench-servers` writes its part of docs/BENCHMARKS.md, `make test-servers` only looks
whether all goes well.

Each service is started twice with the agent in it, and is asked from threads of this process at a fixed rate. The second time a
snapshot of each of its processes is taken every second. A latency counts from when the request was due, so that what waits behind
a pause counts too. Then: was every answer right, and is the service as it was?"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import page
from services import resident

import memprobe
from memprobe._capture import Options

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
MEBIBYTE = 1 << 20
PATIENCE = 30.0  # seconds for a service to start, to answer, to come to rest, to end
FORKS = 15  # bare ones a second
LARGEST = 8 << 30  # bytes of a mapping: more is only reserved
SELDOM = 0.01  # of all pauses may be longer than allowed: a machine has pauses of its own

HEAD = """## Real servers under load

Made by `make bench-servers ARGS="--seconds {seconds:g} --objects {objects}"` with CPython {python} on a machine with
{cores} processors, which the service, its client and the snapshots share. Requests come at a fixed rate on 127.0.0.1; a latency
counts from when the request was due. Each service ran for {third:g} seconds without snapshots and for {seconds:g} with one of
each of its processes every second; the agent was in it both times (`MEMPROBE_AGENT=1`).

| service | requests a second | failed | p50, p99, max ms without | with |
|---|---:|---:|---:|---:|
"""
BETWEEN = """
What the snapshots cost: RSS is the largest process's, and by it a pause may take 5 ms and 30 ms a GiB; pause is median and
longest, late how many were longer than that. The yardstick is `fork()` itself, of a process that has as much memory and does
nothing else, {forks} times a second in {third:g} more seconds of the same load. Copied is the most memory that was copied for one
snapshot; wrote is the median time until the file was whole, while the service went on.

| service | processes | RSS MiB | allowed ms | pause ms | late | bare fork ms | late | copied MiB | wrote ms |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
"""
HELD = """## Objects that only C code holds, in real servers

Made by `make bench-servers ARGS="--held --objects {objects}"` with CPython {python}, of all processes of each service, at rest
after some requests. They are found by looking at each block that is in use (docs/MEMORY.md). Then all memory that the process can
write to is searched for words that lead to them: in static data of the program and its libraries, or in objects that are held so;
elsewhere, as in what a library has of malloc (or a word that was left there); nowhere, and then the object is a false one.

| service | objects | held by C code alone | of all | by static data | elsewhere | nowhere | of them |
|---|---:|---:|---:|---:|---:|---:|---|
"""
TAIL = """
In all, {late} of {pauses} pauses and {late_forks} of {forks} bare forks were late.

Checked for each: every answer is right; every snapshot was by a fork; the median pause is within what is allowed, and of all pauses
99 in 100; the last file loads; after the load the processes and the number of their descriptors are as before and none is a zombie;
at SIGTERM the service ends as it does without snapshots; nothing of its session is left, and at most one socket a process (what a
signal kills leaves its socket; the next agent removes it). The machine's load average at the end was {busy:.1f}: beyond its
processors, times are the machine's and not the service's. {verdict}

"""


# ---- units of load --------------------------------------------------------------------------------------------------


def get(server: Server, n: int) -> str:
    """One request by HTTP on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/{n}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def enqueue(server: Server, n: int) -> str:
    """One job through Redis, until its result is there."""
    from redis import Redis
    from rq import Queue

    with Redis(port=server.port) as connection:
        job = Queue(connection=connection).enqueue("services.answer", n)
        result = job.latest_result(timeout=int(PATIENCE))
        return str(result.return_value if result else None)


def step(server: Server, n: int) -> str:
    """One step of a batch job."""
    process = server.process
    assert process.stdin and process.stdout
    process.stdin.write(f"{n}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


# ---- services -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How a service is started and asked. It is ready when it answers the first unit; {port} in a command is its own free port."""

    name: str
    command: str
    unit: Callable[[Server, int], str] = get
    clients: int = 4
    rate: float = 100  # units a second, of all clients
    beside: str = ""  # a program that must run before it


GUNICORN = "-m gunicorn --log-level warning -b 127.0.0.1:{port} services:wsgi"
KINDS = [
    Kind("gunicorn, 2 sync workers", f"{GUNICORN} -w 2"),
    Kind("gunicorn, 1 gevent worker", f"{GUNICORN} -w 1 -k gevent"),  # a second one would serve while the first is held up
    Kind("uvicorn, FastAPI", "-m uvicorn --factory services:asgi --port {port} --log-level warning"),
    Kind("http.server, threads", "services.py threaded {port}"),
    Kind("asyncio, 10,000 tasks", "services.py tasks {port}"),
    Kind("multiprocessing, pool of 2", "services.py pool {port}"),
    Kind(
        "rq worker, Redis",
        "-m rq.cli worker --quiet --config services --url redis://127.0.0.1:{port}",
        unit=enqueue,
        clients=1,
        rate=5,
        beside="redis-server --bind 127.0.0.1 --port {port} --save '' --daemonize no --loglevel warning",
    ),
    Kind("numpy and pandas batch", "services.py batch {port}", unit=step, clients=1, rate=20),
]


class Server:
    """A running service: the process that was started, and what it started."""

    def __init__(self, kind: Kind, port: int, objects: int, log: Path) -> None:
        self.port = port
        environment = dict(os.environ, MEMPROBE_AGENT="1", MEMPROBE_BENCH_OBJECTS=str(objects), PYTHONPATH=str(HERE))
        environment["XDG_RUNTIME_DIR"] = str(log.parent)
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *kind.command.format(port=port).split()],
                cwd=HERE,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if kind.unit is step else errors,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def family(self) -> dict[int, str]:
        """Its processes and their states, the started one first."""
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with suppress(OSError):
                found[pid] = stat_fields(pid)[0]
                for task in os.listdir(f"/proc/{pid}/task"):
                    waiting.extend(map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split()))
        return found

    def state(self) -> dict[int, int]:
        """The number of open descriptors of each of its processes; -1 for a zombie."""
        return {pid: -1 if state == "Z" else len(os.listdir(f"/proc/{pid}/fd")) for pid, state in self.family().items()}

    def rss(self) -> int:
        return max(map(resident, self.family()))

    def left(self) -> list[int]:
        """What is alive of its session."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                state, _, _, session = stat_fields(int(name))[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.append(int(name))
        return found

    def end(self) -> int:
        """Its exit status, at SIGTERM."""
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        return status


def stat_fields(pid: int) -> list[str]:
    """State, parent, process group, session and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(kind: Kind, objects: int, folder: Path) -> Iterator[Server]:
    """The service from its first answer on; killed at the end, if it is still there."""
    port, log = free_port(), folder / "log"
    beside = None
    if kind.beside:
        command = [word.strip("'") for word in kind.beside.format(port=port).split()]
        beside = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    server = Server(kind, port, objects, log)
    try:
        wait_for(lambda: ready(kind, server, log), f"{kind.name} does not answer: {log.read_text()[-2000:]}")
        yield server
    finally:
        for pid in server.left():
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
        if beside:
            beside.terminate()
            beside.wait()


def ready(kind: Kind, server: Server, log: Path) -> bool:
    if server.process.poll() is not None:
        raise RuntimeError(f"{kind.name} ended at its start with status {server.process.returncode}: {log.read_text()[-2000:]}")
    with suppress(OSError, http.client.HTTPException, *redis_errors(kind)):
        return kind.unit(server, 3) == "9"
    return False


def redis_errors(kind: Kind) -> tuple[type[Exception], ...]:
    if not kind.beside:
        return ()
    from redis.exceptions import RedisError

    return (RedisError,)


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.1)


# ---- load and snapshots ---------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What one run of a service showed. Latencies are milliseconds, in rising order when it is over."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    infos: list[memprobe.SnapshotInfo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    late: int = 0  # pauses that were longer than they should be
    forks: list[float] = field(default_factory=list)  # of a bare process as large, in milliseconds
    rss: int = 0
    processes: int = 0
    status: int = 0

    def check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.problems.append(otherwise)

    def late_forks(self) -> int:
        return sum(took > allowed(self.rss) for took in self.forks)


def load(kind: Kind, server: Server, seconds: float, run: Run) -> None:
    """Ask at the kind's rate from its number of clients."""
    start = time.monotonic()

    def client(first: int) -> None:
        for n in range(first, int(seconds * kind.rate), kind.clients):
            due = start + n / kind.rate
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                said = kind.unit(server, n)
                if said != str(n * n):
                    run.failures.append(f"{n}: {said[:100]!r}")
            except Exception as problem:
                run.failures.append(f"{n}: {problem!r}")
            run.latencies.append((time.monotonic() - due) * 1000)

    clients = [threading.Thread(target=client, args=(first,)) for first in range(kind.clients)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    run.latencies.sort()


def allowed(rss: int) -> float:
    """Milliseconds that a process may pause: issue 6's goal."""
    return 5 + 30 * rss / (1 << 30)


def take(pids: list[int], file: Path, seconds: float, run: Run, native: Sequence[bool]) -> None:
    """A snapshot of each process every second, in turn with native blocks or without."""
    start = time.monotonic()
    for second in range(int(seconds)):
        time.sleep(max(0.0, start + second + 0.5 - time.monotonic()))
        for pid in pids:
            try:
                options = Options(native=native[second % len(native)])
                info = memprobe.snapshot_process(pid, file, options, timeout=PATIENCE)
                if options.native:
                    run.check(memprobe.load(file).lost().blocks is not None, "native blocks are not known")
                run.infos.append(info)
                run.late += info.pause_ms > allowed(resident(pid))
                run.check(info.mode == "forked", f"a snapshot was {info.mode}: {info.reason}")
            except Exception as problem:
                run.problems.append(f"no snapshot of {pid}: {problem!r}")


def fork(rss: int, seconds: float, run: Run) -> None:
    """Forks of a bare process of this size."""
    command = [sys.executable, str(HERE / "services.py"), "forks", str(rss // MEBIBYTE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin and process.stdout
        start = time.monotonic()
        for n in range(int(seconds * FORKS)):
            time.sleep(max(0.0, start + n / FORKS - time.monotonic()))
            process.stdin.write("\n")
            run.forks.append(float(process.stdout.readline()))


def measure(kind: Kind, seconds: float, objects: int, snapshots: Sequence[bool]) -> Run:
    """Start, ask, take snapshots, in turn with native blocks or without (none where it is empty), check, end."""
    run = Run()
    with tempfile.TemporaryDirectory(prefix="memprobe-servers-") as name, running(kind, objects, Path(name)) as server:
        folder = Path(name)
        file = folder / "a.snap"
        load(kind, server, 1.0, Run())  # what is made at the first requests is there before it is counted
        time.sleep(1.0)
        pids = list(server.family())
        if snapshots:  # so is what the first snapshot brings
            take(pids, file, 1.0, Run(), snapshots)
        before = server.state()
        run.processes = len(pids)
        taker = threading.Thread(target=take, args=(pids, file, seconds, run, snapshots))
        if snapshots:
            taker.start()
        load(kind, server, seconds, run)
        if snapshots:
            taker.join()
            heap = memprobe.load(file)
            run.check(heap.info.objects > 0, "the last file has no objects")
        run.rss = server.rss()
        if snapshots:
            forker = threading.Thread(target=fork, args=(run.rss, seconds / 3, run))
            forker.start()
            load(kind, server, seconds / 3, Run())
            forker.join()
        try:
            wait_for(lambda: server.state() == before, "")
        except TimeoutError:
            run.problems.append(f"processes and their descriptors were {before} and are {server.state()} (-1: a zombie)")
        run.check(-1 not in before.values(), f"a zombie: {before}")
        run.check(not run.failures, f"{len(run.failures)} failed: {run.failures[:3]}")
        run.status = server.end()
        time.sleep(0.5)
        run.check(not server.left(), f"processes {server.left()} are left")
        sockets = os.listdir(folder / "memprobe")
        run.check(len(sockets) <= run.processes, f"{len(sockets)} sockets of agents are left")
    return run


# ---- objects that only C code holds ---------------------------------------------------------------------------------


@dataclass
class Held:
    """What was found in a service's processes; `places` counts where words lead to it."""

    objects: int = 0
    types: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)

    def add(self, pid: int, file: Path) -> None:
        """Of a process at rest."""
        memprobe.snapshot_process(pid, file, timeout=PATIENCE)
        heap = memprobe.load(file)
        last = (heap.node(id) for id in range(len(heap.columns()["address"]) - 1, -1, -1))
        count = heap.accounting().unseen_objects or 0
        nodes = list(islice((node for node in last if "synthetic" not in node.flags), count))
        self.objects += heap.info.objects
        self.types.update(node.type for node in nodes)
        self.places.update(find_holders(pid, sorted((node.address, node.address + node.size) for node in nodes)))

    def row(self) -> str:
        count = self.types.total()
        places = " | ".join(f"{self.places[place]:,}" for place in ("static", "elsewhere", "nowhere"))
        most = ", ".join(f"{number} {name}" for name, number in self.types.most_common(5))
        return f"{self.objects:,} | {count:,} | {100 * count / self.objects:.2f} % | {places} | {most}"


def image_end(file: str, begin: int) -> int:
    """Where the data of an ELF file that is loaded at `begin` end, the zeroed ones among them; 0 for another file."""
    with suppress(OSError, struct.error), open(file, "rb") as image:
        head = image.read(64)
        image.seek(int.from_bytes(head[32:40], "little"))
        size, count = struct.unpack_from("<HH", head, 54)
        programs = [struct.unpack_from("<IIQQQQQQ", image.read(size)) for _ in range(count if head[:4] == b"\x7fELF" else 0)]
        loaded = [(address, memory) for kind, _, _, address, _, _, memory, _ in programs if kind == 1]
        if loaded:
            fixed = head[16] == 2  # at its own addresses
            return max(address + memory for address, memory in loaded) + (0 if fixed else begin - min(loaded)[0])
    return 0


def writable_memory(pid: int) -> Iterator[tuple[int, bytes, bool]]:
    """Where a piece begins, what is in it, and whether it is static data of a program or library."""
    file, static_end = "", 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, access, _, _, inode, *name = line.split(None, 5)
            begin, end = (int(number, 16) for number in span.split("-"))
            if inode != "0" and name[0] != file:
                file, static_end = name[0], image_end(name[0].strip(), begin)
            if not access.startswith("rw") or end - begin > LARGEST:
                continue
            middle = min(max(begin, static_end & ~7), end)
            for first, last, static in ((begin, middle, True), (middle, end, False)):
                memory.seek(first)
                with suppress(OSError):
                    if last > first:
                        yield first, memory.read(last - first), static


def find_holders(pid: int, spans: list[tuple[int, int]]) -> Iterator[str]:
    """For each of the objects: "static", "elsewhere" or "nowhere". Words in the object itself do not count."""
    import numpy

    begins, ends = numpy.array(spans, dtype=numpy.uint64).reshape(-1, 2).T
    static, found = numpy.zeros(len(begins), dtype=bool), numpy.zeros(len(begins), dtype=bool)
    inner = []  # from one object to another

    def lead_to(addresses: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        which = numpy.maximum(numpy.searchsorted(begins, addresses, side="right"), 1) - 1
        return which, (addresses >= begins[which]) & (addresses < ends[which])

    for begin, content, is_static in writable_memory(pid):
        words = numpy.frombuffer(content, dtype=numpy.uint64)
        target, leads = lead_to(words)
        (at,) = numpy.nonzero(leads)
        source, within = lead_to(begin + 8 * at.astype(numpy.uint64))
        target = target[at]
        other = ~within | (source != target)
        (static if is_static else found)[target[other]] = True
        inner += zip(source[within & other].tolist(), target[within & other].tolist(), strict=True)
    changed = True
    while changed:
        held = [target for source, target in inner if static[source] and not static[target]]
        static[held], changed = True, bool(held)
    return ("static" if s else "elsewhere" if f else "nowhere" for s, f in zip(static.tolist(), found.tolist(), strict=True))


def find_held(kind: Kind, objects: int) -> Held:
    held = Held()
    with tempfile.TemporaryDirectory(prefix="memprobe-servers-") as name, running(kind, objects, Path(name)) as server:
        load(kind, server, 2.0, Run())
        time.sleep(1.0)
        for pid in server.family():
            held.add(pid, Path(name) / f"{pid}.snap")
    return held


def write_held(objects: int, only: str) -> int:
    """How many services have more than a thousandth of false ones."""
    text = HELD.format(python=platform.python_version(), objects=objects)
    badly = 0
    for kind in KINDS:
        if only in kind.name and (not kind.beside or shutil.which(kind.beside.split()[0])):
            held = find_held(kind, objects)
            badly += 1000 * held.places["nowhere"] > held.objects
            text += f"| {kind.name} | {held.row()} |\n"
            print(text.splitlines()[-1], flush=True)
    if not only:
        page.put(text)
    return badly


# ---- the page -------------------------------------------------------------------------------------------------------


def percentiles(latencies: list[float]) -> str:
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return f"{cuts[49]:.1f}, {cuts[98]:.1f}, {latencies[-1]:.1f}"


def middle_and_most(values: list[float]) -> str:
    return f"{statistics.median(values):.1f}, {max(values):.1f}"


def costs(run: Run) -> str:
    """The cells of the second table."""
    infos = run.infos
    copied = max(info.cow_bytes or 0 for info in infos) / MEBIBYTE
    wrote = statistics.median(info.duration_ms or 0.0 for info in infos)
    pauses = middle_and_most([info.pause_ms for info in infos])
    forks = f"{middle_and_most(run.forks)} | {run.late_forks()} of {len(run.forks)}"
    cells = [run.processes, f"{run.rss / MEBIBYTE:.0f}", f"{allowed(run.rss):.1f}", pauses, f"{run.late} of {len(infos)}", forks]
    return " | ".join(map(str, [*cells, f"{copied:.1f}", f"{wrote:.0f}"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of load with snapshots; without, a third of it (60)")
    parser.add_argument("--objects", type=int, default=1_000_000, help="in the service's heap (1000000)")
    parser.add_argument("--only", default="", help="services with this in their name; writes no page")
    parser.add_argument(
        "--check", action="store_true", help="pauses are as they are, for the machine does other things; writes no page"
    )
    parser.add_argument("--native", action="store_true", help="with native blocks; with --check every second snapshot has them")
    parser.add_argument("--held", action="store_true", help="only the objects that C code alone holds, which needs root")
    options = parser.parse_args()
    if options.held:
        sys.exit(write_held(options.objects, options.only))
    upper = HEAD.format(
        python=platform.python_version(),
        cores=os.cpu_count(),
        seconds=options.seconds,
        third=options.seconds / 3,
        objects=options.objects,
    )
    lower = BETWEEN.format(forks=FORKS, third=options.seconds / 3)
    runs: list[Run] = []
    problems, missing, well, badly = [], [], 0, 0
    for kind in KINDS:
        if options.only not in kind.name:
            continue
        if kind.beside and not shutil.which(kind.beside.split()[0]):
            missing.append(f"{kind.name} did not run: there is no {kind.beside.split()[0]}.")
            continue
        without = measure(kind, options.seconds / 3, options.objects, snapshots=())
        with_ = measure(kind, options.seconds, options.objects, snapshots=(False, True) if options.check else (options.native,))
        runs.append(with_)
        with_.check(with_.status == without.status, f"exit status {with_.status}, and {without.status} without snapshots")
        pause, most = statistics.median([info.pause_ms for info in with_.infos] or [0.0]), allowed(with_.rss)
        with_.check(options.check or pause <= most, f"the median pause is {pause:.1f} ms, and {most:.1f} are allowed")
        found = [f"{kind.name}, without snapshots: {problem}" for problem in without.problems]
        found += [f"{kind.name}: {problem}" for problem in with_.problems]
        times = f"{percentiles(without.latencies)} | {percentiles(with_.latencies)}"
        upper += f"| {kind.name} | {kind.rate:g} | {len(without.failures)}, {len(with_.failures)} | {times} |\n"
        if with_.infos:
            lower += f"| {kind.name} | {costs(with_)} |\n"
        print(upper.splitlines()[-1], lower.splitlines()[-1], *found, sep="\n", flush=True)
        problems += found
        well, badly = well + (not found), badly + bool(found)
    late, pauses = sum(run.late for run in runs), sum(len(run.infos) for run in runs)
    if late > SELDOM * pauses and not options.check:
        problems.append(f"{late} of {pauses} pauses are longer than 5 ms and 30 ms a GiB")
    tail = TAIL.format(
        late=late,
        pauses=pauses,
        late_forks=sum(run.late_forks() for run in runs),
        forks=sum(len(run.forks) for run in runs),
        busy=os.getloadavg()[0],
        verdict=" ".join(["Not so:" if problems else "All held.", *missing]),
    )
    tail += "".join(f"- {problem}\n" for problem in problems)
    if not options.only and not options.check:
        page.put(upper + lower + tail)
    print(*missing, f"{well} passed, {badly} failed, {len(missing)} skipped", sep="\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
