"""Values of the fitted constants of `forge.plan.efficiency`; not to be edited by hand.

Written on 2026-11-24 by `python -m benchmarks.fit_estimates measured.csv`.
"""

VALUES: dict[str, float] = {
    "matmul.volta": 0.672492,
    "matmul.ampere": 0.849317,
    "matmul.ada": 0.85,
    "matmul.hopper": 0.735389,
    "matmul.blackwell": 0.75,
    "matmul.cdna": 0.8,
    "flash.volta": 0.3,
    "flash.ampere": 0.616137,
    "flash.ada": 0.6,
    "flash.hopper": 0.396268,
    "flash.blackwell": 0.45,
    "flash.cdna": 0.45,
    "flash3_share": 1.5,
    "flash1_share": 0.616137,
    "hbm": 0.8,
    "depth": 160,
    "fp8_speedup": 1.5,
    "link": 0.713249,
    "network": 0.951982,
    "network.volta": 0.115583,
    "hop_s": 2.783e-06,
    "hooks_s": 0.00103821,
    "contention": 0.97531,
    "exposed.volta": 1,
    "exposed.deepspeed": 0.5,
    "exposed.deepcompile": 0.3,
    "exposed.transformers_fsdp": 0.5,
    "exposed.fsdp": 0.25,
    "exposed.fsdp_compiled": 0.245356,
    "exposed.megatron": 0.3,
}
