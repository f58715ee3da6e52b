"""A real SLURM cluster of four nodes on this machine, all of it in one folder, and the faults that tests need."""

import os
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

from tests.slurm import config, daemons, hosts

FOLDER = Path(tempfile.gettempdir()) / f"harness-slurm-{os.getuid()}"


class Cluster:
    """The cluster in `folder`, whether it runs or not. Nodes are counted from 1."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder.absolute()
        if any(character.isspace() for character in str(self.folder)) or len(str(self.folder)) > 60:
            raise ValueError(f"{self.folder}: SLURM takes no spaces in paths, and sockets no long ones; use another")

    @property
    def conf(self) -> Path:
        """What $SLURM_CONF has to be for the commands to reach this cluster."""
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with SLURM's commands reaching this cluster, and outside of any job."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return outside | {"SLURM_CONF": str(self.conf)}

    def is_up(self) -> bool:
        """Whether all its daemons run."""
        return bool(running := daemons.daemons(self.folder)) and not self._names() - running.keys()

    def up(self, accounting: bool = True) -> bool:
        """Bring it up, and return whether that was needed; what is left of one that died is cleared away before.

        ValueError where the folder is not a cluster's, OSError where something does not come up.
        """
        if reason := daemons.unable():
            raise OSError(reason)
        with hosts.alone():
            if self.is_up():
                return False
            self._clear()
            try:
                self._start(accounting)
            except BaseException:
                # The folder stays, for its logs.
                self._stop()
                raise
        return True

    def down(self) -> bool:
        """End it and all its jobs, remove all of it, and return whether there was anything."""
        with hosts.alone():
            return self._clear()

    def run(self, *command: str, timeout_s: float = 60) -> str:
        """What a command says in the cluster's environment. OSError where it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout_s)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """The state of every job and array task that slurmctld remembers, by id (12, 13_0)."""
        listed = self.run("squeue", "--states=all", "--array", "--noheader", "--format=%i %T")
        return dict(line.split() for line in listed.splitlines())

    def wait_for(self, job: str, *states: str, timeout_s: float = 60) -> None:
        """Wait until a job or array task is in one of these states. OSError where that takes longer."""
        daemons.wait(
            lambda: self.jobs().get(job) in states,
            lambda: f"job {job} is {self.jobs().get(job)}, not {' or '.join(states)}",
            timeout_s,
        )

    def kill_slurmd(self, node: int) -> None:
        """Kill a node's daemon alone: its steps go on. Within 30 s or so slurmctld takes the node for dead."""
        daemons.kill(lambda: [one for name, one in daemons.daemons(self.folder).items() if name == f"node{node}"])

    def kill_node(self, node: int) -> None:
        """Kill a node's daemon with its steps and their processes, as when its power fails."""
        daemons.kill(lambda: daemons.processes(self.folder, f"node{node}"))

    def start_slurmd(self, node: int) -> None:
        """Start a node's daemon again, and wait until the node answers slurmctld."""
        self._start_node(f"node{node}")
        self.wait_for_nodes()

    def stop_slurmctld(self) -> None:
        """End the controller, which keeps its state first: killed, it would forget the jobs of its last seconds.

        Jobs go on; commands fail, after 9 s, until it is started again.
        """
        if process := daemons.daemons(self.folder).get("slurmctld"):
            process.terminate()
            daemons.wait(
                lambda: process not in daemons.processes(self.folder), lambda: "slurmctld does not end", daemons.START_S
            )

    def start_slurmctld(self) -> None:
        """Start the controller again, with the state it kept."""
        self._daemon("slurmctld", ["slurmctld"], ["scontrol", "ping"], " is UP")

    def _clear(self) -> bool:
        there = os.path.lexists(self.folder)
        if there:
            found = self.folder.lstat()
            if not (stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and self.conf.exists()):
                raise ValueError(f"{self.folder} is there, but is not a cluster of yours; use another folder")
        self._stop()
        if there:
            shutil.rmtree(self.folder)
        return there

    def _stop(self) -> None:
        daemons.kill(lambda: daemons.processes(self.folder))
        hosts.remove(self.folder)

    def _start(self, accounting: bool) -> None:
        port = _free_ports()
        # Other users come to slurm.conf, munge's socket and their scripts, but list and read nothing else.
        self.folder.mkdir(mode=0o711)
        config.write(self.folder, port, accounting)
        for name, mode in (("munge", 0o711), ("spool", 0o711), ("run", 0o700), ("log", 0o700), ("state", 0o700)):
            (self.folder / name).mkdir(mode=mode)
        for number in range(config.GPUS):
            os.mknod(self.folder / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        hosts.add(self.folder)
        self._start_munge()
        if accounting:
            self._start_accounting()
        self.start_slurmctld()
        for node in config.NODES:
            self._start_node(node)
        self.wait_for_nodes()
        if accounting:
            self._demand()

    def _demand(self) -> None:
        """Set what the qualities of service demand; accounting knows of GPUs once slurmctld has told it of them."""
        command = ["sacctmgr", "--noheader", "--parsable2", "show", "tres", "format=Type,Name"]
        daemons.wait(lambda: "gres|gpu" in self.run(*command), lambda: "accounting knows of no GPUs", daemons.START_S)
        for qos, demands in config.QOS.items():
            if demands:
                self._sacctmgr("modify", "qos", qos, "set", *demands)

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        options = [f"--socket={folder}/socket", f"--key-file={key}", f"--seed-file={folder}/seed"]
        options += [f"--log-file={self.folder}/log/munged.log", f"--pid-file={self.folder}/run/munged.pid"]
        # The folder is root's, which munged finds odd where it is in a folder that others may write to, as /tmp.
        self._daemon("munged", ["munged", "--force", *options], ["munge", "--no-input", f"--socket={folder}/socket"])

    def _start_accounting(self) -> None:
        database = self.folder / "db"
        database.mkdir(mode=0o700)  # its root has no password
        data, size = f"--datadir={database}/data", "--innodb-log-file-size=8M"
        with (self.folder / "log" / "install.log").open("wb") as log:
            install = ["--auth-root-authentication-method=normal", "--skip-test-db", data, size]
            command = ["mariadb-install-db", "--no-defaults", "--user=root", *install]
            subprocess.run(command, stdout=log, stderr=log, timeout=daemons.START_S, check=True)
        options = [f"--socket={database}/socket", f"--pid-file={self.folder}/run/mariadbd.pid", "--skip-networking"]
        options += [data, size, "--innodb-buffer-pool-size=32M", "--innodb-lock-wait-timeout=900"]
        ready = ["mariadb-admin", "--no-defaults", f"--socket={database}/socket", "ping"]
        self._daemon("mariadbd", ["setsid", "--fork", "mariadbd", "--no-defaults", "--user=root", *options], ready)
        self._daemon("slurmdbd", ["slurmdbd"], ["sacctmgr", "--noheader", "list", "cluster"])

        self._sacctmgr("add", "cluster", "harness")
        for qos in list(config.QOS)[1:]:  # the first is there, as the account root is
            self._sacctmgr("add", "qos", qos)
        self._sacctmgr("modify", "account", "root", "set", f"qos={','.join(config.QOS)}")
        self._sacctmgr("add", "account", config.ACCOUNTS[0])
        for user in {"root", os.environ.get("SUDO_USER", "root")}:
            self._sacctmgr("add", "user", user, f"account={config.ACCOUNTS[0]}")

    def _sacctmgr(self, *arguments: str) -> None:
        self.run("sacctmgr", "--immediate", "--quiet", *arguments)

    def _start_node(self, name: str) -> None:
        self._daemon(name, ["slurmd", "-N", name])

    def wait_for_nodes(self) -> None:
        """Wait until every node answers slurmctld."""

        def all_answer() -> bool:
            states = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").split()[1::2]
            return not any(state.endswith("*") or state.startswith(("down", "unknown")) for state in states)

        daemons.wait(all_answer, lambda: f"nodes do not answer: {self.run('sinfo', '--Node')}", daemons.START_S)

    def _daemon(self, name: str, command: list[str], ready: list[str] | None = None, wanted: str = "") -> None:
        path = daemons.program(next(word for word in command if word in daemons.PROGRAMS)) or command[0]
        command = [path if word in daemons.PROGRAMS else word for word in command]
        environment = self.environment | {"MYSQL_UNIX_PORT": str(self.folder / "db" / "socket")}
        daemons.start(
            name,
            command,
            environment,
            self.folder / "log" / f"{name}.log",
            lambda: ready is None or daemons.answers(ready, environment, wanted),
        )

    def _names(self) -> set[str]:
        """The daemons that should run."""
        accounting = {"mariadbd", "slurmdbd"} if (self.folder / "slurmdbd.conf").exists() else set()
        return {"munged", "slurmctld", *config.NODES} | accounting


def _free_ports() -> int:
    for first in range(17100, 18100, 100):
        try:
            for port in range(first, first + config.PORTS):
                with socket.socket() as one:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    one.bind(("", port))
        except OSError:
            continue
        return first
    raise OSError("no free ports for a cluster among 17100 to 18100: too many clusters are running")
