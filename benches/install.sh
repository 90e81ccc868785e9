#!/bin/sh
# Installs the peers' packages into benches/.venv, and compiles llama.cpp for this machine: that needs a C++ compiler
# and about ten minutes of processor time. PYTHON names the interpreter (3.11 or later).
set -eu
cd "$(dirname "$0")"

"${PYTHON:-python3}" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

# PyTorch's index has a build without CUDA, a tenth of the size. PyPI's build computes the same on the CPU.
torch=$(grep '^torch==' requirements.txt)
pip install --timeout 20 --retries 1 --index-url https://download.pytorch.org/whl/cpu "$torch" || pip install "$torch"

# The peers need no image support of llama.cpp.
CMAKE_ARGS="${CMAKE_ARGS:-} -DLLAVA_BUILD=OFF" pip install -r requirements.txt
