/*
 * The functions of vmath.h as kernels, y[i] = f(x[i]): compiled like kernels, for test_vmath.c.
 */
#include "../kernels/template.h"

#include "../kernels/activation.h"
#include "../kernels/elementwise.h"
#include "../kernels/vmath.h"
#include "../kernels/vmath_gelu.h"
#include "../kernels/vmath_smooth.h"

#define UNIT(name, function)                                    \
    NN_DEFINE_KERNEL(name) {                                    \
        const nn_activation_args *a = args;                     \
        elementwise_unary(a->y, a->x, begin, end, function);    \
    }

UNIT(test_exp, vexp)
UNIT(test_log, vlog)
UNIT(test_sigmoid, vsigmoid)
UNIT(test_tanh, vtanh)

/* exp(-|x|) */
NN_INLINE vec exp_down(vec x) { return vexp_nonpositive(-vabs(x)); }
UNIT(test_exp_nonpositive, exp_down)

/* exp(-|x|) - 1 */
NN_INLINE vec expm1_down(vec x) { return vexpm1_nonpositive(-vabs(x)); }
UNIT(test_expm1_nonpositive, expm1_down)

UNIT(test_gelu, vgelu)
UNIT(test_gelu_tanh, vgelu_tanh)
UNIT(test_silu, vsilu)
UNIT(test_softplus, vsoftplus)
UNIT(test_mish, vmish)

/* log(1 - min(|x|, 1)) */
NN_INLINE vec log1p_down(vec x) { return vlog1p(-math_at_most(vabs(x), 1)); }
UNIT(test_log1p_down, log1p_down)
