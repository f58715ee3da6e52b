"""What the daemons of the test cluster read: slurm.conf, slurmdbd.conf and gres.conf, all in the cluster's folder."""

import socket
from pathlib import Path

NODES = ("node1", "node2", "node3", "node4")
CPUS = 16
GPUS = 8
ACCOUNTS = ("video", "root")
QOS: dict[str, tuple[str, ...]] = {
    "normal": (),
    "long": (),
    "few": ("MaxSubmitJobsPerUser=3",),
    "gpus": ("MinTRESPerJob=gres/gpu=1", "Flags=DenyOnLimit"),
}
"""Qualities of service, by name, with what they demand."""
PORTS = 2 + len(NODES)
"""How many ports in a row a cluster takes: slurmctld's, slurmdbd's and one a node."""

# One second after the credentials of its last start have expired, a requeued job may start again.
CREDENTIAL_S = 5


def write(folder: Path, port: int, accounting: bool) -> None:
    """Write all of it for a cluster in `folder` whose first port is `port`."""
    (folder / "slurm.conf").write_text(_slurm(folder, port, accounting))
    devices = "\n".join(f"Name=gpu Type=v100 File={folder}/gpu{number}" for number in range(GPUS))
    (folder / "gres.conf").write_text(f"AutoDetect=off\n{devices}\n")
    if accounting:
        path = folder / "slurmdbd.conf"
        path.touch(mode=0o600)  # slurmdbd refuses one that others can read
        path.write_text(_slurmdbd(folder, port))


def _slurm(folder: Path, port: int, accounting: bool) -> str:
    host = socket.gethostname().partition(".")[0]
    text = f"""\
ClusterName=harness
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthInfo=socket={folder}/munge/socket,cred_expire={CREDENTIAL_S}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
MailProg=/bin/true
MpiDefault=none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny

# No cgroups: they are not to be had in a container.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SlurmdParameters=config_overrides

# Faults show soon, but a busy machine with two cores is not taken for a dead one.
SlurmctldTimeout=30
SlurmdTimeout=15
BatchStartTimeout=60
ReturnToService=2
InactiveLimit=0
KillWait=5
OverTimeLimit=0
MinJobAge=300
JobRequeue=1
MaxArraySize=1001

SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE

GresTypes=gpu
NodeName=node[1-{len(NODES)}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{port + 2}-{port + PORTS - 1}] \
CPUs={CPUS} RealMemory=20000 Gres=gpu:v100:{GPUS}
PartitionName=gpu Nodes=ALL LLN=YES Default=YES PriorityTier=10 MaxTime=1-00:00:00 DefaultTime=1:00:00
PartitionName=spare Nodes=ALL LLN=YES PriorityTier=1 MaxTime=1-00:00:00 DefaultTime=1:00:00 GraceTime=10
PartitionName=short Nodes=ALL LLN=YES PriorityTier=10 MaxTime=30 DefaultTime=10
"""
    if accounting:
        text += f"""
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port + 1}
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
"""
    return text


def _slurmdbd(folder: Path, port: int) -> str:
    return f"""\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port + 1}
SlurmUser=root
AuthInfo=socket={folder}/munge/socket
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
CommitDelay=1
"""
