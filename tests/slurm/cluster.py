"""A real SLURM of its own on this machine: controller, one slurmd per virtual node, fake GPUs; ended by process id.

Debian's slurm-wlm and munge, installed where they are missing and this is root. Nothing is written outside `folder`,
everything listens on 127.0.0.1 only, and no systemd, cgroup or second machine is needed. Memory and time limits are
SLURM's; GPUs are twins of /dev/null, of which jobs get the numbers in CUDA_VISIBLE_DEVICES.

As a program: python tests/slurm/cluster.py FOLDER keeps one up until Enter is pressed, and says how to reach it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PACKAGES = {"slurmctld": "slurm-wlm", "munged": "munge"}
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
WITHIN_S = 60.0
CONF = """
ClusterName=prefrepro
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
# Neither cgroups nor a job's own session: a cancelled job's processes share its process group.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=20
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MinJobAge=3600
DefMemPerCPU=100
KillWait=10
JobRequeue=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=DEFAULT CPUs={cpus} RealMemory=8000 Gres=gpu:{gpus} State=UNKNOWN
{nodes}
PartitionName=DEFAULT Nodes=ALL MaxTime=1-0 State=UP
PartitionName=cpu Default=YES PriorityTier=10
PartitionName=gpu PriorityTier=10
PartitionName=spot PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
"""


def can_be_installed() -> bool:
    """Whether the daemons are there, or may be installed."""
    missing = [name for name in PACKAGES if shutil.which(name, path=SYSTEM_PATH) is None]
    return not missing or (os.geteuid() == 0 and shutil.which("apt-get") is not None)


def install() -> None:
    """Debian's packages, where a daemon is missing. Without systemd their scripts start no daemon."""
    missing = [package for name, package in PACKAGES.items() if shutil.which(name, path=SYSTEM_PATH) is None]
    if missing:
        quietly = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], check=True, capture_output=True, env=quietly)
        command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        subprocess.run(command, check=True, capture_output=True, env=quietly)


