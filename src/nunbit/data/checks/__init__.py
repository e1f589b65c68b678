"""What is wrong with the pictures, before anything is trained on them.

:func:`scan` opens every picture once and measures it, :func:`check_pictures` judges
what was measured; :func:`fast_findings` does what can be done with the pictures that
are decoded for training. Nothing here writes a file.
"""

from __future__ import annotations

from nunbit.data.checks.duplicates import Duplicates, Group, find_duplicates
from nunbit.data.checks.facts import Facts, facts_of_pixels, scan
from nunbit.data.checks.fast import fast_findings
from nunbit.data.checks.findings import Finding, Findings, printable
from nunbit.data.checks.rules import check_pictures

__all__ = [
    "Duplicates",
    "Facts",
    "Finding",
    "Findings",
    "Group",
    "check_pictures",
    "facts_of_pixels",
    "fast_findings",
    "find_duplicates",
    "printable",
    "scan",
]
