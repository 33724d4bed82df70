"""From run folders to pages that a person reads."""

from msnoah.deploy.report.page import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
