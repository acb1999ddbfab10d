/*
 * batch.h: arguments of the kernels around a batch: its rows gathered from a data set, moved, its right
 * answers counted.
 */
#ifndef NN_KERNELS_BATCH_H
#define NN_KERNELS_BATCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nn_gather_args {
    void *rows;           /* (n, pixels, channels): written */
    const void *source;   /* (count, pixels, channels), or (count, channels, pixels) */
    const int64_t *order; /* row i of the batch is row order[i] of the source; NULL: row i */
    const void *scaled;   /* NULL; or the source is bytes, and byte b stands for scaled[b] of 256 */
    int64_t channels, pixels;
    bool channels_first;
} nn_gather_args;

typedef struct nn_crop_args {
    void *windows;         /* (n, window height, window width, channels): written */
    const void *images;    /* (n, height, width, channels) */
    const int64_t *places; /* (n, 2): row and column of image i that window i begins with; outside: zeros */
    int64_t height, width, channels, window_height, window_width;
} nn_crop_args;

typedef struct nn_count_correct_args {
    int64_t *correct;      /* added to */
    const void *x;         /* (n, classes) */
    const int64_t *labels; /* (n) */
    int64_t classes;
} nn_count_correct_args;

#endif
