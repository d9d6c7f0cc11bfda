"""One peer in a process of its own, so that allocators, thread pools and environment variables do not mix.

    worker.py PEER serve WORKLOAD FILE FORM     works as it is told on standard input: a number of steps a line
    worker.py PEER process FILE FOLDER          one epoch of the MLP, the test set, the weights saved, as a script does

A peer is a module with_PEER.py beside this file:
    FORMS: {workload: [form, ...]}, the ways in which it can train or apply a network; workloads may be absent
    trainer(workload, form, arrays) -> (train, parameters), where train(steps) -> the mean loss of these steps; of
        inference, where train(steps) is so many batches, or so many times the tokens of a step, None
    process(arrays file, folder) -> test accuracy
"""

import importlib
import json
import os
import sys
import time


def main() -> None:
    peer, command, *rest = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the answers
    module = importlib.import_module(f"with_{peer}")
    if command == "process":
        answer(answers, accuracy=module.process(*rest))
    else:
        serve(module, answers, *rest)


def serve(module, answers, workload: str, file: str, form: str) -> None:
    """Builds the network (in the first form where none is named), then takes as many steps as each line says."""
    if workload not in module.FORMS:
        raise SystemExit("it has no such workload")
    forms = module.FORMS[workload]
    form = form or forms[0]
    train, parameters = module.trainer(workload, form, file)
    answer(answers, form=form, forms=forms, parameters=parameters)
    for line in sys.stdin:
        started = time.perf_counter()
        loss = train(int(line))
        answer(answers, seconds=time.perf_counter() - started, loss=loss)


def answer(answers, **values) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
