"""What reaches the console of workers that failed."""

import pytest

from msnoah.training.worker_logs import LogFollower, explain_failure

SAME = "msnoah train: the loss is not finite\n"
OTHER = "msnoah train: a.jpg: damaged\n"
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no such thing\n'
NOISE = "[ERROR] ME(12:34,MainProcess):killed\n"
# logs of workers 0 and 1, what msrun wrote, ranks by process id, the cause
CAUSES = {
    "all say the same": (SAME, SAME, "", {}, "the loss is not finite"),
    "one speaks": ("", OTHER, "", {}, "worker 1: a.jpg: damaged"),
    "both speak": (SAME, OTHER, "", {}, "worker 0: the loss is not finite; worker 1: a.jpg: damaged"),
    "killed": ("", NOISE, "Worker process 7 exit with exception. Error code: -9.", {7: 1},
               "worker 1 was killed by SIGKILL; its log: {folder}/worker_1.log"),
    "traceback": ("", TRACEBACK + NOISE, "Worker process 7 exit with exception. Error code: 1.", {7: 1},
                  "worker 1 ended with exit code 1: ValueError: no such thing; its log: {folder}/worker_1.log"),
    "nothing known": ("", "", "", {}, "the workers ended early; their logs lie in {folder}"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_the_cause_is_found(case, tmp_path):
    *logs, msrun, ranks, cause = CAUSES[case]
    for rank, text in enumerate(logs):
        (tmp_path / f"worker_{rank}.log").write_text(text)
    (tmp_path / "msrun.log").write_text(msrun)
    assert explain_failure(tmp_path, ranks) == cause.format(folder=tmp_path)


def test_a_log_is_shown_as_it_grows_without_what_is_said_at_the_end(tmp_path, capsys):
    path = tmp_path / "worker_0.log"
    follower = LogFollower(path)
    follower.copy()
    path.write_text("epoch 1: 10%\rep")
    follower.copy()
    assert capsys.readouterr().err == "epoch 1: 10%\r"
    with path.open("a") as log:
        log.write("och 1: 20%\r[WARNING] DISTRIBUTED(1): noise\n" + SAME)
    follower.copy()
    assert capsys.readouterr().err == "epoch 1: 20%\r"
