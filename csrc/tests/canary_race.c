/*
 * canary_race: two threads add to one number without a lock. The thread sanitizer must report it.
 */
#include <pthread.h>
#include <stdio.h>

static int sum;

static void *add(void *unused) {
    for (int i = 0; i < 1000; i++) sum++;
    return unused;
}

int main(void) {
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, add, NULL);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    printf("%d\n", sum);
    return 0;
}
