"""A SLURM of four shell scripts, which runs the jobs of an array at once on this machine."""

import os
import time
from pathlib import Path

JOB = "77"
SCRIPTS = {
    # Keeps the job script; a refusing cluster stops there. Else every task of the array runs, and when scontrol asked
    # for it, runs again.
    "sbatch": """
        cp "$1" "$FAKE_SLURM/job.sh"
        if [ -e "$FAKE_SLURM/refuse" ]; then echo "sbatch: error: invalid partition" >&2; exit 1; fi
        echo "Submitted batch job $SLURM_ARRAY_JOB_ID"
        last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
        for task in $(seq 0 $last); do
            (
                export SLURM_ARRAY_TASK_ID=$task SLURM_JOB_ID=$((100 + task))
                bash "$FAKE_SLURM/job.sh"; echo $? >> "$FAKE_SLURM/exits-$task"
                while [ -e "$FAKE_SLURM/requeue-${SLURM_ARRAY_JOB_ID}_$task" ]; do
                    mv "$FAKE_SLURM/requeue-${SLURM_ARRAY_JOB_ID}_$task" "$FAKE_SLURM/requeued-$task"
                    bash "$FAKE_SLURM/job.sh"; echo $? >> "$FAKE_SLURM/exits-$task"
                done
            ) < /dev/null > /dev/null 2>&1 &
        done
    """,
    # The options' values are separate words only for --output and --error, as submitit writes them.
    "srun": """
        while [ "${1#-}" != "$1" ]; do
            case "$1" in
                --output) out="$2"; shift;;
                --error) err="$2"; shift;;
            esac
            shift
        done
        name() { echo "$1" | sed "s/%A/$SLURM_ARRAY_JOB_ID/g; s/%a/$SLURM_ARRAY_TASK_ID/g; s/%t/0/g"; }
        echo $$ > "$FAKE_SLURM/pid-$SLURM_ARRAY_TASK_ID"
        exec "$@" >> "$(name "$out")" 2>> "$(name "$err")"
    """,
    "sacct": """
        echo "JobID|State|NodeList"
        echo "${SLURM_ARRAY_JOB_ID}_[0-9]|RUNNING|node1"
    """,
    "scontrol": """
        touch "$FAKE_SLURM/$1-$2"
    """,
}


class FakeSlurm:
    """folder: where the scripts note what they were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        binaries = folder / "bin"
        binaries.mkdir(parents=True)
        for name, text in SCRIPTS.items():
            (binaries / name).write_text("#!/bin/bash" + text)
            (binaries / name).chmod(0o755)
        path = f"{binaries}:{os.environ['PATH']}"
        self.environment = tasks_environment() | {"PATH": path, "FAKE_SLURM": str(folder)}

    def refuse(self) -> None:
        """From now on take a job, keep its script, and say that it cannot be."""
        (self.folder / "refuse").touch()

    def options(self) -> dict[str, str]:
        """The #SBATCH lines of the last job."""
        lines = [line for line in self.script().splitlines() if line.startswith("#SBATCH --")]
        pairs = [line.removeprefix("#SBATCH --").partition("=") for line in lines]
        return {name: value for name, _, value in pairs}

    def signal(self, task: int, number: int) -> None:
        """Send a signal to a task of the array, as SLURM does near the end of its time."""
        os.kill(int((self.folder / f"pid-{task}").read_text()), number)

    def exits(self, task: int, runs: int) -> list[int]:
        """The exit codes of a task of the array, once it has run so often."""
        path = self.folder / f"exits-{task}"
        while not (path.exists() and len(path.read_text().split()) >= runs):
            time.sleep(0.01)
        return [int(line) for line in path.read_text().split()]

    def script(self) -> str:
        return (self.folder / "job.sh").read_text()


def tasks_environment() -> dict[str, str]:
    """What SLURM tells the only task of a job on one node; and where the code is, which need not be installed."""
    names = {"SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "node1", "SLURM_CPUS_PER_TASK": "1"}
    ranks = dict.fromkeys(("SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID"), "0")
    return names | ranks | {"SLURM_ARRAY_JOB_ID": JOB, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
