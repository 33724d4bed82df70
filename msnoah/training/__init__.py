"""Training and evaluation: `trainer.train` drives a run from its config, `evaluator.evaluate_run` measures a finished one."""
