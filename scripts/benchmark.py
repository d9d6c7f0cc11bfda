#!/usr/bin/env python3
"""The speed on this machine's CPU, or its GPU, beside what one would use instead: Flax, Keras on JAX and PyTorch.

    scripts/benchmark.py [WORKLOAD ...] [--data.dir DIR] [--rounds N] [--peers PEER ...] [--json FILE]

The same network on the same data in the same run, float32. `mlp`, `cnn` and `lenet` train in batches of 128, `alexnet`
and `resnet18` in batches of 8 and 64 of made-up images, all with Adam. `alexnet1`, `alexnet16` and `vit` are inference
in batches of 1, 16 and 1, from uint8 images to logits, both on the host. `process` is the time of a whole process from
import to exit: one epoch of the MLP with evaluation and saved weights, with warm caches.

`lstm` reads those digits pixel by pixel. `char_lstm` and `char_gru` train language models on windows of a made-up text.
`autoencoder`, `conv_vae` and `flow` learn those digits without labels; `vae_samples` and `flow_samples` are images that
such networks draw, 64 at a time.

`stream` is the latency of such a model: the next token is what the logits of the last one, on the host, find likeliest.
`generate` samples a text from it.

`gpu_resnet50` and `gpu_alexnet`, which run only where they are named, train on a GPU, in bfloat16 with float32
weights. The share of its peak counts six operations for each multiply-add of a forward pass.

Each peer lives in a process of its own; they take turns in rounds, one at a time, after a warm-up. Of a peer with
several forms (eager or compiled, train_on_batch or fit, ...) the fastest is measured. A peer that is not installed
(`pip install -e '.[peers]'`) or has no such workload is left out. Nothing else should run on the machine.
"""

# This process stays small, and imports no numerics: Linux counts its memory into the peak of the processes it starts.
import argparse
import contextlib
import functools
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent / "benchmark"
sys.path.insert(0, str(HERE))
from workloads import PROCESS, WORKLOADS  # noqa: E402

PEERS = {  # name -> title, package
    "purezoo": ("purezoo", "jax"),
    "linen": ("Flax Linen", "flax"),
    "nnx": ("Flax NNX", "flax"),
    "keras": ("Keras on JAX", "keras"),
    "torch": ("PyTorch", "torch"),
}
PEAKS = {"H100 80GB HBM3": 989e12, "H200": 989e12, "A100-SXM4": 312e12}  # operations a second, dense bfloat16


