"""An application with two leaks in its state, and much that is small and does not grow."""

import sys


class Session:
    def __init__(self, number: int) -> None:
        self.user = f"user {number}"
        self.basket = [number, self.user]


class State:
    def __init__(self) -> None:
        self.settings = {f"setting {number}": number for number in range(100)}
        self.sessions: dict[int, Session] = {}
        self.audit: list[tuple[int, str]] = []


class Application:
    def __init__(self) -> None:
        self.name = "shop"
        self.state = State()


application = Application()
for turn in range(3):
    for number in range(5_000 * turn, 5_000 * (turn + 1)):
        application.state.sessions[number] = Session(number)
        application.state.audit.append((number, f"session {number} of a user who came from far away and stays"))
        application.state.audit.append((number, f"basket {number} of a user who came from far away and stays"))
    print("here", flush=True)
    sys.stdin.readline()
