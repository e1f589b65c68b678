"""One page of HTML about one training run, to open, print and send on.

Importing this package is cheap; templates and OpenCV load with the first report.
"""

from __future__ import annotations

from nunbit.report.data import MisreadPicture, ReportData
from nunbit.report.render import render_report, write_report

__all__ = ["MisreadPicture", "ReportData", "render_report", "write_report"]
