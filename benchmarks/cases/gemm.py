"""The three products of a fully connected layer without Python around them, beside those of BLAS.

nncore adds the bias, and the bias gradient, in the same pass; the libraries are asked for the
product alone, into memory that is there: the comparison is in their favour.
"""

from __future__ import annotations

from benchmarks.case import Case, Input, Must
from benchmarks.cases.linear import SHAPES

MUST = {"forward": 1.05, "dx": 1.0, "dW+db": 0.95}
ODD = Must(ratio=1.2)
"""Of the shape that fills no tile."""


def _cases(batch: int, features: int, outputs: int, dtype: str) -> list[Case]:
    x = Input((batch, features))
    weight = Input((outputs, features), scale=features**-0.5)
    bias = Input((outputs,))
    grad = Input((batch, outputs))
    suffix = "" if dtype == "float32" else f" {dtype}"

    def case(way: str, **inputs: Input) -> Case:
        return Case(
            family="gemm",
            name=f"{batch}x{features}x{outputs} {way}{suffix}",
            operation=f"gemm.{way}",
            inputs=inputs,
            options={"dtype": dtype, "sizes": (batch, features, outputs)},
            flops=2.0 * batch * features * outputs,
            tolerance=1e-5 if dtype == "float32" else 1e-13,
            must=ODD if features % 2 else Must(ratio=MUST[way]),
        )

    return [
        case("forward", x=x, weight=weight, bias=bias),
        case("dx", grad=grad, weight=weight),
        case("dW+db", grad=grad, x=x),
    ]


CASES = tuple(
    case for dtype in ("float32", "float64") for shape in SHAPES for case in _cases(*shape, dtype)
)
