"""Sessions of users who never log out, deep in the state of the application; other data comes and goes."""

from collections.abc import Callable


class Session:
    def __init__(self, user: str) -> None:
        self.user = user
        self.basket = [user, 0]


class State:
    def __init__(self) -> None:
        self.settings = {"theme": "dark"}
        self.sessions: dict[str, Session] = {}
        self.recent: list[list[str]] = []


class Application:
    def __init__(self) -> None:
        self.state = State()


application = Application()


def serve(start: int) -> None:
    state = application.state
    state.recent = [[str(start + i)] for i in range(3_000)]
    for number in range(start, start + 4_000):
        user = f"user{number}"
        state.sessions[user] = Session(user)


def main(checkpoint: Callable[[], None]) -> None:
    for start in (0, 10_000, 20_000):
        serve(start)
        checkpoint()
