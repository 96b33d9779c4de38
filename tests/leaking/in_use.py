"""Run a leaking program of tests/zoo while functions use what leaks: python in_use.py NAME SEED MOMENTS FOLDER.

The program leaks a round, a snapshot goes to FOLDER/NAME.SEED.1.snap, and so on. At each moment a coin says what runs: nothing of
the kind, or a function that has the culprit in a local variable, a method whose `self` is its owner, a generator, a thread."""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import memprobe

sys.path.append(str(Path(__file__).parents[1] / "zoo"))

EACH = "for number in range(first, first + {}): "

# A round of the leak, and what a function that uses it has: the container, and the object whose method it could be. All run in the
# module's own namespace; `first` is 10,000 more each round.
ROUNDS = {
    "at_exit": (EACH.format(2_000) + "Connection(number).close", "Connection", "Connection"),
    "bound_methods": (EACH.format(2_000) + "Animation(number)", "timer.callbacks", "timer"),
    "buffer_views": (EACH.format(500) + "columns['price'].append(read_block(number)[0:8])", "columns['price']", "columns"),
    "c_references": (EACH.format(2_000) + "grab(number)", "Frame", "Frame"),
    "callback_closures": (EACH.format(2_000) + "handle(number)", "on_shutdown", "on_shutdown"),
    "class_registry": (EACH.format(3_000) + "Widget(f'button-{number}')", "Widget.instances", "Widget"),
    "closure_cell": (EACH.format(4_000) + "translate(number)", "translate.__closure__[0].cell_contents", "translate"),
    "context_variable": (EACH.format(4_000) + "step(number)", "trail.get()", "trail"),
    "cycles_gc_off": (EACH.format(200) + "parse()", "Element", "Element"),
    "default_argument": (EACH.format(4_000) + "record(number)", "record.__defaults__[0]", "record"),
    "event_subscribers": (EACH.format(3_000) + "Invoice(number)", "paid.receivers", "paid"),
    "gc_garbage": (EACH.format(3_000) + "Connection()\ngc.collect()", "gc.garbage", "gc.garbage"),
    "growing_deque": ("measure(first)", "measured", "measured"),
    "interned_strings": (EACH.format(3_000) + "tokenize(f'user_{number}_name user_{number}_mail get')", "seen", "seen"),
    "kept_exception": (
        "try: load([f'name{i},{i},{i * 7}' for i in range(2_000)] + ['broken,x,y'])\n"
        "except ValueError as problem: problem.__context__, last_failure = last_failure, problem",
        "last_failure",
        "last_failure",
    ),
    "local_backlog": ("go.put(1)\ndone.get()", "consume", "consume"),
    "logging_handler": (
        EACH.format(2_000) + "log.info('order %d shipped to %s', number, f'street {number}')",
        "buffered.buffer",
        "buffered",
    ),
    "lru_method": (EACH.format(2_000) + "Report(number).total()", "Report.total", "Report"),
    "module_cache": (EACH.format(3_000) + "render('/report', number)", "responses", "responses"),
    "open_generators": (EACH.format(1_500) + "search(number)", "streams", "streams"),
    "pending_tasks": (
        EACH.format(1_000) + "background.add(asyncio.create_task(notify(number, asyncio.Event())))",
        "background",
        "background",
    ),
    "queue_backlog": ("produce(first)\nconsume(1_000)", "jobs.queue", "jobs"),
    "session_state": ("serve(first)", "application.state.sessions", "application.state"),
    "settings_dict": ("run(first)", "STATE['audit']", "STATE"),
    "thread_local": (
        EACH.format(4_000) + "session.journal.append({'job': number, 'result': str(number * number)})",
        "session.journal",
        "session",
    ),
    "two_indexes": (
        EACH.format(3_000) + "customer = Customer(number); by_number[number] = by_name[customer.name] = customer",
        "by_number",
        "by_name",
    ),
    "weak_cycle": (
        EACH.format(2_000) + "document = Document(f'page {number}'); metadata[document] = Metadata(document)",
        "metadata",
        "metadata",
    ),
}
# What the program does before, or instead of what tests/zoo has it do at one go.
BEFORE = {
    "context_variable": "trail.set([])",
    "cycles_gc_off": "gc.disable()",
    "gc_garbage": "gc.set_debug(gc.DEBUG_SAVEALL)",
    "local_backlog": (
        "import queue\n"
        "def consume(go, done):\n"
        "    undelivered = []\n"
        "    while go.get():\n"
        "        undelivered += [{'number': number, 'text': f'message {number}'} for number in range(4_000)]\n"
        "        done.put(1)\n"
        "go, done = queue.Queue(), queue.Queue()\n"
        "threading.Thread(target=consume, args=(go, done), daemon=True).start()"
    ),
    "thread_local": "session.journal = []",
}


# ---- what runs at a moment -----------------------------------------------------------------------------------------------------


def nothing(culprit: object, owner: object, then: Callable[[], None]) -> None:
    del culprit, owner
    then()


def function(culprit: object, owner: object, then: Callable[[], None]) -> None:
    del owner
    then()


def method(culprit: object, self: object, then: Callable[[], None]) -> None:
    del culprit
    then()


def generator(culprit: object, owner: object, then: Callable[[], None]) -> None:
    del owner

    def rows(cache: object) -> Iterator[None]:
        yield None
        then()
        yield None

    running = rows(culprit)
    del culprit
    next(running)
    next(running)


def thread(culprit: object, owner: object, then: Callable[[], None]) -> None:
    ready, done = threading.Event(), threading.Event()

    def work(cache: object, self: object) -> None:
        ready.set()
        done.wait()

    worker = threading.Thread(target=work, args=(culprit, owner))
    worker.start()
    ready.wait()
    del culprit, owner
    then()
    done.set()
    worker.join()


USES = (nothing, function, method, generator, thread)


def main(name: str, seed: int, moments: int, folder: Path) -> None:
    dice = random.Random(f"{name} {seed}")
    space = vars(importlib.import_module(name))
    round_of_leak, culprit, owner = ROUNDS[name]
    code = compile(round_of_leak, f"{name}.py", "exec")
    exec(BEFORE.get(name, ""), space)

    def moment(index: int) -> None:
        space["first"] = 10_000 * (index + 1)
        exec(code, space)
        for left in ("number", "customer", "document"):
            space.pop(left, None)
        use = dice.choice(USES)
        path = folder / f"{name}.{seed}.{index + 1}.snap"
        use(eval(culprit, space), eval(owner, space), lambda: memprobe.snapshot(path) and None)
        print(use.__name__, flush=True)

    async def all_moments() -> None:
        for index in range(moments):
            await asyncio.sleep(0)
            moment(index)
        for task in space["background"]:
            task.cancel()

    if name == "pending_tasks":
        asyncio.run(all_moments())
    else:
        for index in range(moments):
            moment(index)
    sys.stdout.flush()
    os._exit(0)  # what leaks is of no more use: threads that wait, functions at exit


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
