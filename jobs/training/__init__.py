"""How a training runs: the parts that jobs/work/train.py puts together."""
