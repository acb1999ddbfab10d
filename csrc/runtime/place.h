/*
 * place.h: on which CPU a thread runs. Where the system does not tell, it is -1 and nothing is moved.
 */
#ifndef NN_PLACE_H
#define NN_PLACE_H

#include <pthread.h>
#include <stdbool.h>

/* The CPU of the calling thread. */
int nn_cpu_here(void);

/* From now on the thread runs on the CPUs that it may use but this one; false, and no change, if it has no other. */
bool nn_cpu_avoid(pthread_t thread, int cpu);

/* The calling thread may run on this CPU too. */
void nn_cpu_allow(int cpu);

#endif
