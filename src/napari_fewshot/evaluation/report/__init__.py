"""The report of a benchmark: tidy tables, Markdown and one HTML file."""

from .write import write_report

__all__ = ["write_report"]
