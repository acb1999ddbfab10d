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

/* first <= i < last: where numbers i of a window, of `size`, lie within an image of `extent` that it begins `from` in. */
NN_INLINE void overlap(int64_t *first, int64_t *last, int64_t from, int64_t size, int64_t extent) {
    *first = from >= 0 ? 0 : from > -size ? -from : size;
    *last = extent - from < size ? extent - from : size;
    if (*last < *first) *last = *first;
}

/* begin and end count images. */
NN_DEFINE_KERNEL(crop) {
    const nn_crop_args *a = args;
    const int64_t c = a->channels, out = a->window_width * c, in = a->width * c;
    for (int64_t i = begin; i < end; i++) {
        const int64_t *place = a->places + i * 2;
        REAL *window = (REAL *)a->windows + i * a->window_height * out;
        int64_t top, bottom, left, right;
        overlap(&top, &bottom, place[0], a->window_height, a->height);
        overlap(&left, &right, place[1], a->window_width, a->width);
        const int64_t rows = right > left ? bottom - top : 0;
        if (rows == 0) {
            memset(window, 0, (size_t)(a->window_height * out) * sizeof(REAL));
            continue;
        }
        const REAL *image = (const REAL *)a->images + (i * a->height + place[0] + top) * in + (place[1] + left) * c;
        REAL *inside = window + top * out + left * c;
        const int64_t width = (right - left) * c;
        /* Rows of one length lie alike in both: what is between two of them is cleared afterwards. */
        if (in == out) memcpy(inside, image, (size_t)((rows - 1) * out + width) * sizeof(REAL));
        else
            for (int64_t y = 0; y < rows; y++) memcpy(inside + y * out, image + y * in, (size_t)width * sizeof(REAL));
        memset(window, 0, (size_t)(top * out) * sizeof(REAL));
        memset(window + bottom * out, 0, (size_t)((a->window_height - bottom) * out) * sizeof(REAL));
        for (REAL *row = window + top * out; row < window + bottom * out; row += out) {
            for (int64_t k = 0; k < left * c; k++) row[k] = 0;
            for (int64_t k = right * c; k < out; k++) row[k] = 0;
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
