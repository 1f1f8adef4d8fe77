"""The report of a benchmark: tidy tables, Markdown and one HTML file."""

from .write import report_files, write_report

__all__ = ["report_files", "write_report"]
