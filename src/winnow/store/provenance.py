"""With what code a result is made, and when: what stands beside every artifact, figure and table."""

import functools
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """With what code a result is made, and when."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_commit(),
        "python": platform.python_version(),
        "packages": dict(_versions()),
    }


@functools.cache
def _versions() -> dict[str, str]:
    """Of the packages, which are looked for on the whole path of modules: once a process, not once an artifact."""
    packages = ("torch", "torchvision", "pytorch-lightning", "numpy", "scikit-learn")
    return {name: metadata.version(name) for name in packages}


@functools.cache
def git_commit() -> str | None:
    """The commit of the code, `-dirty` where files were changed; None of a copy that is installed, wherever that is."""

    def git(*arguments: str) -> str:
        folder = Path(__file__).parent
        done = subprocess.run(("git", *arguments), cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # an environment may lie in another project's checkout
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
