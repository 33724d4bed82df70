"""All that is said of a graph and an NPU: the rules' findings, an estimate of latency, a conversion."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnoah.deploy.converters.conversion import LIMIT_S, NO_COMMAND, convert_graph, describe_command
from msnoah.deploy.npu.compatibility import Compatibility, check_graph
from msnoah.deploy.npu.compatibility_table import compatibility_table
from msnoah.deploy.npu.facts import GraphFacts
from msnoah.deploy.npu.rules import Target
from msnoah.deploy.roofline import Estimates, estimate_latency
from msnoah.errors import CompatibilityError, MsnoahError


@dataclass(frozen=True)
class TargetCheck:
    """`command` is what would convert; `conversion` the record of one that ran, `failure` what became of it instead."""

    compatibility: Compatibility
    estimates: Estimates
    command: str
    conversion: dict[str, Any] | None = None
    failure: MsnoahError | None = None

    def to_record(self) -> dict[str, Any]:
        """As JSON has it; `estimates` hold no measurement."""
        failure = str(self.failure) if self.failure else None
        return {
            **self.compatibility.to_record(), "latency_estimates": self.estimates.model_dump(mode="json"),
            "convert_command": self.command, "conversion": self.conversion, "conversion_failure": failure,
        }

    def text(self) -> str:
        """The table, the estimate, the command or its outcome."""
        parts = [compatibility_table(self.compatibility), self.estimates.text(), f"  {self._conversion_text()}"]
        return "\n".join(parts)

    def _conversion_text(self) -> str:
        if self.failure:
            return f"conversion failed: {self.failure}"
        if not self.conversion:
            return self.command if self.command.startswith(NO_COMMAND) else f"convert with: {self.command}"
        complaint = self.conversion["complaint"]
        text = f"converted: {', '.join(self.conversion['files'])}"
        return f"{text}; but its log says: {complaint}" if complaint else text


def check_target(
    facts: GraphFacts, target: Target, folder: Path, *, device: str | None = None, convert: bool = False,
    limit_s: float = LIMIT_S,
) -> TargetCheck:
    """Holds a graph against a target; with `convert`, the maker's converter writes into the folder within `limit_s`.

    What becomes of a conversion is in the result, so that the findings are told in any case.
    """
    conversion, failure = None, None
    if convert:
        try:
            conversion = convert_graph(facts, target, folder, device, limit_s)
        except MsnoahError as error:
            failure = error
    return TargetCheck(
        check_graph(facts, target), estimate_latency(facts, target), describe_command(facts, target, folder, device),
        conversion, failure)


def raise_failures(checks: list[TargetCheck]) -> None:
    """Raises the first failure of a conversion, else CompatibilityError where a target does not support something."""
    if failure := next((check.failure for check in checks if check.failure), None):
        raise failure
    results = [check.compatibility for check in checks]
    refused = [f"{result.target}: {', '.join(result.refused())}" for result in results if result.refused()]
    if refused:
        raise CompatibilityError(f"not supported on {'; '.join(refused)}")
