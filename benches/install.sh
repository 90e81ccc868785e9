#!/bin/sh
# Installs the peers' packages into benches/.venv. llama.cpp is compiled for this machine, which takes a C++ compiler
# and some ten minutes of processor time. PYTHON names the interpreter to use (3.11 or later).
set -eu
cd "$(dirname "$0")"

"${PYTHON:-python3}" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

# PyTorch's own index has a build without CUDA, a tenth of the size; PyPI's computes the same on the processor.
torch=$(grep '^torch==' requirements.txt)
pip install --timeout 20 --retries 1 --index-url https://download.pytorch.org/whl/cpu "$torch" || pip install "$torch"

# Without the parts of llama.cpp for images.
CMAKE_ARGS="${CMAKE_ARGS:-} -DLLAVA_BUILD=OFF" pip install -r requirements.txt
