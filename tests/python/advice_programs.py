# SPDX-License-Identifier: MIT
# ruff: noqa: E501
"""Small programs, each with one big thing in its heap: RIGHT have (name, source, words of the advice that is right); NONE are traps,
in which the type occurs and the cause does not: (name, source, name of the first suspect), and no cause may be named.

python advice_programs.py runs each in a forked process as a module `app`, and prints [name, first suspect's name, advice] as JSON,
a line each. A program that calls `ask()` is asked there, others at their end."""

from __future__ import annotations

import json
import os
import sys
import traceback
from types import ModuleType

WORDS = "def words(n): return [f'word {n}/{i}' for i in range(8)]\n"

RIGHT = [
    ("queue", "import queue\njobs = queue.Queue()\nfor n in range(8000): jobs.put((n, str(n)))", "filled faster"),
    ("queue of an object", "import queue\nclass Worker: pass\nworker = Worker()\nworker.jobs = queue.LifoQueue()\nfor n in range(20_000): worker.jobs.put([n])", "filled faster"),
    ("asyncio queue", "import asyncio\njobs = asyncio.Queue()\nfor n in range(20_000): jobs.put_nowait((n, str(n)))", "filled faster"),
    ("functools.cache", "import functools\n@functools.cache\ndef render(n): return words(n)\nfor n in range(2000): render(n)", "functools cache"),
    ("lru_cache(None)", "import functools\n@functools.lru_cache(maxsize=None)\ndef render(n): return words(n)\nfor n in range(2000): render(n)", "maxsize"),
    ("cache of a method", "import functools\nclass Report:\n    def __init__(self, n): self.rows = words(n)\n    @functools.cache\n    def total(self): return len(self.rows)\nfor n in range(2000): Report(n).total()", "functools cache"),
    ("gc.garbage", "import gc\nclass Node:\n    def __init__(self): self.peer = self; self.data = bytearray(300)\ngc.set_debug(gc.DEBUG_SAVEALL)\nfor n in range(4000): Node()\ngc.collect()\ngc.set_debug(0)", "gc.garbage"),
    ("atexit, methods", "import atexit\nclass Connection:\n    def __init__(self, n): self.buffer = words(n); atexit.register(self.close)\n    def close(self): pass\nfor n in range(3000): Connection(n)", "atexit"),
    ("atexit, closures", "import atexit\ndef register(n):\n    rows = words(n)\n    atexit.register(lambda: len(rows))\nfor n in range(3000): register(n)", "atexit"),
    ("kept exception", "last = None\ndef load():\n    rows = [words(n) for n in range(2000)]\n    raise ValueError(len(rows))\ntry: load()\nexcept ValueError as problem: last = problem", "traceback"),
    ("list of exceptions", "errors = []\ndef load(n):\n    rows = words(n)\n    raise ValueError(len(rows))\nfor n in range(2000):\n    try: load(n)\n    except ValueError as problem: errors.append(problem)", "traceback"),
    ("logging", "import logging, logging.handlers\nbuffered = logging.handlers.MemoryHandler(10**7, flushLevel=100)\nlog = logging.getLogger('shop')\nlog.propagate = False\nlog.setLevel(10)\nlog.addHandler(buffered)\nfor n in range(3000): log.info('order %d', n)", "logging handler"),
    ("thread-local", "import threading\nsession = threading.local()\nsession.journal = [words(n) for n in range(2000)]", "Thread-local"),
    ("context variable", "import contextvars\ntrail = contextvars.ContextVar('trail')\ntrail.set([words(n) for n in range(2000)])", "context variable"),
    ("pending tasks", "import asyncio\nasync def wait(n, answer):\n    rows = words(n)\n    await answer.wait()\nasync def main():\n    answer = asyncio.Event()\n    background.update(asyncio.create_task(wait(n, answer)) for n in range(2000))\n    await asyncio.sleep(0)\n    ask()\nbackground = set()\nasyncio.run(main())", "await or cancel"),
    ("weak dictionary", "import weakref\nclass Document:\n    def __init__(self, n): self.rows = words(n)\nclass Metadata:\n    def __init__(self, document): self.document = document\nmetadata = weakref.WeakKeyDictionary()\nfor n in range(2000):\n    document = Document(n)\n    metadata[document] = Metadata(document)\ndel document", "weak dictionary"),
    ("deque", "from collections import deque\nmeasured = deque()\nfor n in range(8000): measured.append((n, str(n)))", "maxlen"),
    ("local variable", "def consume():\n    backlog = [words(n) for n in range(2000)]\n    ask()\nconsume()", "local variable"),
    ("generators", "streams = []\ndef read(n):\n    rows = words(n)\n    yield from rows\nfor n in range(2000):\n    stream = read(n)\n    next(stream)\n    streams.append(stream)\ndel stream", r"close\(\)"),
    ("async generators", "streams = []\nasync def read(n):\n    rows = words(n)\n    for row in rows: yield row\nfor n in range(2000):\n    stream = read(n)\n    try: stream.__anext__().send(None)\n    except StopIteration: pass\n    streams.append(stream)\ndel stream", r"close\(\)"),
    ("listeners", "class Timer:\n    def __init__(self): self.callbacks = []\ntimer = Timer()\nclass Animation:\n    def __init__(self, n): self.frames = words(n); timer.callbacks.append(self.tick)\n    def tick(self): pass\nfor n in range(2000): Animation(n)", "WeakMethod"),
    ("listeners by event", "listeners = {}\nclass View:\n    def __init__(self, n): self.rows = words(n); listeners[f'event {n}'] = self.update\n    def update(self): pass\nfor n in range(2000): View(n)", "WeakMethod"),
    ("closures", "on_shutdown = []\ndef handle(n):\n    payload = words(n)\n    on_shutdown.append(lambda: len(payload))\nfor n in range(2000): handle(n)", "closures"),
    ("memoryviews", "columns = []\nfor n in range(800): columns.append(memoryview(bytearray(4096))[:8])", "copy"),
    ("numpy views", "import numpy\ncolumns = []\nfor n in range(200): columns.append(numpy.zeros(10_000)[:10])", "copy"),
    ("cyclic garbage", "import gc\ngc.disable()\nclass Element:\n    def __init__(self, n): self.me = self; self.rows = words(n)\nfor n in range(2000): Element(n)", "Reference cycles"),
    ("forgotten by C", "import ctypes\nclass Frame:\n    def __init__(self, n): self.rows = words(n)\nfor n in range(2000): ctypes.pythonapi.Py_IncRef(ctypes.py_object(Frame(n)))", "C code"),
]  # fmt: skip

