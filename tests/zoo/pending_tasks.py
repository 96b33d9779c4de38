"""Background tasks wait for an answer that never comes; a set keeps them from being collected."""

import asyncio
from collections.abc import Callable

background: set[asyncio.Task[None]] = set()


async def notify(user: int, answer: asyncio.Event) -> None:
    message = {"user": user, "text": f"hello {user}", "tries": [user]}
    await answer.wait()
    print(message)


async def serve(checkpoint: Callable[[], None]) -> None:
    for user in range(3_000):
        background.add(asyncio.create_task(notify(user, asyncio.Event())))
    await asyncio.sleep(0)
    checkpoint()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


def main(checkpoint: Callable[[], None]) -> None:
    asyncio.run(serve(checkpoint))
