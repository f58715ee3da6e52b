"""What SLURM says is sorted, and the key of the profile that mends it named."""

import pytest

from harness.running.slurm.refusals import BUSY, LIMIT, WRONG, refusal

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("said", "kind", "key"),
    [
        (
            "sbatch: error: invalid partition specified: x\nInvalid partition name",
            WRONG,
            "partition",
        ),
        ("allocation failure: Invalid account or account/partition combination specified", WRONG, "account"),
        ("allocation failure: Invalid qos specification", WRONG, "qos"),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\nallocation failure: {POLICY}", LIMIT, "qos"),
        (f"sbatch: error: AssocMaxSubmitJobLimit\nallocation failure: {POLICY}", LIMIT, "account"),
        (f"sbatch: error: AssocGrpSubmitJobsLimit\nallocation failure: {POLICY}", LIMIT, "account"),
        (f"allocation failure: {POLICY}", LIMIT, "qos"),
        (f"sbatch: error: QOSMinGRES\nallocation failure: {POLICY}", WRONG, "gpus_per_task"),
        (f"sbatch: error: QOSMaxGRESPerJob\nallocation failure: {POLICY}", WRONG, "gpus_per_task"),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\nallocation failure: {POLICY}", WRONG, "time_min"),
        (f"sbatch: error: QOSMaxCpuPerJobLimit\nallocation failure: {POLICY}", WRONG, "cpus_per_task"),
        (f"sbatch: error: QOSMaxMemoryPerJob\nallocation failure: {POLICY}", WRONG, "mem_gb"),
        (f"sbatch: error: MaxSubmitJobsPerAccount\nallocation failure: {POLICY}", LIMIT, "qos"),
        (f"sbatch: error: MaxGRESPerAccount\nallocation failure: {POLICY}", WRONG, "gpus_per_task"),
        (f"sbatch: error: MaxNodePerAccount\nallocation failure: {POLICY}", WRONG, "train.nodes"),
        (f"sbatch: error: AssocGrpCPUMinutesLimit\nallocation failure: {POLICY}", WRONG, "cpus_per_task"),
        ("sbatch: error: Please request a GPU in partition gpu and try again", WRONG, "partition"),
        ("sbatch: error: invalid partition specified: standby\nInvalid partition name", WRONG, "partition"),
        ("allocation failure: Requested time limit is invalid (missing or exceeds some limit)", WRONG, "time_min"),
        ("allocation failure: Requested node configuration is not available", WRONG, "partition"),
        ("allocation failure: Invalid feature specification", WRONG, "constraint"),
        ("allocation failure: Requested reservation is invalid", WRONG, "extra.reservation"),
        ("allocation failure: Invalid license specification", WRONG, "extra.licenses"),
        ("allocation failure: Invalid node name specified", WRONG, "exclude"),
        ("sbatch: error: Invalid generic resource (gres) specification", WRONG, "gpu_type"),
        ("sbatch: unrecognized option '--bogus=1'\nTry \"sbatch --help\" for more information", WRONG, "extra"),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", BUSY, ""),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", BUSY, ""),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.", BUSY, ""),
        ("sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received", BUSY, ""),
        ("Command '['timeout', 'sbatch']' returned non-zero exit status 124.", BUSY, ""),
        ("sbatch: error: Batch job submission failed: Unspecified error", WRONG, ""),
    ],
)
def test_refusals_are_sorted(said: str, kind: str, key: str) -> None:
    found = refusal(said)
    assert found.kind == kind
    assert found.keys.partition(",")[0] == (key if key.startswith("train.") else f"launch.{key}" * bool(key))
    assert "\n" not in str(found)
    assert "sbatch: error" not in str(found)
