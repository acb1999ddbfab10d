/*
 * settings.c: what the process has chosen for operations that are planned from now on.
 */
#include <stdatomic.h>

#include "../nncore.h"

static atomic_bool winograd = true;

void nn_winograd_set(bool on) { atomic_store_explicit(&winograd, on, memory_order_relaxed); }

bool nn_winograd_get(void) { return atomic_load_explicit(&winograd, memory_order_relaxed); }
