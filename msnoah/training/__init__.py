"""Training and evaluation: `trainer.train` drives a run, `evaluator.evaluate_run` measures what it left."""
