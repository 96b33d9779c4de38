"""A small web shop: a threaded HTTP server with sessions, a cache, and a leak that was planted for you to find.

    memprobe run examples/service.py --port 8000

GET /login opens a session and answers its number; GET /item?session=S&item=I looks an item up through the cache and remembers it in
the session; GET /logout?session=S closes the session. Sessions that are closed are forgotten. Or are they?"""

from __future__ import annotations

import argparse
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CATALOGUE = 20_000  # items
CACHED = 2_000  # items that the cache keeps


class Item:
    """What the shop sells."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"item {number}"
        self.price = 100 + number % 900
        self.description = f"Item {number}: " + "well made, hardly used. " * 8


class Cache:
    """The items that were asked for last, and no more than `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.items: OrderedDict[int, Item] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, number: int) -> Item:
        with self.lock:
            item = self.items.pop(number, None) or Item(number)
            self.items[number] = item
            while len(self.items) > self.capacity:
                self.items.popitem(last=False)
            return item


class PriceFeed:
    """Tells whoever subscribed that a price has changed."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[int, int], None]] = []

    def subscribe(self, listener: Callable[[int, int], None]) -> None:
        self.listeners.append(listener)

    def unsubscribe(self, listener: Callable[[int, int], None]) -> None:
        self.listeners.remove(listener)


class Session:
    """A visitor: what they looked at, and what it cost when they did."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: list[str] = []
        self.prices: dict[int, int] = {}

    def look_at(self, item: Item) -> None:
        self.seen.append(f"session {self.number} saw {item.name}")
        self.prices[item.number] = item.price

    def price_changed(self, item: int, price: int) -> None:
        if item in self.prices:
            self.prices[item] = price


class Shop:
    """What all requests share."""

    def __init__(self) -> None:
        self.cache = Cache(CACHED)
        self.feed = PriceFeed()
        self.sessions: dict[int, Session] = {}
        self.numbers = itertools.count(1)

    def login(self) -> int:
        session = Session(next(self.numbers))
        self.sessions[session.number] = session
        self.feed.subscribe(session.price_changed)
        return session.number

    def item(self, session: int, number: int) -> str:
        item = self.cache.get(number % CATALOGUE)
        self.sessions[session].look_at(item)
        return item.description

    def logout(self, session: int) -> None:
        del self.sessions[session]  # the leak: nobody tells the feed


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        given = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
        try:
            if url.path == "/login":
                self.answer(200, str(shop.login()))
            elif url.path == "/item":
                self.answer(200, shop.item(given["session"], given["item"]))
            elif url.path == "/logout":
                shop.logout(given["session"])
                self.answer(200, "bye")
            else:
                self.answer(404, "no such page")
        except KeyError:
            self.answer(400, "no such session, or a parameter is missing")

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quietly."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


shop = Shop()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="0 for any that is free")
    server = Server(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"serving on 127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
