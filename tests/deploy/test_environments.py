"""Side environments: made whole or not at all, found again, taken away; every fault is one line and leaves nothing."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from msnoah.cli import main
from msnoah.deploy.environments import table
from msnoah.deploy.environments.environment import Environment, Stamp
from msnoah.deploy.environments.table import ENVIRONMENTS
from msnoah.deploy.runtimes.table import RUNTIMES
from msnoah.errors import RuntimeUnavailableError

PYTHON = """#!/bin/sh
# Stands for Python 9.9: answers what is asked of it, makes environments that are copies of itself.
case "$*" in
  *"import sys, venv"*) echo "9.9 $0" ;;
  *"-m venv"*) {venv} mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  *"-m pip install"*) {pip} ;;
  *"import platform"*) echo 9.9.1 ;;
  *"import fake"*) {module} ;;
esac
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where environments go; no Python of the machine is to be found."""
    monkeypatch.setenv("MSNOAH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "home" / "environments"


@pytest.fixture
def fake(home, tmp_path, monkeypatch):
    """An environment of one package, for a Python 9.9 that `plant_python` puts there."""
    requirements = tmp_path / "fake.txt"
    requirements.write_text("# all of it\nfake==1.0\n")
    environment = Environment("fake", "fake", ("9.9",), 1, "the test needs it", requirements)
    monkeypatch.setitem(ENVIRONMENTS, "fake", environment)
    return environment


def plant_python(folder, name="python9.9", venv="", pip=":", module=":"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(PYTHON.format(venv=venv, pip=pip, module=module))
    (folder / name).chmod(0o755)


def install(capsys, code=0):
    assert main(["runtimes", "install", "fake"]) == code
    return capsys.readouterr()


def test_an_environment_is_planned_made_found_and_taken_away(fake, home, tmp_path, capsys):
    plant_python(tmp_path / "bin")
    assert main(["runtimes", "install", "fake", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "not installed" in said.out and f"-r {fake.requirements_file}" in said.err and not home.exists()
    said = install(capsys)
    assert said.out == f"fake 1.0: installed, {fake.folder}\n"
    assert said.err.startswith(f"fake: about 1 MB in {fake.folder}\n  {tmp_path / 'bin' / 'python9.9'} -I -m venv ")
    assert fake.find() == Stamp("9.9.1", {"fake": "1.0"}, "0.1.0")
    assert install(capsys).out == f"fake 1.0: was here, {fake.folder}\n"
    assert main(["runtimes", "remove", "fake"]) == 0 and list(home.iterdir()) == []
    assert main(["runtimes", "remove", "fake"]) == 2
    assert capsys.readouterr().err.endswith(f"fake has no environment: {home / 'fake'} is not there\n")


# what the planted Python does, exit code, the line
FAULTS = {
    "no such package": (
        {"pip": "echo Collecting; echo 'ERROR: No matching distribution found for fake==1.0'; echo bye; exit 1"}, 1,
        "fake, packages: python ended with exit code 1: ERROR: No matching distribution found for fake==1.0"),
    "full disk": (
        {"pip": "echo 'ERROR: Could not install: [Errno 28] No space left on device'; exit 2"}, 1,
        "fake, packages: python ended with exit code 2: ERROR: Could not install: [Errno 28] No space left on device"),
    "no venv": (
        {"venv": "echo 'ensurepip is not available'; exit 1;"}, 1,
        "fake, environment: python9.9 ended with exit code 1: ensurepip is not available"),
    "crash at import": (
        {"module": "kill -SEGV $$"}, 1, "fake, import: python died of signal 11 (SIGSEGV)"),
    "silent": ({"pip": "exit 3"}, 1, "fake, packages: python ended with exit code 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_installation_is_one_line_and_leaves_nothing(fault, fake, home, tmp_path, capsys):
    behaviour, code, words = FAULTS[fault]
    plant_python(tmp_path / "bin", **behaviour)
    said = install(capsys, code)
    assert said.err.splitlines()[-1] == f"msnoah runtimes: {words}"
    assert list(home.iterdir()) == []
    told = f"^fake is not installed in {home}; `msnoah runtimes install fake` gets it"
    with pytest.raises(RuntimeUnavailableError, match=told):
        fake.find()


def test_an_interrupted_installation_leaves_nothing(fake, home, tmp_path):
    pid_path = tmp_path / "pid"
    plant_python(tmp_path / "bin", pip=f"echo $$ > {pid_path}; exec sleep 60")
    driver = tmp_path / "driver.py"
    driver.write_text("\n".join([
        "import sys", "from pathlib import Path", "from msnoah.cli import main",
        "from msnoah.deploy.environments.environment import Environment",
        "from msnoah.deploy.environments.table import ENVIRONMENTS",
        f"requirements = Path({str(fake.requirements_file)!r})",
        "ENVIRONMENTS['fake'] = Environment('fake', 'fake', ('9.9',), 1, 'test', requirements)",
        "sys.exit(main(['runtimes', 'install', 'fake']))"]))
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen([sys.executable, str(driver)], env={**os.environ, "PYTHONPATH": root},
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: pid_path.is_file() and pid_path.read_text().strip())
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1].endswith("msnoah runtimes: interrupted\n") and process.returncode == 130
    assert list(home.iterdir()) == []
    wait_until(lambda: not Path(f"/proc/{pid_path.read_text().strip()}").exists())   # pip is gone too


def wait_until(holds, limit_s=60.0):
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_installation_counts_for_nothing_and_is_made_anew(fake, tmp_path, capsys):
    plant_python(fake.folder / "bin", "python")   # all but the stamp
    with pytest.raises(RuntimeUnavailableError, match="fake is not installed"):
        fake.find()
    plant_python(tmp_path / "bin")
    install(capsys)
    assert fake.find().versions == {"fake": "1.0"}


def test_an_environment_of_other_requirements_is_named_and_replaced(fake, tmp_path, capsys):
    plant_python(tmp_path / "bin")
    install(capsys)
    old = fake.folder
    fake.requirements_file.write_text("fake==2.0\n")
    words = rf"fake is installed for another msnoah \(fake 1.0, by msnoah 0.1.0; in {fake.home}\); `msnoah runtimes"
    with pytest.raises(RuntimeUnavailableError, match=words):
        fake.find()
    assert old.exists() and install(capsys).out.startswith("fake 2.0: installed")
    assert not old.exists()


@pytest.mark.parametrize("damage, words", [
    (lambda fake: (fake.folder / "stamp.json").write_text("{"), "fake is not installed"),
    (lambda fake: (fake.folder / "stamp.json").write_text("[1]"), "fake is not installed"),
    (lambda fake: fake.interpreter.unlink(), "fake's environment has lost its Python 9.9.1"),
])
def test_a_damaged_environment_says_what_to_do(damage, words, fake, tmp_path, capsys):
    plant_python(tmp_path / "bin")
    install(capsys)
    damage(fake)
    with pytest.raises(RuntimeUnavailableError, match=f"^{words}.*`msnoah runtimes install fake`"):
        fake.find()
    install(capsys)
    assert fake.find()


def test_a_place_that_cannot_be_written_is_one_line(fake, tmp_path, monkeypatch, capsys):
    plant_python(tmp_path / "bin")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MSNOAH_HOME", str(tmp_path / "file"))
    words = f"{fake.home}: cannot be written: Not a directory; $MSNOAH_HOME names another place\n"
    assert install(capsys, 2).err.endswith(words)


def test_two_installations_do_not_meet(fake, tmp_path, capsys):
    plant_python(tmp_path / "bin")
    fake.home.mkdir(parents=True)
    with open(fake.home / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert install(capsys, 2).err.endswith(f"{fake.home}: another process installs or removes fake now\n")
    install(capsys)


@pytest.mark.parametrize("verb", ["install", "remove"])
@pytest.mark.parametrize("names, words", [
    (["mindspor-lite"], "cannot {} 'mindspor-lite'; did you mean 'mindspore-lite'? known: onnxruntime, mindspore"),
    (["mnn", "zzz"], "cannot {} 'zzz'; known: onnxruntime, mindspore"),
    ([], "{} what? Known: onnxruntime, mindspore"),
])
def test_wrong_names_are_told_before_anything_is_done(verb, names, words, capsys):
    assert main(["runtimes", verb, *names]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"msnoah runtimes: {words.format(verb)}") and err.count("\n") == 1


def test_verbs_are_no_names_of_runtimes():
    assert not {"install", "remove"} & {*RUNTIMES, *ENVIRONMENTS}


def test_requirements_are_pinned_and_name_their_package():
    for environment in (table.MINDSPORE_LITE, table.ONNX2TF):
        lines = environment.requirements_file.read_text(encoding="utf-8").splitlines()
        pins = [line.split(";")[0] for line in lines if line and not line.startswith("#")]
        assert all(pin.count("==") == 1 for pin in pins)
        assert any(pin.startswith(f"{environment.name}==") for pin in pins)


def test_real_pip_puts_a_wheel_into_a_real_environment(home, tmp_path, monkeypatch, capsys):
    """Without a network; what the user has set for pip, as another index, holds here too."""
    wheel = tmp_path / "wheels" / "fake-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    info = "fake-1.0.dist-info"
    files = {"fake.py": "import json", f"{info}/METADATA": "Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", f"{info}/RECORD": ""}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "of-another-python"))
    requirements = tmp_path / "fake.txt"
    requirements.write_text("fake==1.0\n")
    environment = Environment("fake", "fake", (), 1, "the test needs it", requirements)
    monkeypatch.setitem(ENVIRONMENTS, "fake", environment)
    said = install(capsys)
    assert said.out.startswith("fake 1.0: installed") and "Successfully installed fake-1.0" in said.err
    assert environment.find().python == ".".join(map(str, sys.version_info[:3]))
    command = [environment.interpreter, "-I", "-c", "import fake; print(fake.__file__)"]
    found = subprocess.run(command, capture_output=True)
    assert str(environment.folder) in found.stdout.decode()


@pytest.mark.parametrize("arguments, commands", [
    (["install", "openvino"], [["install", "openvino"]]), (["install", "ncnn"], [["install", "--no-deps", "pnnx"]]),
    (["remove", "ncnn"], [["uninstall", "--yes"]]),
])
def test_packages_of_this_python_go_through_its_pip(arguments, commands, monkeypatch, capsys):
    """Only what is missing is put in: ncnn is here, its converter not."""
    from msnoah.deploy.environments import this_python

    monkeypatch.setattr(this_python, "_is_here", lambda requirement: requirement.package == "ncnn")
    assert main(["runtimes", *arguments, "--dry-run", "--json"]) == 0
    out, err = capsys.readouterr()
    lines = [line.split() for line in err.splitlines()]
    assert [line[:3] for line in lines] == [[sys.executable, "-m", "pip"]] * len(commands)
    assert [line[3:3 + len(command)] for line, command in zip(lines, commands)] == commands
    assert json.loads(out)[0]["name"] == arguments[1]


def test_pip_runs_with_what_msnoah_needs_as_constraints(tmp_path, monkeypatch):
    from msnoah.deploy.environments import this_python

    seen = tmp_path / "seen"
    command = (sys.executable, "-c", f"import shutil, sys; shutil.copy(sys.argv[-1], {str(seen)!r})", "install")
    this_python.run_pip(RUNTIMES["mnn"], [command])
    assert "numpy" in seen.read_text() and "extra" not in seen.read_text()


@pytest.mark.parametrize("name", ["onnxruntime", "mindspore"])
def test_what_msnoah_needs_stays(name, capsys):
    assert main(["runtimes", "remove", name]) == 2
    assert capsys.readouterr().err == f"msnoah runtimes: {name} stays: msnoah itself needs {name}\n"
