"""The three products of a fully connected layer, y = x W^T + b, and the whole layer from Python."""

from __future__ import annotations

from benchmarks.case import Case, Input

SHAPES = (  # batch, in, out
    (32, 64, 64),
    (64, 784, 512),
    (64, 512, 256),
    (64, 256, 10),
    (256, 1024, 1024),
    (7, 33, 19),
)
LARGE = 1e8  # flops of a product from which a second thread has to pay


def _cases(batch: int, features: int, outputs: int) -> list[Case]:
    x = Input((batch, features))
    weight = Input((outputs, features), scale=features**-0.5)
    bias = Input((outputs,))
    grad = Input((batch, outputs))
    product = 2.0 * batch * features * outputs

    def case(direction: str, products: int, **inputs: Input) -> Case:
        return Case(
            family="linear",
            name=f"{batch}x{features}x{outputs} {direction}",
            operation=f"linear.{direction}",
            inputs=inputs,
            flops=products * product,
            # Sums of up to 1024 float32 products in different orders.
            tolerance=1e-5,
            scales=1.8 if product > LARGE else 0.97,
        )

    return [
        case("forward", 1, x=x, weight=weight, bias=bias),
        case("dx", 1, grad=grad, weight=weight),
        case("dW+db", 1, grad=grad, x=x),
        case("forward+backward", 3, x=x, weight=weight, bias=bias, grad=grad),
    ]


CASES = tuple(case for shape in SHAPES for case in _cases(*shape))
