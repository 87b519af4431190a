"""Where the nodes of one training meet, from what the scheduler tells each of them."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from unimri.core.errors import UnimriError

# Below the ports that systems give out by themselves.
_PORTS = range(10_000, 30_000)
# Ports of a job: that many of its steps may run at once and not meet.
_STEPS = 10


class Meeting(NamedTuple):
    """Where the launchers of one training meet.

    Attributes
    ----------
    host, port : on node 0.
    node : number of this node, from 0.
    name : of the training's job.
    """

    host: str
    port: int
    node: int
    name: str


def meeting_place(environment: Mapping[str, str], nodes: int) -> Meeting:
    """Find it in the variables that srun sets, or in MASTER_ADDR, MASTER_PORT and NODE_RANK, which go first.

    Raises
    ------
    UnimriError : when they do not say, or srun has started another number of launchers than `nodes`.
    """
    step, tasks = environment.get("SLURM_STEP_NODELIST"), environment.get("SLURM_STEP_NUM_TASKS")
    if step and tasks and int(tasks) != nodes:
        raise UnimriError(
            f"nodes: {nodes}, but srun has started {tasks} launchers; "
            f"start it with `srun --nodes {nodes} --ntasks {nodes} --ntasks-per-node 1`"
        )
    host = environment.get("MASTER_ADDR") or (first_host(step) if step else None)
    node = environment.get("NODE_RANK") or (environment.get("SLURM_PROCID") if step else None)
    if host is None or node is None:
        raise UnimriError(
            f"nodes: {nodes}, but nothing says where they are; start it with srun, or set MASTER_ADDR, MASTER_PORT and "
            "NODE_RANK (from 0) on each node"
        )
    job, number = environment.get("SLURM_JOB_ID", "0"), environment.get("SLURM_STEP_ID", "0")
    own = _PORTS[(int(job) * _STEPS + int(number)) % len(_PORTS)]
    try:
        return Meeting(host, int(environment.get("MASTER_PORT") or own), int(node), f"unimri-{job}.{number}")
    except ValueError:
        raise UnimriError("nodes: MASTER_PORT and NODE_RANK must be whole numbers; correct them") from None


def first_host(nodelist: str) -> str:
    """First host of a list as SLURM writes it, such as `gpu[03-05,09],login1`.

    Not asked of `scontrol`, which a container does not have.
    """
    (first,) = re.findall(r"^(?:[^,\[]|\[[^\]]*\])+", nodelist)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first)
