"""The parts of the benchmark suite, and what they share. `benches/compare.py` is the program."""
