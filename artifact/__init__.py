"""How a Lambda artifact is made: its own hook, ``shared``, what they use, and nothing else."""
