"""An asyncio service: 150 clients, each with one request in flight, and 20 workers that are always at one."""

import asyncio

Jobs = asyncio.Queue[tuple["Request", "asyncio.Future[str]"]]
served = 0


class Request:
    def __init__(self, client: int) -> None:
        self.client = client
        self.lines = [f"line {line} of {client:06}" for line in range(4)]


async def worker(jobs: Jobs, pause: float) -> None:
    while True:
        request, answer = await jobs.get()
        await asyncio.sleep(pause)
        answer.set_result(request.lines[0])


async def client(number: int, jobs: Jobs) -> None:
    global served
    while True:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await jobs.put((Request(number), answer))
        await answer
        served += 1


async def main() -> None:
    jobs: Jobs = asyncio.Queue(maxsize=200)
    workers = [asyncio.create_task(worker(jobs, 0.01)) for _ in range(20)]
    clients = [asyncio.create_task(client(number, jobs)) for number in range(150)]
    while served < 1_000:
        await asyncio.sleep(0.01)
    print("warm", flush=True)
    await asyncio.gather(*workers, *clients)


asyncio.run(main())
