"""Computes rewards of the official RISE code on random solutions and attempts.

    python rise_compat.py CHECKOUT > rise_compat.json

CHECKOUT is a folder with github.com/cmu-mind/RISE at commit 4a2806e53546f04586177b8396b59a19840c0240,
of which only `environments/` is used. Inputs are random, from small alphabets and a fixed seed, and
contain nothing of any data set. Empty packages replace imports that grading does not need. A pair
that stops the official code with an error (an integer beyond all floats) is left out. Made with
Python 3.11.
"""

import contextlib
import io
import json
import random
import sys
import types

INTEGERS = ["0", "5", "18", "-18", "+18", "007", "1,080", "2125", "2,125", "1_8", "_1", "1__8", " 18 ", "\u0663", "18\n"]
NUMBERS = INTEGERS + ["18.0", "1e3", "$18", "\\$18", "18 eggs", "36/2", "", "x", "- 5", "\u00a05", "\u22125", "9" * 30]
PIECES = [
    "1", "2", "3", "12", "x", "k", "=", "/", ".", ",", " ", "-", "+", "(", ")", "\n", "0.5", ".5", "0", "{", "}", "{,}",
    "\\frac", "\\dfrac", "\\tfrac", "\\sqrt", "\\left", "\\right", "\\!", "\\\\", "\\$", "\\%", "^\\circ", "^{\\circ}",
    "\\text{ cm}", "\\text{cm}", "{1}", "{2}", "{\\sqrt{3}}", "\\pi", "boxed{", "\\boxed{",
]
PAIRS = [
    ("1/2", "\\frac12"), ("0.5", "\\frac{1}{2}"), (".5", "1/2"), ("5\\text{ cm}", "5"), ("50\\%", "50"), ("(1,2)", "(1, 2)"),
    ("90^\\circ", "90"), ("x = 5", "5"), ("\\sqrt3", "\\sqrt{3}"), ("\\dfrac{1}{2}", "\\tfrac{1}{2}"), ("5", "5.0"),
    ("10,000", "10000"), ("10{,}000", "10,000"), ("0.25", "\\frac{1}{4}"), ("-\\frac{1}{2}", "\\frac{-1}{2}"),
    ("\\text{A}", "A"), ("5\\text{cm}", "5"), ("x^2+1", "1+x^2"), ("\\frac{\\sqrt{3}}{2}", "\\frac{\\sqrt{3}}{5}"),
    ("-1/2", "\\frac{-1}{2}"), ("1/-2", "\\frac{1}{-2}"), ("01/2", "\\frac{1}{2}"), ("5\\text{ a}\\text{ b}", "5"),
    ("2\\sqrt", "2 \\sqrt"), ("2\\frac", "2 \\frac"), ("\\sqrt", "\\sqrt"), ("\\frac1", "\\frac1"), ("", ""), (" ", ""),
]


def load(checkout):
    """The two environments, without their data."""
    for name in ["gym", "numpy", "pandas"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["gym"].Env = object
    sys.path.insert(0, checkout)
    from environments.gsm8k import GSM8KEnv
    from environments.math import MATHEnv

    return GSM8KEnv.__new__(GSM8KEnv), MATHEnv.__new__(MATHEnv)


def gsm8k(draw, environment):
    """Solutions that end with `####` and attempts with one or more boxes."""
    for _ in range(600):
        number = draw.choice(INTEGERS + ["2.5", "18.0"])
        solution = draw.choice(["", "so\n", "# "]) + "####" + draw.choice(["", " ", "\n"]) + number
        box = lambda: (
            draw.choice(["\\boxed{", "\\boxed{", "boxed{", "\\fbox{", "\\boxed {"])
            + draw.choice([number, draw.choice(NUMBERS)])
            + draw.choice(["}", "}", "}", "", "}}"])
        )
        attempt = draw.choice(["", "so ", "#### 18 "]) + " and ".join(box() for _ in range(draw.choice([1, 1, 1, 2, 3])))
        environment.current_data = {"answer": solution}
        try:
            reward = environment.evaluate_response(attempt)[0]
        except (TypeError, OverflowError):
            continue
        yield solution, attempt, reward


def math(draw, environment):
    """Boxes of LaTeX: known pairs, the same text altered, and random ones."""
    pieces = lambda most: [draw.choice(PIECES) for _ in range(draw.randint(1, most))]
    text = lambda most: "".join(pieces(most))
    contents = PAIRS + [(b, a) for a, b in PAIRS]
    for _ in range(250):
        one = pieces(6)
        other = one.copy()
        other[draw.randrange(len(other))] = draw.choice(PIECES)
        contents.append(("".join(one), "".join(other)))
        around = draw.choice([" ", "\\!", "\\left"]), draw.choice(["", " ", "\\%", "^\\circ"])
        contents.append(("".join(one), "".join(one).join(around)))
    pairs = [("so $\\boxed{%s}$." % one, "\\boxed{%s}" % other) for one, other in contents]
    pairs += [(text(8), text(8)) for _ in range(150)]
    for solution, attempt in pairs:
        environment.answer = solution
        with contextlib.redirect_stdout(io.StringIO()):
            reward = environment.evaluate_response(attempt)[0]
        yield solution, attempt, reward


def main():
    environments = load(sys.argv[1])
    draw = random.Random(0)
    golden = {"gsm8k": list(gsm8k(draw, environments[0])), "math": list(math(draw, environments[1]))}
    lines = [json.dumps(name) + ": [\n" + ",\n".join(map(json.dumps, cases)) + "\n]" for name, cases in golden.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


main()
