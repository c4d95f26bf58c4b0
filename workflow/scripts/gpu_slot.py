"""Lease devices to a command: gpu_slot.py COUNT -- COMMAND …

`resources: gpu=…` of Snakemake only counts; nothing says which device is whose. Here a device is a lock file, held by
the command itself through descriptors that it inherits: however it ends, kill -9 included, the kernel gives it back.
Nobody holds some devices while waiting for more. In a job of SLURM the pool is that job's own devices.

PREFREPRO_GPUS=0,1,…  devices of this machine (default: CUDA_VISIBLE_DEVICES, else what nvidia-smi lists; none: "")
PREFREPRO_GPU_LOCKS   folder of the locks (default: one for each user and, within SLURM, each job, in /tmp)
PREFREPRO_ALLOW_CPU=1 where there is no device at all, run without
"""

import fcntl
import os
import random
import subprocess
import sys
import time
from pathlib import Path

EXIT_USER_ERROR = 2
WAIT_S = (0.1, 0.5)


def pool() -> list[str]:
    """Devices that this process may use; none where there are none."""
    for variable in ("PREFREPRO_GPUS", "CUDA_VISIBLE_DEVICES"):
        if variable in os.environ:
            return [device.strip() for device in os.environ[variable].split(",") if device.strip()]
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False)
    except OSError:
        return []
    return done.stdout.split() if done.returncode == 0 else []


def lock_folder() -> Path:
    """Shared by all jobs of this user on this machine. Not $TMPDIR: Snakemake and SLURM may set it job by job."""
    if given := os.environ.get("PREFREPRO_GPU_LOCKS"):
        return Path(given)
    job = os.environ.get("SLURM_JOB_ID")
    return Path("/tmp") / "-".join(["prefrepro-gpus", str(os.getuid()), *([job] if job else [])])


def lease(devices: list[str], count: int, folder: Path) -> list[str]:
    """`count` devices that no other process holds; waits until so many are free at once."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        held: dict[str, int] = {}
        for device in devices:
            descriptor = os.open(folder / device.replace("/", "_"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            held[device] = descriptor
            if len(held) == count:
                for kept in held.values():
                    os.set_inheritable(kept, True)
                return list(held)
        for descriptor in held.values():
            os.close(descriptor)
        time.sleep(random.uniform(*WAIT_S))


def refuse(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(EXIT_USER_ERROR)


def main() -> None:
    """Become the command, with CUDA_VISIBLE_DEVICES naming its own devices."""
    if len(sys.argv) < 4 or not sys.argv[1].isdigit() or sys.argv[2] != "--":
        refuse(f"gpu_slot.py {' '.join(sys.argv[1:])}; expected: gpu_slot.py COUNT -- COMMAND …")
    count, command = int(sys.argv[1]), sys.argv[3:]
    devices = pool() if count else []
    if count > len(devices) and (devices or os.environ.get("PREFREPRO_ALLOW_CPU") != "1"):
        refuse(
            f"this job wants {count} GPUs and {len(devices)} can be seen{': ' if devices else ''}{', '.join(devices)}. "
            "Next: ask for fewer in `resources` of config/scales/<scale>.yaml, take a machine that has them, or, "
            "where it has none, set PREFREPRO_ALLOW_CPU=1"
        )
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(lease(devices, count, lock_folder()))
        os.environ["PREFREPRO_LEASED"] = os.environ["CUDA_VISIBLE_DEVICES"]  # no job of the CPU, whatever torch finds
    # The warm worker has its own environment, and would not hold the locks.
    os.environ["PREFREPRO_WORKER"] = "off"
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
