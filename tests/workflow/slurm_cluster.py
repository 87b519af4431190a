"""A real SLURM on the loopback, for the tests: without systemd, control groups or accounting."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
# Snakemake's executor strips SLURM_CONF before it starts a job's step: SLURM's files must lie where it looks itself.
FOLDER = Path("/etc/slurm")
NODES = ("n1", "n2")
GPUS = 2  # of a node


def missing() -> str | None:
    """Why no SLURM can be started here, or None."""
    if os.geteuid() != 0:
        return "SLURM's daemons are started by root"
    if absent := [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]:
        return f"no {', '.join(absent)}: Debian's slurm-wlm and munge have them"
    if (FOLDER / "slurm.conf").exists():
        return "a SLURM is configured here already"
    return None


class Cluster:
    """Two nodes, both this machine, that say they have 4 processors and 2 GPUs each.

    Parameters
    ----------
    state : an empty folder for all that SLURM keeps.
    """

    def __init__(self, state: Path) -> None:
        self._state, self._daemons = state, {}
        self._host = socket.gethostname().split(".")[0]
        self._links: list[Path] = []

    def start(self) -> None:
        for name in ("ctld", "spool-n1", "spool-n2", "log"):
            (self._state / name).mkdir()
        self._write_configuration()
        self._start_munge()
        self._start("slurmctld")
        for node in NODES:
            self.start_node(node)
        ask = ["sinfo", "--noheader", "--partition=cpu", "--format=%D %t"]
        wait(lambda: self._ask(*ask) == f"{len(NODES)} idle", "the nodes")

    def stop(self) -> None:
        """Stop what was started, and nothing else."""
        subprocess.run(["scancel", "--user=root"], check=False)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            daemon.wait(30)
        for link in self._links:
            link.unlink(missing_ok=True)

    def start_node(self, node: str) -> None:
        self._start("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """Kill slurmd, whose jobs run on."""
        self._daemons[f"slurmd-N{node}"].kill()
        self._daemons.pop(f"slurmd-N{node}").wait(30)

    def jobs(self, name: str, states: str | None = None) -> dict[str, tuple[str, str, str]]:
        """Comment (rule and wildcards), partition and state of jobs by their numbers; without `states`, if not over."""
        options = [f"--states={states}"] if states else []
        ask = ["squeue", "--noheader", "--array", f"--name={name}", "--format=%i|%k|%P|%T", *options]
        lines = self._ask(*ask).splitlines()
        rows = [line.split("|") for line in lines]
        return {number: (comment, partition, state) for number, comment, partition, state in rows}

    def cancel(self, number: str) -> None:
        subprocess.run(["scancel", number], check=True)

    def run_out_of_time(self, number: str) -> None:
        subprocess.run(["scontrol", "update", f"JobId={number}", "EndTime=now"], check=True)

    def _start(self, program: str, *options: str) -> None:
        name = program + "".join(options)
        with (self._state / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [shutil.which(program, path="/usr/sbin"), "-D", *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _start_munge(self) -> None:
        if subprocess.run(["sh", "-c", "munge -n | unmunge"], capture_output=True, check=False).returncode == 0:
            return
        for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            shutil.chown(folder, "munge", "munge")
            Path(folder).chmod(0o755)
        with (self._state / "log/munged.out").open("ab") as log:
            self._daemons["munged"] = subprocess.Popen(
                ["runuser", "-u", "munge", "--", "/usr/sbin/munged", "--foreground"], stdout=log, stderr=log
            )
        command = ["sh", "-c", "munge -n | unmunge"]
        wait(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "munge")

    def _write_configuration(self) -> None:
        state, host = self._state, self._host
        for gpu in range(GPUS):
            # slurmd wants a character device, or CUDA_VISIBLE_DEVICES is never set: the numbers of /dev/null.
            os.mknod(state / f"gpu{gpu}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        (state / "gres.conf").write_text(f"AutoDetect=off\nName=gpu Type=fake File={state}/gpu[0-{GPUS - 1}]\n")
        (state / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (state / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
SlurmctldPort=16817
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/spool-%n
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd-%n.pid
SlurmctldLogFile={state}/log/slurmctld.log
SlurmdLogFile={state}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
MpiDefault=none
ReturnToService=2
MinJobAge=300
KillWait=5
SlurmdTimeout=60
InactiveLimit=0
DefMemPerCPU=512
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=DEFAULT CPUs=4 RealMemory=32000 Gres=gpu:fake:{GPUS} State=UNKNOWN
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[16818-16819]
PartitionName=cpu Nodes=n[1-2] Default=YES MaxTime=2:00:00 State=UP
PartitionName=gpu Nodes=n[1-2] Default=NO MaxTime=2:00:00 State=UP
"""
        )
        FOLDER.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            link = FOLDER / name
            link.unlink(missing_ok=True)
            link.symlink_to(state / name)
            self._links.append(link)

    def _ask(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def wait(until: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait for something, and fail when it does not come."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


def thaw(number: int) -> None:
    os.kill(number, signal.SIGCONT)
