"""Whether a build of PyTorch has code for a GPU; decided from plain names, without PyTorch."""

import re
from collections.abc import Sequence

_OLDEST_OF_CUDA_13 = 75


def missing_code(arch: str, version: str, codes: Sequence[str]) -> str:
    """What is wrong with PyTorch `version`, which has code for `codes`, on a GPU of `arch`, as sm_70, and the remedy;
    "" where it has code for it."""
    capability = int(arch.removeprefix("sm_"))
    if has_code(codes, capability):
        return ""
    has = f"{', '.join(codes)} only" if codes else "no GPU"
    name = "a V100" if arch == "sm_70" else f"a GPU of {arch}"
    remedy = "another build of torch and torchvision, one that has code for it"
    if capability < _OLDEST_OF_CUDA_13:
        remedy = "a CUDA 12.6 build (cu126) of torch and torchvision"
    return f"the installed PyTorch {version} has code for {has}; {name} needs {remedy}"


def has_code(codes: Sequence[str], capability: int) -> bool:
    """Whether a GPU of this compute capability (70 is 7.0) can run something of `codes`, as sm_75, compute_90.

    Binary code (sm) runs on the same major version with at least its minor one, PTX (compute) on all later GPUs; what
    ends in `a` on just its own.
    """
    for code in codes:
        found = re.fullmatch(r"(sm|compute)_(\d+)([af]?)", code)
        if not found:
            continue
        of = int(found[2])
        binary = found[1] == "sm" or found[3] == "f"
        if of == capability or (of < capability and found[3] != "a" and (not binary or of // 10 == capability // 10)):
            return True
    return False
