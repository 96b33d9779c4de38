"""One exception object that is raised again and again: its traceback grows by every frame that it passes, two a time. It says where
the body of the first view is."""

import sys


class Denied(Exception):
    pass


DENIED = Denied("no")
bodies: list[int] = []


def view() -> None:
    body = bytearray(2_000)
    if not bodies:
        bodies.append(id(body))
    raise DENIED


def dispatch() -> None:
    try:  # noqa: SIM105
        view()
    except Denied:
        pass


for _ in range(3):
    for _ in range(1_000):
        dispatch()
    print(hex(bodies[0]), flush=True)
    sys.stdin.readline()