LEAK = "\nrecords = {n: {'n': n, 'words': words(n)} for n in range(2000)}"
NONE = [
    ("methods inside of a registry", "class Job:\n    def __init__(self, n):\n        self.rows = words(n)\n        self.on_done = self.finish\n    def finish(self): pass\njobs = {n: Job(n) for n in range(2000)}", "app.jobs"),
    ("whole arrays", "import numpy\nresults = [numpy.zeros(10_000) for _ in range(200)]", "app.results"),
    ("one array", "import numpy\ngrid = numpy.zeros(2_000_000)", "app.grid"),
    ("views of the whole", "import numpy\nresults = [numpy.zeros(10_000)[:] for _ in range(200)]", "app.results"),
    ("few memoryviews", "blocks = [bytearray(4096) for _ in range(800)]\nfirst = memoryview(blocks[0])[:8]\nblocks.append(memoryview(blocks[1])[:8])", "app.blocks"),
    ("unused queue", "import queue\nclass Jobs(queue.Queue): pass\nspare = Jobs()" + LEAK, "app.records"),
    ("small queue beside", "import queue\njobs = queue.Queue(maxsize=5)\njobs.put(1)" + LEAK, "app.records"),
    ("atexit without an entry", "import atexit\nclass Connection:\n    def __init__(self, n): self.rows = words(n)\n    def close(self): pass\nopen_now = [Connection(n) for n in range(2000)]", "app.open_now"),
    ("deque with maxlen", "from collections import deque\nlast = deque(maxlen=8000)\nfor n in range(20000): last.append((n, str(n)))", "app.last"),
    ("transient tracebacks", "def check(n):\n    try: raise ValueError(n)\n    except ValueError: return str(n)\nchecked = {n: [check(n), words(n)] for n in range(2000)}", "app.checked"),
    ("exceptions never raised", "errors = [ValueError(f'error {n}', words(n)) for n in range(2000)]", "app.errors"),
    ("one kept exception", "try: 1 / 0\nexcept ZeroDivisionError as problem: last = problem" + LEAK, "app.records"),
    ("healthy weak keys", "import weakref\nclass Document: pass\ndocuments = [Document() for n in range(2000)]\nmetadata = weakref.WeakKeyDictionary((document, words(n)) for n, document in enumerate(documents))", "app.metadata"),
    ("healthy weak values", "import weakref\nclass Document:\n    def __init__(self, n): self.rows = words(n)\ndocuments = [Document(n) for n in range(2000)]\nby_number = weakref.WeakValueDictionary(enumerate(documents))", "app.documents"),
    ("few generators", "def read(n): yield from words(n)\nrows = [{'n': n, 'words': words(n)} for n in range(2000)]\nfor n in range(3):\n    rows[n]['stream'] = read(n)\n    next(rows[n]['stream'])", "app.rows"),
    ("bound lru_cache beside", "import functools\n@functools.lru_cache(maxsize=100)\ndef render(n): return str(n)\nfor n in range(500): render(n)" + LEAK, "app.records"),
    ("lru_cache with a bound", "import functools\n@functools.lru_cache(maxsize=2000)\ndef render(n): return words(n)\nfor n in range(5000): render(n)", "app.render"),
    ("asyncio imported", "import asyncio\nloop = asyncio.new_event_loop()\nasync def nothing(): await asyncio.sleep(0)\nloop.run_until_complete(nothing())" + LEAK, "app.records"),
    ("few tasks", "import asyncio\nasync def wait(answer): await answer.wait()\nasync def main():\n    answer = asyncio.Event()\n    for n in range(3): records[n]['task'] = asyncio.create_task(wait(answer))\n    await asyncio.sleep(0)\n    ask()\n" + LEAK.strip() + "\nasyncio.run(main())", "app.records"),
    ("logging configured", "import logging\nlogging.basicConfig(handlers=[logging.NullHandler()])\nlog = logging.getLogger('shop')\nlog.warning('x')\nrecords = {n: [log, words(n)] for n in range(2000)}", "app.records"),
    ("small thread-local", "import threading\nsession = threading.local()\nsession.user = 'me'" + LEAK, "app.records"),
    ("small context variable", "import contextvars\nuser = contextvars.ContextVar('user')\nuser.set('me')" + LEAK, "app.records"),
    ("functions without closures", "handlers = {}\nfor n in range(3000): handlers[n] = eval('lambda: 0')", "app.handlers"),
    ("classes", "plugins = []\nfor n in range(300): plugins.append(type(f'Plugin{n}', (), {'run': lambda self: 0, 'words': words(n)}))", "app.plugins"),
    ("closures beside much data", "orders = []\ndef order(n):\n    total = n\n    orders.append({'rows': words(n) * 2 + words(-n), 'total': lambda: total})\nfor n in range(1000): order(n)", "app.orders"),
    ("gc imported", "import gc\ngc.collect()\nassert not gc.garbage" + LEAK, "app.records"),
    ("strings", "lines = [f'line {n} ' * 10 for n in range(8000)]", "app.lines"),
]  # fmt: skip

PROGRAMS = {name: source for name, source, _ in (*RIGHT, *NONE)}


def run(name: str) -> None:
    import memprobe

    def ask() -> None:
        found = memprobe.capture().suspects().rows
        print(json.dumps([name, found[0].name, found[0].advice] if found else [name, "", ""]), flush=True)
        os._exit(0)

    app = ModuleType("app")
    sys.modules["app"] = app
    exec(WORDS, app.__dict__)
    app.__dict__["ask"] = ask
    exec(compile(PROGRAMS[name], "app.py", "exec"), app.__dict__)
    ask()


def main() -> None:
    import memprobe

    memprobe.capture().suspects()  # what it imports is there before the fork
    for name in PROGRAMS:
        child = os.fork()
        if not child:
            try:
                run(name)
            except BaseException:
                print(json.dumps([name, "did not run", traceback.format_exc()]), flush=True)
            os._exit(1)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
