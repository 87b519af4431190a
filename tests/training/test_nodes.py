import pytest

from unimri.core.errors import UnimriError
from unimri.training.nodes import first_host, meeting_place

STEP = {"SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
STEP |= {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "3"}


@pytest.mark.parametrize(
    ("nodelist", "host"),
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("gpu[03-05,09],login1", "gpu03"),
        ("gpu[7,9]", "gpu7"),
        ("rack[1-2]-node[008-100].cluster,other[1-2]", "rack1-node008.cluster"),
    ],
)
def test_the_first_host_of_a_list_is_found(nodelist, host) -> None:
    assert first_host(nodelist) == host


def test_the_nodes_of_a_step_meet_at_the_first_at_a_port_of_its_own() -> None:
    meeting = meeting_place(STEP, 2)
    assert (meeting.host, meeting.node) == ("gpu07", 1)
    others = [{"SLURM_STEP_ID": "4"}, {"SLURM_JOB_ID": "4712"}, {"SLURM_JOB_ID": "4712", "SLURM_STEP_ID": "0"}]
    found = {meeting_place(STEP | other, 2).port for other in ({"SLURM_PROCID": "0"}, *others)}
    assert meeting.port in found
    assert len(found) == 4
    # Linux gives out those from 32768 on.
    assert all(1024 < port < 32768 for port in found)


def test_a_site_says_itself_where_they_meet() -> None:
    own = {"MASTER_ADDR": "head", "MASTER_PORT": "1234"}
    assert meeting_place(STEP | own, 2)[:3] == ("head", 1234, 1)
    assert meeting_place(own | {"NODE_RANK": "0"}, 3)[:3] == ("head", 1234, 0)


@pytest.mark.parametrize(
    ("environment", "nodes", "told"),
    [
        ({}, 2, "nothing says where they are; start it with srun, or set MASTER_ADDR"),
        # As in a batch script without srun.
        ({"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "n[1-2]"}, 2, "nothing says where they are"),
        ({"MASTER_ADDR": "head"}, 2, "NODE_RANK"),
        (STEP, 4, "nodes: 4, but srun has started 2 launchers; start it with `srun --nodes 4 --ntasks 4"),
        (STEP | {"MASTER_PORT": "http"}, 2, "MASTER_PORT and NODE_RANK must be whole numbers"),
    ],
)
def test_nodes_that_cannot_meet_are_told(environment, nodes, told) -> None:
    with pytest.raises(UnimriError) as fault:
        meeting_place(environment, nodes)
    assert told in str(fault.value)
