"""How good and how fast `hypertax identify` is: `python -m benchmarks.identify real|simulated|large`."""
