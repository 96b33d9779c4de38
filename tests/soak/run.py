"""A soak: CPython's own tests, with captures and snapshots of the heap beside them all the time. What fails there and not without
is a fault of memprobe's; and so is a crash. `run.py [MODULE ...]`, by default those of MODULES."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BESIDE = Path(__file__).with_name("beside.py")
TIMEOUT = 300
AGAIN = 2  # times that what failed is tried without captures: some tests fail now and then by themselves

# Of all kinds of objects, and of what makes and drops them; none that counts threads, or needs time to be what it says.
MODULES = (
    *("test_dict", "test_list", "test_set", "test_tuple", "test_bytes", "test_array", "test_deque", "test_ordered_dict"),
    *("test_collections", "test_weakref", "test_weakset", "test_descr", "test_class", "test_generators", "test_coroutines"),
    *("test_asyncgen", "test_contextlib", "test_itertools", "test_functools", "test_memoryview", "test_struct", "test_json"),
    *(
        "test_pickle",
        "test_copy",
        "test_re",
        "test_decimal",
        "test_datetime",
        "test_io",
        "test_zlib",
        "test_sqlite3",
        "test_ctypes",
    ),
    *("test_xml_etree", "test_traceback", "test_inspect", "test_typing", "test_enum", "test_dataclasses", "test_exceptions"),
    *(
        "test_frame",
        "test_code",
        "test_ast",
        "test_compile",
        "test_super",
        "test_types",
        "test_module",
        "test_queue",
        "test_context",
    ),
    *(
        "test_heapq",
        "test_bisect",
        "test_range",
        "test_slice",
        "test_int",
        "test_float",
        "test_complex",
        "test_string",
        "test_copyreg",
    ),
    *("test_iter", "test_enumerate", "test_property", "test_abc", "test_genericalias", "test_patma", "test_richcmp", "test_scope"),
)


def run(module: str, *captures: str) -> tuple[dict[str, str], int] | str:
    """How each test ended, and how many captures there were; or what became of the process."""
    try:
        done = subprocess.run(
            [sys.executable, str(BESIDE), module, *captures], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {TIMEOUT} s"
    if done.returncode != 0:
        return f"exit code {done.returncode}: {done.stderr.strip()[-500:]}"
    said = json.loads(done.stdout.splitlines()[-1])
    return (said["ends"], said["captures"]) if said["thread"] else f"the thread ended: {done.stderr.strip()[-500:]}"


def is_there(module: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import test.{module}"], capture_output=True, check=False).returncode == 0


def soak(module: str) -> tuple[int, int, int, list[str]]:
    """Tests, captures beside them, tests that fail without them, too, and what fails only beside them."""
    beside = run(module, "captures")
    if isinstance(beside, str):
        alone = run(module)
        return 0, 0, int(isinstance(alone, str)), [] if isinstance(alone, str) else [f"{module}: {beside}"]
    ends, captures = beside
    bad = {test for test, end in ends.items() if end != "ok"}
    new = set(bad)
    for _ in range(AGAIN):
        alone = run(module) if new else ({}, 0)
        new -= set() if isinstance(alone, str) else {test for test, end in alone[0].items() if end != "ok"}
    return len(ends), captures, len(bad - new), [f"{test}: {ends[test]}" for test in sorted(new)]


def main(modules: tuple[str, ...]) -> int:
    passed = failed = skipped = captures = 0
    for module in modules:
        if not is_there(module):
            print(f"{module}: not in this Python")
            skipped += 1
            continue
        tests, beside, anyway, new = soak(module)
        print(
            f"{module}: {tests:,} tests, {beside:,} captures, {anyway} that fail without them, too; {len(new)} failed",
            *new,
            sep="\n    ",
        )
        sys.stdout.flush()
        passed, failed, skipped, captures = (
            passed + tests - anyway - len(new),
            failed + len(new),
            skipped + anyway,
            captures + beside,
        )
    print(f"{captures:,} captures")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed > 0


if __name__ == "__main__":
    raise SystemExit(main(tuple(sys.argv[1:]) or MODULES))
