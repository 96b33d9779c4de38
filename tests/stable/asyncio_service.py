"""An asyncio service: 150 clients, each with one request in flight, through a queue of bounded length."""

import asyncio
import random

dice = random.Random(6)
served = 0


class Request:
    def __init__(self, client: int) -> None:
        self.client = client
        self.lines = [f"line {line} of {client:06}" for line in range(4)]


async def backend(jobs: "asyncio.Queue[tuple[Request, asyncio.Future[str]]]") -> None:
    while True:
        request, answer = await jobs.get()
        await asyncio.sleep(0.001)
        answer.set_result(request.lines[0])


async def client(number: int, jobs: "asyncio.Queue[tuple[Request, asyncio.Future[str]]]", pause: float) -> None:
    global served
    while True:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await jobs.put((Request(number), answer))
        await answer
        served += 1
        await asyncio.sleep(pause * dice.random())


async def main() -> None:
    jobs: asyncio.Queue[tuple[Request, asyncio.Future[str]]] = asyncio.Queue(maxsize=200)
    workers = [asyncio.create_task(backend(jobs)) for _ in range(20)]
    clients = [asyncio.create_task(client(number, jobs, 0.02)) for number in range(150)]
    while served < 2_000:
        await asyncio.sleep(0.01)
    print("warm", flush=True)
    await asyncio.gather(*workers, *clients)


asyncio.run(main())