@dataclass
class Cluster:
    """Two nodes of four CPUs and two GPUs each, unless told otherwise."""

    folder: Path
    """Short: a socket's path may have 107 bytes."""
    nodes: tuple[str, ...] = ("n0", "n1")
    cpus: int = 4
    gpus: int = 2
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with this cluster's commands first on PATH and nothing of a cluster around us."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        path = [str(self.folder / "bin"), str(Path(sys.executable).parent), ours["PATH"]]
        return ours | {"PATH": os.pathsep.join(path), "SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Bring everything up; what was started is ended again where something does not come up."""
        install()
        self._configure()
        try:
            munged = ["--foreground", "--force", f"--key-file={self.folder}/munge.key", "--num-threads=2"]
            munged += [f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid"]
            munged += [f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/munge.seed"]
            self._spawn("munged", "munged", *munged)
            self._until("munged", lambda: self._succeeds("munge", "-n", "-S", f"{self.folder}/munge.socket"))
            self._spawn("slurmctld", "slurmctld", "-D", "-i", "-f", str(self.conf))
            self._until("slurmctld", lambda: self._succeeds("scontrol", "ping"))
            for node in self.nodes:
                self.start_node(node)
            self.wait_for_nodes()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Cancel all jobs, then end exactly the daemons that this object started."""
        if "slurmctld" in self.daemons:
            self._succeeds("scancel", f"--user={os.geteuid()}")
            with contextlib.suppress(TimeoutError):
                self._until("slurmctld", lambda: not self.ask("squeue", "-h", "-o", "%i"))
        for name in (*self.nodes, "slurmctld", "munged"):
            self.end(name)

    def start_node(self, node: str) -> None:
        (self.folder / "spool" / node).mkdir(parents=True, exist_ok=True)
        self._spawn(node, "slurmd", "-D", "-N", node, "-f", str(self.conf))

    def wait_for_nodes(self) -> None:
        """Until every node takes jobs."""
        ready = {"idle", "mix", "alloc"}
        self._until(
            "slurmctld",
            lambda: (
                [state in ready for state in self.ask("sinfo", "-h", "-N", "-p", "cpu", "-o", "%t")]
                == [True] * len(self.nodes)
            ),
        )

    def kill_node(self, node: str) -> None:
        """As if its power failed: its daemon and every process of its jobs are killed, and SLURM is told.

        Nobody is left to tell it, and it would take minutes to give a silent node up.
        """
        self.end(node, at_once=True)
        for process in self._processes(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def restore_node(self, node: str) -> None:
        """Start its daemon anew and take jobs again."""
        self.start_node(node)
        self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        self.wait_for_nodes()

    def end(self, name: str, *, at_once: bool = False) -> None:
        """One daemon: terminated, then killed after ten seconds; or killed at once."""
        daemon = self.daemons.pop(name, None)
        if daemon is None:
            return
        if not at_once:
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
        daemon.kill()
        daemon.wait()

    def ask(self, *command: str) -> list[str]:
        """The lines that a client command prints; none where it fails."""
        done = self._run(*command)
        return done.stdout.splitlines() if done.returncode == 0 else []

    def jobs(self, what: str = "%i") -> list[str]:
        """squeue's format for every job that waits or runs."""
        return self.ask("squeue", "-h", "-o", what)

    def _succeeds(self, *command: str) -> bool:
        return self._run(*command).returncode == 0

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | {"PATH": SYSTEM_PATH}
        try:
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", "")

    def _processes(self, node: str) -> list[psutil.Process]:
        """What runs of a node's jobs: first SLURM's own, which write to the node's log, then what they started."""
        daemons, started = [], []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.name() == "slurmstepd":
                    links = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
                    daemons += [process] if f"{self.folder}/log/{node}.log" in links else []
                elif process.environ().get("SLURMD_NODENAME") == node and self._is_ours(process):
                    started.append(process)
        return daemons + started

    def _is_ours(self, process: psutil.Process) -> bool:
        return process.environ().get("PATH", "").startswith(f"{self.folder}/bin{os.pathsep}")

    def _spawn(self, name: str, *command: str) -> None:
        environment = self.environment | {"PATH": SYSTEM_PATH}
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _until(self, daemon: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            log = self.folder / "log" / f"{daemon}.out"
            if self.daemons[daemon].poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{daemon} did not come up: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def _configure(self) -> None:
        for name in ("log", "state", "spool", "bin", "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        ports = _free_ports(1 + len(self.nodes))
        host = socket.gethostname().partition(".")[0]
        lines = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
            for node, port in zip(self.nodes, ports[1:], strict=True)
        ]
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.conf.write_text(
            CONF.format(
                host=host,
                port=ports[0],
                user=user,
                folder=self.folder,
                cpus=self.cpus,
                gpus=self.gpus,
                nodes="\n".join(lines),
            ),
            encoding="utf-8",
        )
        devices = [self._device(number) for number in range(self.gpus)]
        names = ",".join(self.nodes)
        gres = "".join(f"NodeName={names} Name=gpu File={device}\n" for device in devices)
        (self.folder / "gres.conf").write_text(gres, encoding="utf-8")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n", encoding="utf-8")
        for client in CLIENTS:
            # The plugin drops SLURM_CONF from the environment of its inner srun.
            wrapper = self.folder / "bin" / client
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec /usr/bin/{client} "$@"\n', encoding="utf-8")
            wrapper.chmod(0o755)

    def _device(self, number: int) -> Path:
        """SLURM wants a device node for each GPU: a twin of /dev/null, or, without the right, a harmless one."""
        path = self.folder / "dev" / f"gpu{number}"
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        except FileExistsError:
            pass
        except PermissionError:
            return Path("/dev") / ("null", "zero", "full", "random", "urandom")[number]
        return path


def _free_ports(n: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    cluster = Cluster(Path(sys.argv[1]).resolve())
    cluster.start()
    try:
        sys.stdout.write(f"export PATH={cluster.folder}/bin:$PATH SLURM_CONF={cluster.conf}\nEnter ends it.\n")
        sys.stdout.flush()
        sys.stdin.readline()
    finally:
        cluster.stop()
