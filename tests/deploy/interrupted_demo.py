"""`msnoah demo` in a process of its own, where mindspore cannot be imported, interrupted at one of its lines."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_interrupted(*arguments: object, line: int) -> subprocess.CompletedProcess:
    """Runs the command; the interrupt comes right after line number `line` (from 1) was printed."""
    code = (
        "import sys; sys.modules['mindspore'] = None\n"
        "from msnoah.commands import demo\n"
        "from msnoah.cli import main\n"
        "show, count = demo._print, []\n"
        "def interrupt(*arguments):\n"
        "    show(*arguments); count.append(1)\n"
        f"    if len(count) == {line}: raise KeyboardInterrupt\n"
        "demo._print = interrupt\n"
        f"sys.exit(main(['demo', *{[str(argument) for argument in arguments]!r}]))")
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 130 and "msnoah demo: interrupted" in answer.stderr and "Traceback" not in answer.stderr
    return answer
