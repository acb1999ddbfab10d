/*
 * arithmetic: sums and products of two arrays, the second broadcast where it is smaller, and sums over what was
 * broadcast.
 */
#include "template.h"

#include "arithmetic.h"
#include "elementwise.h"

NN_INLINE vec sum_of(vec x, vec y, given g) { return vfma(g.a, y, x); }

NN_INLINE vec product_of(vec x, vec y, given g) {
    (void)g;
    return x * y;
}

/* z[i] = f(x[i], y[i of its row]): a run ends where a row does. */
NN_INLINE void along_rows(const nn_arithmetic_args *a, int64_t begin, int64_t end, vec (*f)(vec, vec, given)) {
    const given g = {.a = vset((REAL)a->factor)};
    for (int64_t i = begin; i < end;) {
        const int64_t column = i % a->width, run = nn_min(a->width - column, end - i);
        const REAL *y = (const REAL *)a->y + i / (a->width * a->repeat) * a->width + column;
        elementwise_binary_given((REAL *)a->z + i, (const REAL *)a->x + i, y, 0, run, f, g);
        i += run;
    }
}

/* z = x + factor y. begin and end count elements. */
NN_DEFINE_KERNEL(add) { along_rows(args, begin, end, sum_of); }

/* z = x y. begin and end count elements. */
NN_DEFINE_KERNEL(multiply) { along_rows(args, begin, end, product_of); }

NN_INLINE vec scaled(vec x, given g) { return vfma(g.a, x, g.b); }

/* z = factor x + summand. begin and end count elements. */
NN_DEFINE_KERNEL(scale) {
    const nn_arithmetic_args *a = args;
    const given g = {.a = vset((REAL)a->factor), .b = vset((REAL)a->summand)};
    elementwise_unary_given(a->z, a->x, begin, end, scaled, g);
}

/*
 * z (groups, width) = factor * the sum over `repeat` of x, or of x y where there is a y, here of x's own size: row
 * after row, in blocks of NN_BROADCAST_ROWS, so that long sums lose little. begin and end count pieces of columns,
 * nn_broadcast_pieces a group.
 */
NN_DEFINE_KERNEL(broadcast_sum) {
    const nn_arithmetic_args *a = args;
    const int64_t pieces = nn_broadcast_pieces(a->width);
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t group = piece / pieces, first = piece % pieces * NN_BROADCAST_COLUMNS;
        const int64_t last = nn_min(first + NN_BROADCAST_COLUMNS, a->width);
        for (int64_t column = first; column < last; column += VL) {
            const int64_t some = nn_min(VL, last - column), at = group * a->repeat * a->width + column;
            vec sum = {0};
            for (int64_t row = 0; row < a->repeat; row += NN_BROADCAST_ROWS) {
                vec block = {0};
                for (int64_t r = row; r < nn_min(row + NN_BROADCAST_ROWS, a->repeat); r++) {
                    const vec x = vload_some((const REAL *)a->x + at + r * a->width, some);
                    if (a->y) block = vfma(x, vload_some((const REAL *)a->y + at + r * a->width, some), block);
                    else block = block + x;
                }
                sum = sum + block;
            }
            REAL *z = (REAL *)a->z + group * a->width + column;
            sum = sum * vset((REAL)a->factor);
            vstore_some(z, a->overwrite ? sum : vload_some(z, some) + sum, some);
        }
    }
}

/* Rows side by side, or apart again. begin and end count rows. */
NN_DEFINE_KERNEL(join) {
    const nn_join_args *a = args;
    int64_t whole = 0, start = 0;
    for (int k = 0; k < a->count; k++) whole += a->widths[k];
    for (int k = 0; k < a->count; start += a->widths[k++]) {
        const int64_t width = a->widths[k];
        for (int64_t row = begin; a->parts[k] && row < end; row++) {
            REAL *part = (REAL *)a->parts[k] + row * width, *rest = (REAL *)a->whole + row * whole + start;
            REAL *dst = a->split ? part : rest;
            const REAL *src = a->split ? rest : part;
            for (int64_t i = 0; i < width; i += VL) {
                const int64_t some = nn_min(VL, width - i);
                vstore_some(dst + i, vload_some(src + i, some), some);
            }
        }
    }
}
