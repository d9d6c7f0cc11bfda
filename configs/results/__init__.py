"""The records behind the published results: the config and the summary of each run."""
