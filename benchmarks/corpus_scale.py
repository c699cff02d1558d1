"""What the size of a corpus costs: the first start, the second, memory, and speed.

    python benchmarks/corpus_scale.py                                  (three million people: minutes, 1 GB of disk)
    python benchmarks/corpus_scale.py --people 3000 30000

make_corpus.py writes the corpora to a temporary folder or, so that they can be reused, to `--folder`. Each start is a
process of its own that does what `run.py pretrain` does up to its first step; memory is measured until that step's end.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from report import finish, parser_of, ratio, seconds

from console import UserError, number, run_reporting_errors
from make_corpus import write_world

STEPS = 10  # of 128 examples, for each measurement of speed


def time_start(path: Path) -> tuple[float, float]:
    """Seconds until the first step, and MB of memory beyond torch's own, for a process started now."""
    command = [sys.executable, __file__, "--start", str(path)]
    began = time.time()
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UserError(f"the start on {path} failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}")
    result = json.loads(done.stdout.splitlines()[-1])
    return result["ready"] - began, result["megabytes"]


def start_here(path: str) -> None:
    """What the process that `time_start` starts does: get ready, take a step, and print when it was ready and its memory."""
    import torch

    def resident() -> float:
        """Peak MB so far. On Linux, ru_maxrss includes the parent's peak, so ask /proc if there is one."""
        status = Path("/proc/self/status")
        if status.exists():
            lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
            return int(lines["VmHWM"].split()[0]) * 1024 / 1e6
        import resource  # which Windows lacks

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: bytes

    torch_alone = resident()
    import torch.utils.tensorboard  # noqa: F401

    import stages  # noqa: F401
    from train_speed import make_trainer

    trainer = make_trainer(path)
    batch = trainer.batches(trainer.train_dataset, epochs=1)[0]
    ready = time.time()
    trainer.train_step(batch, rate=1e-3)
    print(json.dumps({"ready": ready, "megabytes": resident() - torch_alone}))


def main() -> None:
    """Make the corpora, time the starts on them, and train on them in turns."""
    parser = parser_of("Time starts and steps on a small and a large corpus.")
    parser.add_argument("--people", type=number(int, 10), nargs="+", default=[3000, 3_000_000], help="sizes (default 3000 3000000)")
    parser.add_argument("--folder", help="keep the corpora here")
    parser.add_argument("--start", metavar="FILE", help="start on this corpus and say what it took; for the benchmark's own use")
    args = parser.parse_args()
    if args.start:
        start_here(args.start)
        return
    from train_speed import make_trainer

    with tempfile.TemporaryDirectory() as temporary:
        rows, trainers = [], []
        for n_people in args.people:
            folder = Path(args.folder or temporary, str(n_people))
            path = folder / "wiki.txt"
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                write_world(n_people, seed=0, out=folder)
            for cache in folder.glob("wiki.txt.codes*"):
                cache.unlink()
            first, _ = time_start(path)
            again = [time_start(path) for _ in range(args.rounds)]
            rows.append(
                {
                    "people": n_people,
                    "MB": path.stat().st_size / 1e6,
                    "first start, s": first,
                    "second start, s": median(s for s, _ in again),
                    "memory beside torch, MB": max(mb for _, mb in again),
                }
            )
            trainers.append(make_trainer(path))
        batches = [trainer.batches(trainer.train_dataset, epochs=10_000) for trainer in trainers]
        times: list[list[float]] = [[] for _ in trainers]  # seconds per example
        for turn in range(args.rounds + 1):
            for trainer, of_trainer, its_times in zip(trainers, batches, times, strict=True):
                steps = range(turn * STEPS, (turn + 1) * STEPS)
                took = seconds(lambda: [trainer.train_step(of_trainer[step], rate=1e-3) for step in steps])  # noqa: B023
                its_times.append(took / (of_trainer.examples_before(steps.stop) - of_trainer.examples_before(steps.start)))
        for row, its_times in zip(rows, times, strict=True):
            row["examples/s"] = 1 / median(its_times[1:])
            row["speed against the first"] = ratio(times[0][1:], its_times[1:])
        finish(args, rows)


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
