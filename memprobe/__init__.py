"""What a live CPython process holds in memory, how much, and who keeps it alive.

    memprobe.summary()                  the biggest types, now
    memprobe.memory()                   where the process's resident memory is
    memprobe.deep_sizeof(obj)           bytes of everything that an object leads to
    memprobe.referrers(obj)             who holds it, by name
    memprobe.why_alive(obj)             the shortest paths to it, and what would be freed: retained_sizeof(obj)
    memprobe.find_cycles(obj)           reference cycles, and where to cut them
    memprobe.snapshot("heap.snap")      the whole heap to a file; memprobe.load("heap.snap") reads it
    memprobe.show_backrefs(obj)         a picture of what refers to it
    from memprobe import objgraph       objgraph's functions, by this engine
    memprobe.agent.start()              let `memprobe snapshot PID` ask this process

Sizes are bytes; times are seconds unless a name ends in `_ms`. Importing memprobe costs next to nothing: the rest is loaded when
it is first used."""

from memprobe.errors import AttachError, Error, SnapshotError, UnsupportedError

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    import memprobe.agent as agent
    import memprobe.objgraph as objgraph
    from memprobe.analysis import Cycle, Dominated, Path, Paths, find_cycles, retained_sizeof, why_alive
    from memprobe.arenas import Fragmentation, Survivor
    from memprobe.attach import snapshot_process
    from memprobe.balance import Memory, MemoryPart
    from memprobe.heap import Heap, capture, load, memory, snapshot
    from memprobe.leaks import Diff, Suspect, Suspects
    from memprobe.live import (
        count,
        deep_sizeof,
        gc_stats,
        growth,
        is_immortal,
        is_interned,
        pymalloc_stats,
        refcount,
        referrers,
        summary,
    )
    from memprobe.native import Blocks, BlockTable, PossibleHolder, lost
    from memprobe.picture import Picture, show_backrefs, show_chain, show_refs
    from memprobe.results import (
        Accounting,
        Edge,
        GcStats,
        Growth,
        HeapInfo,
        Node,
        PymallocStats,
        RefCount,
        Reference,
        SnapshotInfo,
        TypeTable,
    )
    from memprobe.sharing import Copied, Sharing
    from memprobe.waste import Waste, WasteRow

__version__ = "0.1.0"

# Where each public name lives. A module is loaded when one of its names is first asked for.
_HOMES = {
    "agent": ("agent",),
    "analysis": ("Cycle", "Dominated", "Path", "Paths", "find_cycles", "retained_sizeof", "why_alive"),
    "arenas": ("Fragmentation", "Survivor"),
    "attach": ("snapshot_process",),
    "balance": ("Memory", "MemoryPart"),
    "heap": ("Heap", "capture", "load", "memory", "snapshot"),
    "leaks": ("Diff", "Suspect", "Suspects"),
    "native": ("BlockTable", "Blocks", "PossibleHolder", "lost"),
    "objgraph": ("objgraph",),
    "picture": ("Picture", "show_backrefs", "show_chain", "show_refs"),
    "live": (
        *("count", "deep_sizeof", "gc_stats", "growth", "is_immortal", "is_interned", "pymalloc_stats"),
        *("refcount", "referrers", "summary"),
    ),
    "results": (
        *("Accounting", "Edge", "GcStats", "Growth", "HeapInfo", "Node", "PymallocStats", "RefCount"),
        *("Reference", "SnapshotInfo", "TypeTable"),
    ),
    "sharing": ("Copied", "Sharing"),
    "waste": ("Waste", "WasteRow"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Accounting",
    "AttachError",
    "BlockTable",
    "Blocks",
    "Copied",
    "Cycle",
    "Diff",
    "Dominated",
    "Edge",
    "Error",
    "Fragmentation",
    "GcStats",
    "Growth",
    "Heap",
    "HeapInfo",
    "Memory",
    "MemoryPart",
    "Node",
    "Path",
    "Paths",
    "Picture",
    "PossibleHolder",
    "PymallocStats",
    "RefCount",
    "Reference",
    "Sharing",
    "SnapshotError",
    "SnapshotInfo",
    "Survivor",
    "Suspect",
    "Suspects",
    "TypeTable",
    "UnsupportedError",
    "Waste",
    "WasteRow",
    "__version__",
    "agent",
    "capture",
    "count",
    "deep_sizeof",
    "find_cycles",
    "gc_stats",
    "growth",
    "is_immortal",
    "is_interned",
    "load",
    "lost",
    "memory",
    "objgraph",
    "pymalloc_stats",
    "refcount",
    "referrers",
    "retained_sizeof",
    "show_backrefs",
    "show_chain",
    "show_refs",
    "snapshot",
    "snapshot_process",
    "summary",
    "why_alive",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'memprobe' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"memprobe.{home}")
    value = module if name == home else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
