/*
 * canary_overflow: a loop as in a kernel, one element too long. The address sanitizer must stop it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    (void)argv;
    const int64_t count = 16 * argc; /* unknown to the compiler */
    float *y = malloc((size_t)count * sizeof *y);
    for (int64_t i = 0; i <= count; i++) y[i] = (float)i;
    printf("%g\n", (double)y[count / 2]);
    free(y);
    return 0;
}
