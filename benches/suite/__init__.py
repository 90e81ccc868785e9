"""The parts of the benchmark suite and their shared code. `benches/compare.py` is the program."""
