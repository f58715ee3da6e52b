"""How a training runs: the parts that jobs/train.py puts together."""
