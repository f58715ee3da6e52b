"""A model made to run with the kernels that were chosen."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch.nn.attention import SDPBackend, sdpa_kernel

from jobs.spec.kernels import Kernels

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}


NONE = "No available kernel", "No viable backend"
"""How torch says that it has no such kernel."""


@contextmanager
def chosen(kernels: Kernels) -> Iterator[None]:
    """While open, attention runs with the kernel that was chosen; ValueError where there is none for what is asked."""
    backend = BACKENDS.get(kernels.attention)
    try:
        with sdpa_kernel(backend) if backend else nullcontext():
            yield
    except RuntimeError as error:
        if backend and any(said in str(error) for said in NONE):
            why = "torch has none for this device, precision and these shapes; take another, or auto"
            raise ValueError(f"attention = {kernels.attention}: {why}") from error
        raise
