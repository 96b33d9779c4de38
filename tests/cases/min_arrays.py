"""Whole arrays, and no view of any."""

import sys

import numpy as np

results = [np.zeros(100_000) for _ in range(20)]
print("here", flush=True)
sys.stdin.readline()
