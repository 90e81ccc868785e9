"""A small line chart as SVG: logarithmic axes, one line per side."""

import math
from html import escape

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 40, 50
LINE = 14
"""Least distance between the names of two lines."""
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]


def draw(title, axis, points):
    """`points` gives, for each value on the axis, the rate of each side by its name."""
    names = list(dict.fromkeys(name for rates in points.values() for name in rates))
    values = list(points)
    rates = [rate for found in points.values() for rate in found.values()]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))

    def x(value):
        span = math.log2(values[-1]) - math.log2(values[0])
        return LEFT + (math.log2(value) - math.log2(values[0])) / span * (WIDTH - LEFT - RIGHT)

    def y(rate):
        return HEIGHT - BOTTOM - (math.log10(rate) - low) / max(high - low, 1) * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}, tokens/s</text>',
    ]
    for power in range(low, high + 1):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(10**power):.1f}" y2="{y(10**power):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y(10**power) + 4:.1f}" text-anchor="end">{10**power:,}</text>')
    for value in values:
        out.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(axis)}</text>')
    labels = []
    for name, colour in zip(names, COLOURS):
        line = [(x(value), y(found[name])) for value, found in points.items() if name in found]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in line]
        labels.append((line[-1][1] + 4, line[-1][0] + 8, name, colour))
    lowest = 0
    for down, right, name, colour in sorted(labels):
        lowest = max(down, lowest + LINE)
        out.append(f'<text x="{right:.1f}" y="{lowest:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])
