"""The machine of the figures."""

import json
import os
import platform
import re
import subprocess
from pathlib import Path

INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "neon", "asimd", "sve")


def text_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def describe(bench):
    """Processor, system, versions, commit, and the peaks measured now on the last core."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*: (.*)$", cpu, re.M)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", cpu, re.M)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", proc("meminfo"), re.M)
    changed = text_of(["git", "status", "--porcelain", "--untracked-files=no"])
    peaks = subprocess.run(
        [bench.ours_program, "machine"],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, bench.cores_for(1)),
    )
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cores used": sorted(bench.cores),
        "instruction sets": [name for name in INSTRUCTIONS if flags and name in flags[1].split()],
        "last-level cache": cache(),
        "memory, GiB": round(int(memory[1]) / 2**20, 1) if memory else None,
        "system": f"{platform.system()} {platform.release()}",
        "load before": round(os.getloadavg()[0], 2),
        "rustc": text_of(["rustc", "--version"]),
        "commit": (text_of(["git", "rev-parse", "--short=12", "HEAD"]) or "unknown") + (" and changes" if changed else ""),
        "peaks": json.loads(peaks.stdout),
    }


def proc(name):
    path = Path("/proc") / name
    return path.read_text() if path.exists() else ""


def cache():
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return sizes[-1].read_text().strip() if sizes else None
