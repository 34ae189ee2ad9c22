"""What says that an artifact is whole: a SHA-256 of every part in its provenance, and one of the provenance itself."""

import hashlib
import json
from pathlib import Path

PROVENANCE, CHECKSUM = "provenance.json", "provenance.sha256"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance_checksum(folder: Path) -> str:
    """What the file CHECKSUM of a folder holds: a line for `sha256sum -c`."""
    return f"{sha256(folder / PROVENANCE)}  {PROVENANCE}\n"


def damage(folder: Path) -> str | None:
    """What is wrong with the artifact in this folder, or None. Every bit of its files counts, but of none beside them.

    Artifacts of older versions have no file CHECKSUM, and their provenance does not name it.
    """
    try:
        facts = json.loads((folder / PROVENANCE).read_bytes())
        covered = "checksum" in facts or (folder / CHECKSUM).exists()
        if covered and (folder / CHECKSUM).read_bytes() != provenance_checksum(folder).encode():
            return f"{PROVENANCE} and {CHECKSUM} do not match"
        for name, digest in facts["sha256"].items():
            if sha256(folder / name) != digest:
                return f"{name} does not match its checksum"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None
