"""One array, used and named."""

import sys

import numpy as np

grid = np.zeros(2_000_000)
print("here", flush=True)
sys.stdin.readline()
