/*
 * isa.c: which kernels run here. One table, filled from the kernel list; one choice, made at import.
 */
#include "../kernels/kernel.h"
#include "../kernels/kernel_id.h"

#include <string.h>

#include "../ops/op.h"
#include "runtime.h"

#define NN_KERNEL(name) nn_kernel_fn nn_##name##_baseline_f32, nn_##name##_baseline_f64;
#include "../kernels/kernels.def"
#undef NN_KERNEL
#ifdef NN_BUILD_AVX2
#define NN_KERNEL(name) nn_kernel_fn nn_##name##_avx2_f32, nn_##name##_avx2_f64;
#include "../kernels/kernels.def"
#undef NN_KERNEL
#endif
#ifdef NN_BUILD_AVX512
#define NN_KERNEL(name)
#define NN_WIDE_KERNEL(name) nn_kernel_fn nn_##name##_avx512_f32;
#define NN_WIDE_PRODUCT(name) nn_kernel_fn nn_##name##_avx512_f32, nn_##name##_avx512_f64;
#include "../kernels/kernels.def"
#undef NN_KERNEL
#endif

/*
 * Few kernels have a form of 512 bits, and two in float64: the whole list would be a sixth of the library, and most
 * are as fast in AVX2 on the processors measured. What has none runs AVX2's.
 */
#ifdef NN_BUILD_AVX2
#define NN_NARROWER(dtype, name) nn_##name##_avx2_##dtype
#else
#define NN_NARROWER(dtype, name) nn_##name##_baseline_##dtype
#endif

static nn_kernel_fn *const table[NN_ISAS][NN_DTYPES][NN_KERNELS] = {
    [NN_ISA_BASELINE] = {{
#define NN_KERNEL(name) [NN_KERNEL_##name] = nn_##name##_baseline_f32,
#include "../kernels/kernels.def"
#undef NN_KERNEL
    }, {
#define NN_KERNEL(name) [NN_KERNEL_##name] = nn_##name##_baseline_f64,
#include "../kernels/kernels.def"
#undef NN_KERNEL
    }},
#ifdef NN_BUILD_AVX2
    [NN_ISA_AVX2] = {{
#define NN_KERNEL(name) [NN_KERNEL_##name] = nn_##name##_avx2_f32,
#include "../kernels/kernels.def"
#undef NN_KERNEL
    }, {
#define NN_KERNEL(name) [NN_KERNEL_##name] = nn_##name##_avx2_f64,
#include "../kernels/kernels.def"
#undef NN_KERNEL
    }},
#endif
#ifdef NN_BUILD_AVX512
    [NN_ISA_AVX512] = {{
#define NN_KERNEL(name) [NN_KERNEL_##name] = NN_NARROWER(f32, name),
#define NN_WIDE_KERNEL(name) [NN_KERNEL_##name] = nn_##name##_avx512_f32,
#include "../kernels/kernels.def"
#undef NN_KERNEL
    }, {
#define NN_KERNEL(name) [NN_KERNEL_##name] = NN_NARROWER(f64, name),
#define NN_WIDE_PRODUCT(name) [NN_KERNEL_##name] = nn_##name##_avx512_f64,
#include "../kernels/kernels.def"
#undef NN_KERNEL
    }},
#endif
};

static const char *const isa_names[NN_ISAS] = {"baseline", "avx2", "avx512"};

static const char *const kernel_names[NN_KERNELS] = {
#define NN_KERNEL(name) #name,
#include "../kernels/kernels.def"
#undef NN_KERNEL
};

/*
 * Long polynomials and quotients of one element at a time, and products whose every element is one chain of sums:
 * vectors of 512 bits take up to half the time of two of 256 (Zen 4), and give the same bits (but for Adam's quotient). So
 * they are the default where the CPU has them, though AVX2 does the rest.
 */
static const bool lanewise[NN_KERNELS] = {
    [NN_KERNEL_linear_forward] = true,         [NN_KERNEL_linear_pack_input] = true,
    [NN_KERNEL_linear_forward_swapped] = true, [NN_KERNEL_linear_backward_data] = true,
    [NN_KERNEL_linear_backward_weight] = true, [NN_KERNEL_linear_backward_weight_rows] = true,
    [NN_KERNEL_linear_backward_data_few] = true,
    [NN_KERNEL_sigmoid_forward] = true, [NN_KERNEL_tanh_forward] = true,       [NN_KERNEL_elu_forward] = true,
    [NN_KERNEL_gelu_forward] = true,    [NN_KERNEL_gelu_tanh_forward] = true,  [NN_KERNEL_elu_backward_input] = true,
    [NN_KERNEL_gelu_backward] = true,   [NN_KERNEL_gelu_tanh_backward] = true, [NN_KERNEL_softplus_forward] = true,
    [NN_KERNEL_silu_forward] = true,    [NN_KERNEL_silu_backward] = true,      [NN_KERNEL_softplus_backward] = true,
    [NN_KERNEL_exp_forward] = true,     [NN_KERNEL_log_forward] = true,        [NN_KERNEL_adam_update] = true,
    [NN_KERNEL_mish_forward] = true,    [NN_KERNEL_mish_backward] = true,
};

static nn_isa active = NN_ISA_BASELINE;
static bool wider; /* lanewise kernels run with AVX-512 */

bool nn_isa_available(nn_isa isa) {
    if (isa == NN_ISA_BASELINE) return true;
#ifdef NN_BUILD_AVX2
    __builtin_cpu_init();
    if (isa == NN_ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#ifdef NN_BUILD_AVX512
    if (isa == NN_ISA_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
#endif
    return false;
}

nn_status nn_isa_select(const char *name, nn_error *error) {
    if (!name || !*name) {
        active = nn_isa_available(NN_ISA_AVX2) ? NN_ISA_AVX2 : NN_ISA_BASELINE;
        wider = nn_isa_available(NN_ISA_AVX512);
        return NN_OK;
    }
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (strcmp(name, isa_names[isa]) != 0) continue;
        if (!nn_isa_available((nn_isa)isa))
            return nn_fail(error, NN_RUNTIME_ERROR, "isa", -1, isa, "one this CPU runs, at most", active);
        active = (nn_isa)isa;
        wider = false; /* who names one gets that one */
        return NN_OK;
    }
    return nn_fail(error, NN_VALUE_ERROR, "isa", -1, -1, "one of the known names, below", NN_ISAS);
}

nn_isa nn_isa_active(void) { return active; }

const char *nn_isa_name(nn_isa isa) { return (int)isa >= 0 && isa < NN_ISAS ? isa_names[isa] : "unknown"; }

nn_kernel_fn *nn_kernel(nn_kernel_id id, nn_dtype dtype) {
    return table[wider && lanewise[id] ? NN_ISA_AVX512 : active][dtype][id];
}

int nn_kernel_count(void) { return NN_KERNELS; }

const char *nn_kernel_name(int kernel) { return kernel >= 0 && kernel < NN_KERNELS ? kernel_names[kernel] : "unknown"; }

const char *nn_compiler(void) {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}
