"""Natural order: numbers in names compare as numbers, img2 before img10."""

import re


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key; the name itself decides between names that differ only in leading zeros."""
    parts = re.split(r"([0-9]+)", name)  # the odd ones are the numbers
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name
