"""Everything a run does: configs, data, tasks, optimisers, the loop, evaluation, checkpoints, the command line."""
