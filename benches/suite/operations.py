"""Each hot operation of an optimizer step on one core, as a share of the machine's peak."""

import json
import os
import subprocess

from .sides import say
from .training import SHAPES, setting

TITLE = "Operations of one training step"
ABOUT = """GFLOP/s count matrix products only, with the whole square of attention. GB/s count the least possible reads
and writes. The peaks of the machine are the best square matrix product, and the triad in the last-level cache, which
holds the activations of these shapes. Medians of 7 tries."""
COLUMNS = ["operation", "shape", "ms", "GFLOP/s", "of peak", "GB/s", "of triad"]


def row(line, peaks):
    gflops, gbs = (line[what] / line["seconds"] / 1e9 for what in ("flops", "bytes"))
    products = [f"{gflops:.1f}", f"{gflops / peaks['gemm GFLOP/s']:.0%}"] if line["flops"] else ["", ""]
    return [line["name"], line["shape"], f"{1e3 * line['seconds']:.3f}", *products, f"{gbs:.1f}", f"{gbs / peaks['cache GB/s']:.0%}"]


def run(bench, machine):
    tables = []
    for name, shape in list(SHAPES.items())[:1]:
        say(f"  {name}")
        folder = bench.prepare(f"training {name}", setting(shape))
        found = subprocess.run(
            [bench.ours_program, "operations", folder],
            stdout=subprocess.PIPE,
            check=True,
            env=os.environ | {"RAYON_NUM_THREADS": "1"},
            preexec_fn=lambda: os.sched_setaffinity(0, bench.cores_for(1)),
        )
        lines = json.loads(found.stdout)["operations"]
        tables.append({"title": name, "columns": COLUMNS, "rows": [row(line, machine["peaks"]) for line in lines]})
    return {"title": TITLE, "about": ABOUT, "tables": tables}
