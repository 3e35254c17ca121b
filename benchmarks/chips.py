"""Chips and networks of published runs: datasheet figures and measured ceilings, as `published/hardware.csv` has them.

Where no ceiling was measured, one is derived from the nearest chip that was, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """One GPU. Rates in TFLOP/s, TB/s and GB/s as their sources print them."""

    peak_tflops: float
    ceiling_tflops: float
    """Best 16-bit matrix product measured."""
    memory_gib: float
    hbm_tb_per_s: float
    link_gb_per_s: float
    """One direction, to the other GPUs of a node."""
    node_gb_per_s: float
    """One direction, of the network of a node with eight of them, unless the source says otherwise."""
    gpus_per_node: int = 8
    link_domain: int = 8
    """GPUs that NVLink joins, where those are more than one machine's."""


CHIPS: dict[str, Chip] = {
    # 90 TFLOP/s of cuBLAS on V100: Jia 2018, table 4.3.
    "v100-16gb": Chip(125, 95, 15.8, 0.9, 150, 50),
    "v100": Chip(125, 95, 31.7, 0.9, 150, 50),
    "a100-40": Chip(312, 271.2, 39.4, 1.555, 300, 200),
    "a100-pcie-40": Chip(312, 252.9, 39.4, 1.555, 31, 50),
    "a100-pcie": Chip(312, 252.9, 79.2, 1.935, 31, 50),
    "a100": Chip(312, 271.2, 79.2, 2.04, 300, 200),
    "a800": Chip(312, 271.2, 79.2, 2.04, 200, 200),
    "a10": Chip(70, 60, 22.1, 0.6, 16, 12.5),
    "a40": Chip(149.7, 120, 44.5, 0.696, 31, 12.5),
    "a6000": Chip(154.8, 120, 47.5, 0.768, 31, 12.5),
    "3090": Chip(71, 66, 23.7, 0.936, 31, 12.5),
    "l40": Chip(362, 275, 44.5, 0.864, 31, 25),
    "4090": Chip(165.2, 150, 23.6, 1.01, 31, 12.5),
    "5090": Chip(209.5, 185, 31.4, 1.79, 63, 12.5),
    "h100-sxm": Chip(989, 794.5, 79.6, 3.35, 450, 400),
    # 500 W instead of 700 W, ceiling not measured. Sustained clocks fall with the power to between 1/3 (voltage falls
    # too) and 1 (it can't): at 0.6, 0.817 of the 700 W chip's.
    "h100-96": Chip(989, 649.0, 95.0, 2.4, 450, 400),
    "h100-pcie": Chip(756, 560, 79.6, 2.0, 63, 100),
    "h100-nvl": Chip(835, 640, 93.6, 3.9, 300, 200),
    "h100": Chip(989, 794.5, 79.6, 3.35, 450, 400),
    "h800": Chip(989, 794.5, 79.6, 3.35, 200, 400),
    "h200": Chip(989, 794.5, 140.0, 4.8, 450, 400),
    "h20": Chip(148, 140, 95.0, 4.0, 450, 400),
    "gh200": Chip(989, 828.6, 95.0, 4.0, 450, 200),
    "b200": Chip(2250, 1745.0, 178.0, 8.0, 900, 400),
    "b300": Chip(2250, 1769.0, 275.0, 8.0, 900, 800),
    "gb200": Chip(2500, 1822.0, 184.0, 8.0, 900, 200, 4, 72),
    "gb300": Chip(2500, 1840.0, 275.0, 8.0, 900, 400, 4, 72),
    # One of the two dies of an MI250X, which is one device to PyTorch.
    "mi250": Chip(191.5, 147, 63.0, 1.64, 50, 100),
    "mi300": Chip(1307, 668.4, 191.0, 5.3, 300, 400),
    "mi325": Chip(1300, 784.9, 255.0, 6.0, 300, 400),
    "mi355": Chip(2500, 1565.0, 287.0, 8.0, 350, 400),
}

NETWORKS_GB_PER_S: dict[tuple[str, str], float] = {
    # (start of the source, start of the chip): a node's network as the source describes it (notes/published.md, 4).
    ("fms-fsdp", "a100"): 50.0,
    ("fms-fsdp", "h100"): 100.0,
    ("internevo", "a"): 50.0,
    ("vtrain", "a"): 100.0,
    ("bigscience", "v100"): 50.0,
    ("bloom", "a100"): 50.0,
}


EFA_HOP_S = 35e-6
"""One step of an all-gather's ring on AWS P5: `collectives.csv` at 256 MB on 8 to 64 nodes gives 28 to 43 us."""

_EFA_SOURCES = ("nanotron", "ultra-scale", "ultrascale", "smollm", "playbook")
"""Runs on the cluster that `collectives.csv` was measured on."""


def hop_s(source: str, framework: str) -> float | None:
    """Return the latency of one hop between nodes where the source's network is known for its own; else None."""
    described = f"{source} {framework}".lower()
    return EFA_HOP_S if any(word in described for word in _EFA_SOURCES) else None


def find_chip(hardware: str) -> Chip | None:
    """Return the chip a row names (`h100-sxm-80gb`): the longest name it contains; None where none fits."""
    name = hardware.lower().replace("_", "-").replace(" ", "-")
    if "a100" in name and "40" in name:
        name = name.replace("a100-sxm-40", "a100-40")
    found = [key for key in CHIPS if all(part in name for part in key.split("-"))]
    return CHIPS[max(found, key=len)] if found else None


def network_gb_per_s(source: str, hardware: str, chip: Chip) -> float:
    """Return the network of a node of a source: as it describes it, else as such machines are sold."""
    for (prefix, start), rate in NETWORKS_GB_PER_S.items():
        if source.lower().startswith(prefix) and hardware.lower().startswith(start):
            return rate
    return chip.node_gb_per_s
