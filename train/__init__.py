"""Everything a run does: configs, data, tasks, optimisers, the loop, evaluation, checkpoints, reports, the command line."""