class Failed(Exception):
    """A worker ended, with what it said last."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="workload", help=", ".join(WORKLOADS))
    parser.add_argument("--data.dir", dest="data_dir", default="", help="folder of MNIST; else digits made as large")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", nargs="+", choices=[*PEERS][1:], default=[*PEERS][1:])
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--quick", action="store_true", help="see whether everything works, in one short round")
    args = parser.parse_args()
    args.data_dir = args.data_dir and str(Path(args.data_dir).resolve())
    if unknown := set(args.workloads) - set(WORKLOADS):
        parser.error(f"there is no workload '{unknown.pop()}': choose from {', '.join(WORKLOADS)}")
    if (wants := [name for name in args.workloads if WORKLOADS[name].gpu]) and not gpu_name():
        parser.error(f"{wants[0]} trains on an NVIDIA GPU, and nvidia-smi finds none here")
    peers = ["purezoo", *(peer for peer in args.peers if importlib.util.find_spec(PEERS[peer][1]))]
    rounds, seconds = (1, 0.3) if args.quick else (args.rounds, 2.5)
    data = "MNIST" if args.data_dir else "enlarged digits"
    results = {"machine": machine(peers), "data": data, "workloads": {}}
    on = results["machine"]
    print("; ".join(filter(None, [on["cpu"], on["gpu"], f"load before the start {on['load']:.2f}", data])))
    if absent := [PEERS[peer][0] for peer in args.peers if peer not in peers]:
        print(f"not installed, left out: {', '.join(absent)}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for workload in args.workloads or [name for name, w in WORKLOADS.items() if not w.gpu]:
            side = WORKLOADS[workload].side
            file = Path(folder) / f"arrays-{side}.npz"
            if not file.exists():
                asked = [WORKLOADS[name] for name in args.workloads]
                least = max((2 * w.batch for w in asked if w.side == side and w.gpu), default=0)
                size = ["--side", side, "--examples", 6000 if args.quick else 60000, "--least", least]
                command = [sys.executable, HERE / "arrays.py", file, *map(str, size), "--dir", args.data_dir]
                subprocess.run(command, check=True, env=environment(folder))
            if workload == PROCESS:
                found = processes(peers, file, Path(folder), args.data_dir, rounds)
                print_processes(found)
            else:
                found = steps_per_second(workload, peers, file, rounds, seconds)
                print_speeds(workload, found)
            results["workloads"][workload] = found
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


# Steps a second


class Worker:
    """A peer's process, which works when it is told to."""

    def __init__(self, peer: str, workload: str, file: Path, form: str = ""):
        self.peer, self.errors = peer, tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, HERE / "worker.py", peer, "serve", workload, file, form]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=environment(str(file.parent), WORKLOADS[workload].gpu),
        )  # fmt: skip
        built = self.answer()
        self.form, self.forms, self.parameters = built["form"], built["forms"], built["parameters"]

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise Failed((self.errors.read().strip().splitlines() or ["it ended without a word"])[-1])
        return json.loads(line)

    def train(self, steps: int) -> tuple[float, float | None]:
        """Steps a second, and the mean loss of these steps. Of inference they are batches or tokens, without a loss."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.answer()
        return steps / answer["seconds"], answer["loss"]

    def close(self) -> float:
        """Ends the process. Its peak memory in MB."""
        self.process.stdin.close()
        return wait(self.process)


def steps_per_second(workload: str, peers: list[str], file: Path, rounds: int, seconds: float) -> dict:
    """Of each peer the steps a second in each round, the loss right after the warm-up, the peak memory in MB."""
    found, workers = {}, []
    warm_up = WORKLOADS[workload].warm_up
    for peer in peers:
        try:
            say(f"{workload}: {PEERS[peer][0]}")
            worker, others = fastest_form(Worker(peer, workload, file), workload, file, seconds)
            for steps in warm_up:
                worker.train(steps)
            rate, loss = worker.train(sum(warm_up))
        except Failed as error:
            if peer == "purezoo":
                raise SystemExit(f"scripts/benchmark.py: {workload}: {error}") from error
            say(f"{workload}: {PEERS[peer][0]} is left out: {error}")
            continue
        built = {"form": worker.form, "forms": others, "parameters": worker.parameters}
        found[peer] = {**built, "loss": loss, "rounds": []}
        workers.append((worker, max(1, round(rate * seconds))))
    for i in range(rounds):
        say(f"{workload}: round {i + 1} of {rounds}")
        for worker, steps in workers[i % len(workers) :] + workers[: i % len(workers)]:
            found[worker.peer]["rounds"].append(worker.train(steps)[0])
    for worker, _ in workers:
        found[worker.peer]["memory"] = worker.close()
    if len({result["parameters"] for result in found.values()}) > 1:
        raise SystemExit(f"the networks differ in size: { {p: r['parameters'] for p, r in found.items()} }")
    return found


def fastest_form(worker: Worker, workload: str, file: Path, seconds: float) -> tuple[Worker, dict]:
    """A new worker in the form that trains fastest, and what each form reached: steps a second, or why it failed."""
    if len(worker.forms) == 1:
        return worker, {}
    worker.close()
    speeds: dict[str, float] = {}
    failures: dict[str, str] = {}
    for form in worker.forms:
        try:
            scout = Worker(worker.peer, workload, file, form)
            for steps in WORKLOADS[workload].warm_up:
                scout.train(steps)
            rate = scout.train(steps)[0]
            speeds[form] = max(scout.train(max(1, round(rate * seconds / 2)))[0] for _ in range(2))
            scout.close()
            say(f"  {form}: {speeds[form]:.1f} steps/s")
        except Failed as error:
            failures[form] = str(error)
            say(f"  {form}: {error}")
    if not speeds:
        raise Failed("; ".join(failures.values()))
    return Worker(worker.peer, workload, file, max(speeds, key=speeds.__getitem__)), speeds | failures


def print_speeds(workload: str, found: dict) -> None:
    what = WORKLOADS[workload]
    speeds = {peer: statistics.median(result["rounds"]) for peer, result in found.items()}
    rows = [
        ["", what.unit, "least - most", "purezoo is", "loss*" if what.training else "", "peak MB", "purezoo's", "form"]
    ]
    for peer, result in found.items():
        rounds = [what.units * rate for rate in result["rounds"]]
        rows.append([
            PEERS[peer][0], short(what.units * speeds[peer]), f"{short(min(rounds))} - {short(max(rounds))}",
            times(speeds["purezoo"], speeds[peer]), f"{result['loss']:.3f}" if what.training else "",
            f"{result['memory']:.0f}", times(found["purezoo"]["memory"], result["memory"]), result["form"],
        ])  # fmt: skip
    print(f"\n{what.title}, {found['purezoo']['parameters']:,} parameters, median of {len(rounds)} rounds")
    print_table(rows)
    for name, some in {"best peer": [*PEERS][1:], "best of Flax and Keras": ["linen", "nnx", "keras"]}.items():
        if peers := [peer for peer in some if peer in found]:
            best = max(peers, key=speeds.__getitem__)
            print(f"purezoo / {name} ({PEERS[best][0]}): {times(speeds['purezoo'], speeds[best])}")
    if what.gpu and (peak := next((p for name, p in PEAKS.items() if name in gpu_name()), None)):
        shares = [f"{PEERS[p][0]} {6 * what.multiply_adds * what.units * s / peak:.1%}" for p, s in speeds.items()]
        print(f"share of the peak of {gpu_name()}, {peak / 1e12:.0f} TFLOP/s: {', '.join(shares)}")
    if what.training:
        print(f"* mean training loss of steps {sum(what.warm_up) + 1} to {2 * sum(what.warm_up)}")


# Whole processes


def processes(peers: list[str], file: Path, folder: Path, data_dir: str, rounds: int) -> dict:
    """Of each command the seconds and the peak memory of each run, after a first one that fills the caches."""
    commands = {"purezoo": ["--no-pictures"], "purezoo, with its pictures": []}
    source = ["--data.dir", data_dir] if data_dir else ["--data.source", str(file)]
    for title, flags in commands.items():
        commands[title] = [
            sys.executable, "-m", "purezoo", "train", str(HERE / "one_epoch.py"), *source, "--quiet", *flags, "--out",
        ]  # fmt: skip
    for peer in ("keras", "torch"):
        if peer in peers:
            commands[PEERS[peer][0]] = [sys.executable, str(HERE / "worker.py"), peer, "process", str(file)]
    found: dict[str, dict] = {
        title: {"command": command, "first": 0.0, "seconds": [], "memory": []} for title, command in commands.items()
    }
    for i in range(rounds + 1):
        say(f"process: {f'run {i} of {rounds}' if i else 'filling the caches'}")
        for n, (title, command) in enumerate(commands.items()):
            out = folder / f"run-{i}-{n}"
            seconds, memory, accuracy = one_process([*command, str(out)], out, folder)
            if i == 0:
                found[title] |= {"first": seconds, "accuracy": accuracy}
            else:
                found[title]["seconds"].append(seconds)
                found[title]["memory"].append(memory)
    return found


def one_process(command: list[str], out: Path, folder: Path) -> tuple[float, float, float]:
    """Runs a command to its end: seconds, peak memory in MB and the test accuracy that it reports."""
    if "purezoo" not in command:
        out.mkdir()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=errors, cwd=folder, env=environment(str(folder)))
        memory = wait(process)
        seconds = time.perf_counter() - started
        said.seek(0), errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read()}")
        if "purezoo" in command:
            return seconds, memory, json.loads((out / "summary.json").read_text())["metrics"]["test"]["accuracy"]
        return seconds, memory, json.loads(said.read())["accuracy"]


def print_processes(found: dict) -> None:
    own = {key: statistics.median(found["purezoo"][key]) for key in ("seconds", "memory")}
    rows = [["", "seconds", "least - most", "first run", "purezoo's time", "peak MB", "purezoo's", "test accuracy"]]
    for title, result in found.items():
        seconds, memory = result["seconds"], statistics.median(result["memory"])
        rows.append([
            title, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f} - {max(seconds):.2f}",
            f"{result['first']:.2f}", times(own["seconds"], statistics.median(seconds)), f"{memory:.0f}",
            times(own["memory"], memory), f"{result['accuracy']:.4f}",
        ])  # fmt: skip
    print(f"\n{WORKLOADS[PROCESS].title}, median of {len(seconds)} runs with warm caches")
    print_table(rows)
    print(" ".join(["purezoo:", "python", *found["purezoo"]["command"][1:-1]]))


# Both


def environment(folder: str, gpu: bool = False) -> dict[str, str]:
    """What every process is given: the CPU or the GPU, and caches of compiled programs that begin empty."""
    cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/xla", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
             "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}  # fmt: skip
    device = {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # peers lie on the GPU side by side
    return os.environ | cache | (device if gpu else {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}) | {
        "PUREZOO_CACHE": f"{folder}/purezoo", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor",
        "TF_CPP_MIN_LOG_LEVEL": "2", "JAX_TRACEBACK_FILTERING": "off",  # whose note would be the last line of an error
    }  # fmt: skip


def wait(process: subprocess.Popen) -> float:
    """Waits for the end of a process. Its peak memory in MB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


@functools.cache
def gpu_name() -> str:
    """The first GPU's, or nothing."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.partition("\n")[0]
    return ""


def machine(peers: list[str]) -> dict:
    """What was measured on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    packages = sorted({"jax", *(PEERS[peer][1] for peer in peers)})
    versions = {package: version(package) for package in packages}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": f"{cpu}, {cores} cores", "gpu": gpu_name(), "load": os.getloadavg()[0], "versions": versions}


def short(rate: float) -> str:
    return f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"


def times(one: float, other: float) -> str:
    return f"{one / other:.2f} x"


def print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *cells = (cell.ljust(w) if i in (0, len(row) - 1) else cell.rjust(w)
                         for i, (cell, w) in enumerate(zip(row, widths, strict=True)))  # fmt: skip
        print(first, "  ".join(cells).rstrip(), sep="  ", flush=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
