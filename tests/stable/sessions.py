"""Users log in and out: 800 are always there, each with a basket of three things."""

import random
import time


class Session:
    def __init__(self, user: str) -> None:
        self.user = user
        self.basket = [f"thing {thing} of {user}" for thing in range(3)]


class State:
    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}


class Application:
    def __init__(self) -> None:
        self.state = State()

    def login(self, number: int) -> None:
        user = f"user {number:08}"
        self.state.sessions[user] = Session(user)

    def logout(self, user: str) -> None:
        del self.state.sessions[user]

    def turn(self, number: int, pause: float) -> None:
        sessions = self.state.sessions
        if len(sessions) >= 800:
            self.logout(dice.choice(list(sessions)))
        time.sleep(pause)
        self.login(number)


application = Application()
dice = random.Random(16)
number = 0
while number < 6_000:
    application.turn(number, 0)
    number += 1
print("warm", flush=True)
while True:
    application.turn(number, 0.002)
    number += 1
    time.sleep(0.001)
