"""The start-up hook: with MEMPROBE_AGENT=1 in the environment every Python process has the agent, without a change to any program.

Python runs this at every start (memprobe-heap.pth; from 3.15 on memprobe-heap.start), so it imports nothing unless it is asked to.
MEMPROBE_RSS_LIMIT, MEMPROBE_EVERY, MEMPROBE_SIGNAL, MEMPROBE_DIRECTORY and MEMPROBE_KEEP are the arguments of
memprobe.agent.start."""

import os
import sys

started = False


def start() -> None:
    """Start the agent if the environment says so; a program that cannot have it runs all the same, and is told."""
    global started
    if started or os.environ.get("MEMPROBE_AGENT", "").lower() not in ("1", "on", "yes"):
        return
    started = True  # a virtual environment may have us run twice
    try:
        from memprobe import _core, agent

        if _core.is_main_interpreter():
            agent.start_from(os.environ)
    except Exception as problem:
        print(f"memprobe: no agent in process {os.getpid()}: {problem}", file=sys.stderr)
