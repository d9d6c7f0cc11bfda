"""One short file an experiment: `purezoo train NAME` reads its EXPERIMENT."""
