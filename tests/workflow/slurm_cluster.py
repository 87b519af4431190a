"""A real SLURM on the loopback, for the tests: without systemd, control groups or accounting."""

import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
FOLDER = Path("/etc/slurm")
NODES = ("n1", "n2", "n3", "n4", "n5")
# All that a cluster starts has it in its environment, and is known by it: daemons, jobs, and what jobs start.
MARK = "UNIMRI_TEST_CLUSTER"
# Debian's slurmstepd (22.05) hangs now and then on a busy machine when its job has ended.
HUNG = 15.0


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
    """Nodes that are all this machine, each with 2 processors and one GPU, as they say.

    Parameters
    ----------
    state : an empty folder for all that SLURM keeps.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._daemons: dict[str, subprocess.Popen] = {}
        self._host = socket.gethostname().split(".")[0]
        self._links: list[Path] = []
        self._stopped = threading.Event()
        self.environment = os.environ | {MARK: str(state)}

    def start(self) -> None:
        for name in ("ctld", "log", *(f"spool-{node}" for node in NODES)):
            (self._state / name).mkdir()
        self._write_configuration()
        self._start_munge()
        self._start("slurmctld")
        for node in NODES:
            self.start_node(node)
        threading.Thread(target=self._kill_hung_steps, daemon=True).start()
        wait(lambda: ask("sinfo", "--noheader", "--partition=cpu", "--format=%D %t") == f"{len(NODES)} idle", "nodes")

    def stop(self) -> None:
        """Stop all that was started, hung or not, and nothing else."""
        self._stopped.set()
        for daemon in self._daemons.values():
            daemon.terminate()
        psutil.wait_procs(list(self._own()), timeout=5)
        while own := list(self._own()):
            for process in own:
                process.kill()
            psutil.wait_procs(own, timeout=1)
        for link in self._links:
            link.unlink(missing_ok=True)

    def start_node(self, node: str) -> None:
        self._start("slurmd", "-N", node)

    def restart_node(self, node: str) -> None:
        """Kill slurmd, whose jobs run on, and start another."""
        self._kill_daemon(node)
        self.start_node(node)

    def lose_node(self, node: str) -> None:
        """Have a node fail with all that runs on it, and come back."""
        self._kill_daemon(node)
        for number in ask("squeue", "--noheader", f"--nodelist={node}", "--format=%i").split():
            for step in self._steps(number):
                for process in (step, *step.children(recursive=True)):
                    process.kill()
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost"], check=True)
        self.start_node(node)
        # Refused where its slurmd was faster, and it is back.
        resume = ["scontrol", "update", f"NodeName={node}", "State=RESUME"]
        subprocess.run(resume, capture_output=True, check=False)
        states = ["sinfo", "--noheader", f"--nodes={node}", "--format=%t"]
        wait(lambda: set(ask(*states).split()) <= {"idle", "mix", "alloc"}, f"{node} to come back")

    def preempt(self, number: str, mode: str) -> None:
        """Take the node of a running job for one that comes first; `mode` (REQUEUE, CANCEL) says what becomes of it."""
        node = ask("squeue", "--noheader", f"--jobs={number}", "--format=%N")
        subprocess.run(["scontrol", "update", "PartitionName=gpu", f"PreemptMode={mode}"], check=True)
        urgent = ["sbatch", "--partition=urgent", f"--nodelist={node}", "--gres=gpu:1", "--mem=100", "--time=1"]
        subprocess.run([*urgent, "--output=/dev/null", "--wrap=true"], env=self.environment, check=True)

    def jobs(self, folder: Path, states: str | None = None) -> dict[str, tuple[str, str, str, str]]:
        """Comment (rule and wildcards), partition, state, node of a folder's jobs; without `states`, if not over."""
        options = [f"--states={states}"] if states else []
        rows = ask("squeue", "--noheader", "--format=%i|%k|%P|%T|%N|%Z", *options).splitlines()
        return {
            number: (comment, partition, state, node)
            for number, comment, partition, state, node, place in (row.split("|") for row in rows)
            if place == str(folder)
        }

    def describe(self, number: str) -> str:
        """All that SLURM says of a job, in one line."""
        return ask("scontrol", "show", "job", "--oneliner", number)

    def cancel(self, number: str) -> None:
        subprocess.run(["scancel", number], check=True)

    def run_out_of_time(self, number: str) -> None:
        subprocess.run(["scontrol", "update", f"JobId={number}", "EndTime=now"], check=True)

    def _kill_daemon(self, node: str) -> None:
        daemon = self._daemons.pop(f"slurmd-N{node}")
        daemon.kill()
        daemon.wait()

    def _own(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(MARK) == str(self._state):
                    yield process
            except psutil.Error:
                continue

    def _steps(self, number: str = "") -> list[psutil.Process]:
        """The slurmstepd processes, of one job."""
        found = []
        for process in self._own():
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if title.startswith(f"slurmstepd: [{number}"):
                found.append(process)
        return found

    def _kill_hung_steps(self) -> None:
        without_children: dict[int, float] = {}
        while not self._stopped.wait(1):
            childless = []
            for step in self._steps():
                try:
                    childless += [] if step.children() else [step]
                except psutil.Error:
                    continue
            since = {step.pid: without_children.get(step.pid, time.monotonic()) for step in childless}
            for step in childless:
                if time.monotonic() - since[step.pid] > HUNG:
                    print(f"slurmstepd hangs, and is killed: {step}")
                    step.kill()
            without_children = since

    def _start(self, program: str, *options: str) -> None:
        name = program + "".join(options)
        command = [shutil.which(program, path="/usr/sbin"), "-D", *options]
        with (self._state / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def _start_munge(self) -> None:
        def answers() -> bool:
            return subprocess.run(["sh", "-c", "munge -n | unmunge"], capture_output=True, check=False).returncode == 0

        if answers():
            return
        for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            shutil.chown(folder, "munge", "munge")
            Path(folder).chmod(0o755)
        command = ["runuser", "-u", "munge", "--", "/usr/sbin/munged", "--foreground", "--force"]
        with (self._state / "log/munged.out").open("ab") as log:
            self._daemons["munged"] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        wait(answers, "munge")

    def _write_configuration(self) -> None:
        state, host, last = self._state, self._host, len(NODES)
        # slurmd wants a character device, or CUDA_VISIBLE_DEVICES is never set: the numbers of /dev/null.
        os.mknod(state / "gpu0", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        (state / "gres.conf").write_text(f"AutoDetect=off\nName=gpu Type=fake File={state}/gpu0\n")
        (state / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (state / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
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
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
ReturnToService=2
MinJobAge=7200
KillWait=5
SlurmdTimeout=300
InactiveLimit=0
DefMemPerCPU=512
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=DEFAULT CPUs=2 RealMemory=32000 Gres=gpu:fake:1 State=UNKNOWN
NodeName=n[1-{last}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[16818-{16817 + last}]
PartitionName=DEFAULT Nodes=n[1-{last}] MaxTime=2:00:00 State=UP
PartitionName=cpu Default=YES
PartitionName=gpu
PartitionName=urgent PriorityTier=10
"""
        )
        FOLDER.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            link = FOLDER / name
            link.unlink(missing_ok=True)
            link.symlink_to(state / name)
            self._links.append(link)


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def wait(until: Callable[[], bool], what: str, seconds: float = 600) -> None:
    """Wait for something, and fail when it does not come."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.2)
