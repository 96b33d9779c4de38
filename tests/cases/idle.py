"""Nothing happens."""

import asyncio  # noqa: F401
import json  # noqa: F401
import logging  # noqa: F401
import time

print("here", flush=True)
while True:
    time.sleep(0.01)
