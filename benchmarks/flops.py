"""How long counting takes: the main paper's Tables 2 and 3 and the supplement's Table 3, no weights allocated.

    python -m benchmarks.flops

The first count of a process also loads torch's rules for shapes without data, a cost of its own row.
The counts themselves are checked against print in tests/models/test_flops.py and test_swin.py.
"""

import time

import torch
from tabulate import tabulate

from models import count_flops, create_model

TABLE_2 = {f"vit_{size}": [f"sta:r={r}" for r in (0, 32, 48, 64)] for size in ("small", "base", "large", "huge")}
SWINS = {f"swin3d_{size}": [f"sta:r={r}" for r in (0, 192, 256, 320)] for size in ("t", "s", "b", "b_w16")}
TABLE_3 = {
    "vit_large": [f"sta:r={rest}" for rest in ("74,at=1-13", "60,at=1-7-13-19", "64,at=3-11-19", "64,at=5-13-21")]
}


def main() -> None:
    begin = time.perf_counter()
    torch.ones(1, device="meta") + 1
    rows: list[tuple[str, str, str, float]] = [("(first use)", "", "", time.perf_counter() - begin)]
    for table in (TABLE_2, SWINS, TABLE_3):
        for name, reductions in table.items():
            start = time.perf_counter()
            with torch.device("meta"):
                model = create_model(name)
            rows.append((name, "(made)", "", time.perf_counter() - start))
            for reduction in reductions:
                start = time.perf_counter()
                model.set_reduction(reduction)
                gflops = count_flops(model) / 1e9
                rows.append((name, reduction, f"{gflops:.1f}", time.perf_counter() - start))
    print(tabulate(rows, ("model", "reduction", "GFLOPs", "seconds"), floatfmt=".2f"))
    print(f"{time.perf_counter() - begin:.1f} s in all")


if __name__ == "__main__":
    main()
