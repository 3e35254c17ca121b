"""Values of the fitted constants of `forge.plan.efficiency`; not to be edited by hand.

Written on 2026-11-24 by `python -m benchmarks.fit_estimates measured.csv`.
"""

VALUES: dict[str, float] = {
    "matmul.volta": 0.808413,
    "matmul.ampere": 0.849317,
    "matmul.ada": 0.85,
    "matmul.hopper": 0.730808,
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
    "hbm": 0.805016,
    "depth": 155.077,
    "fp8_speedup": 1.5,
    "link": 0.717721,
    "network": 0.951982,
    "network.volta": 0.0686997,
    "hop_s": 2.715e-06,
    "hooks_s": 0.00103821,
    "contention": 0.963194,
    "exposed.volta": 0.967981,
    "exposed.deepspeed": 0.5,
    "exposed.deepcompile": 0.3,
    "exposed.transformers_fsdp": 0.5,
    "exposed.fsdp": 0.25,
    "exposed.fsdp_compiled": 0.25,
    "exposed.megatron": 0.3,
}
