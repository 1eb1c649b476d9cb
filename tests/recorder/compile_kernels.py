"""Compiles Triton's kernels for GPUs of one compute capability; prints the bytes of each."""

from __future__ import annotations

import sys
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from paramviz.recorder import device_kernels, device_triton

SPANS = {
    **dict.fromkeys(("addresses", "tensor_P", "begin_P", "length_P", "counts_T64"), "*i64"),
    "scale": "*fp32",
    "parts_P13": "*fp64",
}
SAMPLES = {
    **dict.fromkeys(("addresses", "tensor_S", "position_S"), "*i64"),
    **{"n": "i32", "scale": "*fp32", "out_S": "*fp32"},
}


def compiled_bytes(kernel: Any, types: dict[str, str], constants: dict[str, Any], target: GPUTarget) -> int:
    names = kernel.arg_names
    source = ASTSource(
        kernel,
        {name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
    )
    return len(compile(source, target=target, options=device_triton.OPTIONS).asm["cubin"])


def main() -> None:
    target = GPUTarget("cuda", int(sys.argv[1]), 32)
    for dtype in device_triton.DTYPES.values():
        for is_scaled in (False, True):
            settings = {
                "DTYPE": getattr(device_kernels.tl, dtype),
                "IS_SCALED": is_scaled,
                "BLOCK": device_triton.BLOCK,
            }
            wishes = {"WITH_PARTS": True, "WITH_COUNTS": True}
            print(compiled_bytes(device_kernels.tally_spans, SPANS, settings | wishes, target))
            print(compiled_bytes(device_kernels.take_samples, SAMPLES, settings, target))


if __name__ == "__main__":
    main()
