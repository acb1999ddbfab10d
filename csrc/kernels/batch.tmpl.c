/*
 * batch: the rows of a batch from wherever they lie in a data set, and moved or not, and how many of its
 * outputs are right.
 */
#include "template.h"

#include <string.h>

#include "batch.h"

/* row (pixels, channels) = image (channels, pixels) */
NN_INLINE void turn(REAL *row, const REAL *image, int64_t channels, int64_t pixels) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < pixels; i++) row[i * channels + c] = image[c * pixels + i];
}

/* The same of bytes, each looked up. */
NN_INLINE void turn_scaled(REAL *row, const uint8_t *image, const REAL *scaled, int64_t channels, int64_t pixels) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < pixels; i++) row[i * channels + c] = scaled[image[c * pixels + i]];
}

/* Rows ahead that are asked of memory while others are copied: shuffled, no two of them are neighbours. */
enum { AHEAD = 16 };

/* begin and end count rows of the batch. */
NN_DEFINE_KERNEL(gather) {
    const nn_gather_args *a = args;
    const int64_t size = a->channels * a->pixels;
    const int64_t row_bytes = size * (a->scaled ? 1 : (int64_t)sizeof(REAL));
    const bool in_order = !a->channels_first || a->channels <= 1 || a->pixels <= 1;
    for (int64_t i = begin; i < end; i++) {
        const int64_t from = (a->order ? a->order[i] : i) * size;
        REAL *row = (REAL *)a->rows + i * size;
        if (a->order && i + AHEAD < end) __builtin_prefetch((const char *)a->source + a->order[i + AHEAD] * row_bytes);
        const REAL *numbers = (const REAL *)a->source + from;
        const uint8_t *bytes = (const uint8_t *)a->source + from;
        if (a->scaled && in_order) turn_scaled(row, bytes, a->scaled, 1, size);
        else if (a->scaled) turn_scaled(row, bytes, a->scaled, a->channels, a->pixels);
        else if (in_order) memcpy(row, numbers, (size_t)size * sizeof(REAL));
        else turn(row, numbers, a->channels, a->pixels);
    }
}

/* begin and end count images. */
NN_DEFINE_KERNEL(crop) {
    const nn_crop_args *a = args;
    const int64_t c = a->channels, out = a->window_width * c;
    for (int64_t i = begin; i < end; i++) {
        const int64_t *place = a->places + i * 2;
        const REAL *image = (const REAL *)a->images + i * a->height * a->width * c;
        REAL *window = (REAL *)a->windows + i * a->window_height * out;
        const int64_t left = place[1];
        int64_t first = left < 0 ? -left : 0, last = a->width - left;
        if (first > a->window_width) first = a->window_width;
        if (last > a->window_width) last = a->window_width;
        if (last < first) last = first;
        for (int64_t y = 0; y < a->window_height; y++, window += out) {
            const int64_t row = place[0] + y;
            const bool inside = row >= 0 && row < a->height;
            const int64_t from = inside ? first : a->window_width, to = inside ? last : a->window_width;
            memset(window, 0, (size_t)(from * c) * sizeof(REAL));
            if (to > from)
                memcpy(window + from * c, image + (row * a->width + left + from) * c,
                       (size_t)((to - from) * c) * sizeof(REAL));
            memset(window + to * c, 0, (size_t)((a->window_width - to) * c) * sizeof(REAL));
        }
    }
}

/* Rows whose largest value, the first of equal ones, stands at the label. A NaN is the largest of all, as NumPy has it. */
NN_DEFINE_KERNEL(count_correct) {
    const nn_count_correct_args *a = args;
    for (int64_t i = begin; i < end; i++) {
        const REAL *x = (const REAL *)a->x + i * a->classes;
        int64_t best = 0;
        for (int64_t j = 1; j < a->classes && x[best] == x[best]; j++)
            if (!(x[j] <= x[best])) best = j;
        *a->correct += best == a->labels[i];
    }
}
