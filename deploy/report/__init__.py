"""From a run folder to a page that a person reads."""

from msnoah.deploy.report.page import write_report

__all__ = ["write_report"]
