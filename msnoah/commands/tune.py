"""The dial of a family: the number of merged tokens that meets a latency budget."""

import argparse

from msnoah.commands.profile_settings import chosen_settings, declare_measuring, profile_settings
from msnoah.commands.records import declare_json, print_record


def tune(arguments: argparse.Namespace) -> None:
    """Measures a run's family on this device and picks the member that meets a latency budget; exit 1 if none does."""
    from msnoah.deploy.tuning import Budget
    from msnoah.deploy.tuning import tune as tune_run
    from msnoah.run_folder import RunFolder

    run = RunFolder.open(arguments.run)
    chosen = chosen_settings(arguments)
    settings = profile_settings(run, {**chosen, "threads": [arguments.threads]})
    budget = Budget(arguments.budget_ms, arguments.metric, arguments.choose)
    tuning = tune_run(run, budget, settings, runtime=arguments.runtime, accuracy=arguments.accuracy)
    print_record(tuning.to_record(), arguments, text=tuning.table())
    tuning.check()


def declare_tune(parser: argparse.ArgumentParser) -> None:
    """The arguments of tune."""
    parser.add_argument("run", help="a run folder with a family, as `msnoah export RUN --family 0,4,8` writes it")
    parser.add_argument(
        "--budget-ms", type=float, required=True, metavar="MS", help="the largest median latency that is good")
    parser.add_argument("--metric", choices=("wall", "cpu"), default="wall", help="which time (default: wall)")
    parser.add_argument(
        "--choose", choices=("degree", "accuracy"), default="degree",
        help="of those within the budget the one that merges least, or the most accurate (default: degree)")
    parser.add_argument(
        "--no-accuracy", action="store_false", dest="accuracy", help="take no accuracies on the val data")
    parser.add_argument("--runtime", default="onnxruntime", help="one that runs ONNX (default: onnxruntime)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: 1")
    declare_measuring(parser)
    declare_json(parser)
