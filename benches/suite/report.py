"""Writes results: JSON with every measurement, Markdown with medians and ratios, and a chart per series."""

import json

from . import chart


def write(folder, name, results):
    """Writes `name.json`, `name.md` and the charts; returns the path of the Markdown."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    for part in results["parts"].values():
        for series in part.get("series", []):
            picture = chart.draw(series["title"], series["axis"], series["points"])
            (folder / chart_name(name, series)).write_text(picture)
    path = folder / f"{name}.md"
    path.write_text(markdown(name, results))
    return path


def chart_name(name, series):
    return f"{name}-{series['title'].lower().replace(' ', '-')}.svg"


def markdown(name, results):
    machine, peaks = results["machine"], results["machine"]["peaks"]
    lines = [
        f"# Measured on {results['date']}",
        "",
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['instruction sets'])}), last-level cache"
        f" {machine['last-level cache']}, {machine['memory, GiB']} GiB, {machine['system']}, {machine['rustc']}; commit"
        f" {machine['commit']}; load before {machine['load before']}. Peaks of one core: {peaks['gemm GFLOP/s']:.1f}"
        f" GFLOP/s in f32 products, {peaks['memory GB/s']:.1f} GB/s from memory and {peaks['cache GB/s']:.1f} GB/s from"
        " the last-level cache (triad).",
        "",
        f"Medians of {results['pairs']} rounds in which all sides work in turn; the ratio is rise-lab's rate to the"
        " other's within a round, with its least and greatest value. Above 1, rise-lab is faster.",
    ]
    for part in results["parts"].values():
        lines += ["", f"## {part['title']}", "", *part_lines(name, part)]
    if results["left out"]:
        lines += ["", "## Left out", "", *(f"- {what}" for what in results["left out"])]
    return "\n".join(lines) + "\n"


def part_lines(name, part):
    lines = [part["about"], ""] if part["about"] else []
    for record in part.get("comparisons", []):
        lines += [f"**{record['setting']}**", "", *comparison(record), ""]
    for series in part.get("series", []):
        names = list(dict.fromkeys(side for rates in series["points"].values() for side in rates))
        rows = [[value, *(number(rates.get(side)) for side in names)] for value, rates in series["points"].items()]
        if len(names) == 2:
            for row, rates in zip(rows, series["points"].values()):
                row.append(f"{rates[names[0]] / rates[names[1]]:.2f}")
        columns = [series["axis"], *names, *(["ratio"] if len(names) == 2 else [])]
        lines += [f"**{series['title']}**", "", *table(columns, rows), ""]
        lines += [f"![{series['title']}]({chart_name(name, series)})", ""]
    for found in part.get("tables", []):
        lines += [f"**{found['title']}**", "", *table(found["columns"], found["rows"]), ""]
    return lines[:-1]


def comparison(record):
    columns = ["", "tokens/s", "ratio", "spread"]
    sides = record["sides"]
    shares = "share of peak" in sides[0]
    same = record["check"].get("same")
    columns += ["GFLOP/s", "of peak", "causal"] if shares else []
    columns += ["same"] if same else []
    columns += ["ratio by processor time", "version", "kept"]
    rows = []
    for side in sides:
        ratio, cpu = side.get("ratio"), side.get("ratio by processor time")
        row = [side["name"], number(side["median"])]
        row += [f"**{ratio['median']:.2f}**", f"{ratio['min']:.2f} to {ratio['max']:.2f}"] if ratio else ["", ""]
        if shares:
            row += [f"{side['GFLOP/s']:.1f}", f"{side['share of peak']:.0%}", f"{side['share of peak, causal']:.0%}"]
        row += [f"{same[side['name']]:.1%}"] if same else []
        rows.append([*row, f"{cpu['median']:.2f}" if cpu else "", side["version"], side.get("variant", "")])
    return table(columns, rows)


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def number(value):
    return "" if value is None else f"{value:,.0f}"
