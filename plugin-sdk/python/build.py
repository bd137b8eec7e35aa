#!/usr/bin/env python3
"""Builds a plugin: ``build.py <directory> <output.wasm>``.

The directory has a ``plugin.json`` and an ``app.py`` with a class ``WitWorld``. The command
``componentize-py`` has to be beside the interpreter that runs this, or on the PATH.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SDK = Path(__file__).resolve().parent


def main(directory, output):
    manifest = (Path(directory) / "plugin.json").read_bytes()
    wit = os.environ.get("CRM_WIT", SDK.parent / "wit")
    beside = Path(sys.executable).parent / "componentize-py"
    command = beside if beside.exists() else shutil.which("componentize-py")
    if command is None:
        sys.exit("componentize-py is missing: pip install componentize-py==0.25.0")
    with tempfile.TemporaryDirectory() as work:
        component = Path(work) / "component.wasm"
        world = ["-d", wit, "-w", json.loads(manifest)["world"]]
        paths = ["-p", directory, "-p", SDK]
        options = [*paths, "--stub-wasi", "-o", component]
        subprocess.run([command, *world, "componentize", *options, "app"], check=True)
        built = component.read_bytes()
    Path(output).write_bytes(built + section("crm:manifest", manifest))


def section(name, content):
    """A custom section of a WebAssembly binary."""
    named = length(len(name)) + name.encode() + content
    return b"\0" + length(len(named)) + named


def length(number):
    """A number as WebAssembly writes it: LEB128."""
    encoded = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: build.py <directory> <output.wasm>")
    main(*sys.argv[1:])
