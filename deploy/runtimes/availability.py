"""Which runtimes are here, found by importing each in a process of its own, and how to get what is missing."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel, ConfigDict

from msnoah.deploy.device import available_cores
from msnoah.deploy.runtimes.base import Runtime
from msnoah.deploy.runtimes.requirement import EnvironmentRequirement, Requirement
from msnoah.deploy.runtimes.table import RUNTIMES, find_runtime
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import MsnoahError
from msnoah.text_table import align_table

IMPORT_LIMIT_S = 120.0  # MindSpore's first import from a cold disk takes most of a minute
HEADING = ("runtime", "runs", "operator times")


class PackageState(BaseModel):
    """A package that a runtime needs: its version, or the problem with it, on one line; `command` gets it."""

    model_config = ConfigDict(frozen=True)

    package: str
    version: str | None
    problem: str | None
    command: str


class RuntimeState(BaseModel):
    """What a runtime is for, which artifacts it runs, whether it gives operator times, what there is of it."""

    model_config = ConfigDict(frozen=True)

    runtime: str
    kinds: tuple[str, ...]
    purpose: str
    thread_control: str
    operator_times: bool
    packages: tuple[PackageState, ...]

    @property
    def problems(self) -> list[str]:
        """Of each package that keeps the runtime from running, what is wrong, on one line."""
        return [state.problem for state in self.packages if state.problem]


def check_runtimes(names: Sequence[str] = ()) -> list[RuntimeState]:
    """The states of some runtimes, or of all; as many at once as there are cores, each import in its own process.

    Raises:
        RuntimeUnavailableError: an unknown name; says the nearest.
    """
    chosen = [find_runtime(name) for name in names] or list(RUNTIMES.values())
    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(check_runtime, chosen))


def check_runtime(runtime: Runtime) -> RuntimeState:
    """The state of one runtime; a package whose import fails, hangs or crashes is a problem in words."""
    return RuntimeState(
        runtime=runtime.name, kinds=tuple(runtime.kinds), purpose=runtime.purpose,
        thread_control=runtime.thread_control, operator_times=runtime.operator_times,
        packages=tuple(_check_package(runtime.name, requirement) for requirement in runtime.requirements))


def _check_package(runtime: str, requirement: Requirement | EnvironmentRequirement) -> PackageState:
    version, problem = None, None
    try:
        version = _imported_version(runtime, requirement) if requirement.module else requirement.installed_version()
    except MsnoahError as error:
        told, package = str(error), requirement.package
        problem = told if told.startswith(package) else f"{package} cannot be imported: {told}"
    return PackageState(
        package=requirement.package, version=version, problem=problem, command=requirement.command)


def _imported_version(runtime: str, requirement: Requirement | EnvironmentRequirement) -> str:
    with WorkerProcess(limit_s=IMPORT_LIMIT_S) as worker:
        return worker.import_package(runtime, requirement.package)


def availability_table(states: Sequence[RuntimeState]) -> str:
    """A line for each runtime, what each is for, then the problems, each with what mends it."""
    facts = align_table([HEADING, *map(_facts, states)])
    lines = [f"{line}  {found}" for line, found in zip(facts, ["packages", *map(_packages, states)], strict=True)]
    notes = [f"{state.runtime}: {state.purpose}; threads: {state.thread_control}" for state in states]
    problems = [f"{state.runtime}: {problem}" for state in states for problem in state.problems]
    return "\n".join([*lines, "", *notes, *([""] if problems else []), *problems])


def _facts(state: RuntimeState) -> tuple[str, ...]:
    return state.runtime, " ".join(f".{kind}" for kind in state.kinds), "yes" if state.operator_times else "none"


def _packages(state: RuntimeState) -> str:
    return ", ".join(f"{package.package} {package.version or 'NOT USABLE'}" for package in state.packages)
