# SPDX-License-Identifier: MIT
"""The programs that servers.py runs: `python services.py KIND PORT`, or by name from a server (`gunicorn services:wsgi`).

Each keeps a heap as a service has it (heap.py; MEMPROBE_BENCH_OBJECTS objects) and does one thing: answer(n). Over HTTP it is asked
as GET /n."""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heap import Order, Service

if TYPE_CHECKING:
    from fastapi import FastAPI

TASKS = 10_000


def resident(pid: int | str) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE


service = Service(int(os.environ.get("MEMPROBE_BENCH_OBJECTS", 0)))
orders: list[Order] = list(service.cache.values())


def answer(n: int) -> str:
    """Reads a hundred orders, writes to them, and says the square of n, which the asker can check."""
    for step in range(100):
        order = orders[(n * 7919 + step) % len(orders)]
        order.meta["total"] = sum(line.amount * line.price for line in order.lines)
        order.customer.orders.append(n)
    return str(n * n)


# ---- for servers that import a program ------------------------------------------------------------------------------


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    body = answer(int(environ["PATH_INFO"][1:])).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def asgi() -> FastAPI:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()

    @app.get("/{n}", response_class=PlainTextResponse)
    async def ask(n: int) -> str:
        return answer(n)

    return app


# ---- programs of their own ------------------------------------------------------------------------------------------


def threaded(port: int, work: Callable[[int], str] = answer) -> None:
    """The standard library's server, a thread a connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = work(int(self.path[1:])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def pool(port: int) -> None:
    """The same, and two processes of a pool do the work."""
    with get_context("fork").Pool(2) as workers:
        threaded(port, lambda n: workers.apply(answer, (n,)))


def tasks(port: int) -> None:
    """An event loop with many tasks that wake twice a minute, and one more for each connection."""

    async def idle(number: int) -> None:
        while True:
            await asyncio.sleep(30 * number / TASKS)
            answer(number)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = answer(int(head.split()[1][1:]))
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", port)
        idlers = [asyncio.create_task(idle(number)) for number in range(TASKS // 2, TASKS + TASKS // 2)]
        async with server:
            await asyncio.gather(*idlers)

    asyncio.run(main())


def batch(_: int) -> None:
    """Steps over 256 MiB of numbers, in place, a sixteenth a step, and a column of a table by the words of another; a line of
    standard input starts one."""
    import numpy
    import pandas

    numbers = numpy.ones((16, 2 << 20))
    table = pandas.DataFrame({"city": [f"city {n % 50}" for n in range(20_000)], "steps": 0})
    for done, line in enumerate(sys.stdin, 1):
        row = numbers[int(line) % len(numbers)]
        numpy.sqrt(row, out=row)  # ones, before and after
        table["steps"] += 1
        sums = table.groupby("city")["steps"].sum()
        right = int(row.sum()) == row.size and set(sums) == {done * 400}
        print(answer(int(line)) if right else "wrong", flush=True)


def forks(mebibytes: int) -> None:
    """The yardstick: what a fork takes of a process that has so much memory in all, and does nothing. A line of standard input
    asks for one; its milliseconds are the answer."""
    memory = mmap.mmap(-1, (mebibytes << 20) - resident("self"), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    for _ in sys.stdin:
        start = time.perf_counter()
        child = os.fork()
        if not child:
            os._exit(0)
        print((time.perf_counter() - start) * 1000, flush=True)
        os.waitpid(child, 0)


if __name__ == "__main__":
    {"threaded": threaded, "pool": pool, "tasks": tasks, "batch": batch, "forks": forks}[sys.argv[1]](int(sys.argv[2]))
