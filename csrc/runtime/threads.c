/*
 * threads.c: how many threads this process may run at once: its CPU affinity, and the quota of its control
 * group (containers). Whatever cannot be read sets no limit.
 */
#define _GNU_SOURCE /* sched_getaffinity */

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"

/* ---- affinity ---------------------------------------------------------------------------------------- */

static int count_cpus(void) {
#ifdef __linux__
    unsigned long mask[8192 / (8 * sizeof(unsigned long))] = {0}; /* as many as any kernel is built for */
    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)mask) == 0) {
        int count = 0;
        for (size_t i = 0; i < sizeof mask / sizeof mask[0]; i++) count += __builtin_popcountl(mask[i]);
        if (count > 0) return count;
    }
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : online > INT_MAX ? INT_MAX : (int)online;
}

/* ---- quota of the control group ---------------------------------------------------------------------- */

/* Reads up to two numbers of a file into quota and period; "max" reads as no number. Returns how many. */
static int read_numbers(const char *folder, const char *name, long long *quota, long long *period) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return 0;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    const int count = fscanf(file, "%lld %lld", quota, period);
    fclose(file);
    return count < 0 ? 0 : count;
}

/* CPUs that one control group may use, rounded up; INT_MAX: no limit. */
static int group_cpus(const char *folder) {
    long long quota = 0, period = 0;
    if (read_numbers(folder, "cpu.max", &quota, &period) != 2 && /* version 2 */
        !(read_numbers(folder, "cpu.cfs_quota_us", &quota, &period) == 1 &&
          read_numbers(folder, "cpu.cfs_period_us", &period, &period) == 1))
        return INT_MAX;
    if (quota <= 0 || period <= 0) return INT_MAX;
    const long long cpus = quota / period + (quota % period != 0);
    return cpus > INT_MAX ? INT_MAX : (int)cpus;
}

/* The least of a group and all above it. `path` is shortened on the way up to `root_length`. */
static int path_cpus(char *path, size_t root_length) {
    int least = INT_MAX;
    for (;;) {
        const int cpus = group_cpus(path);
        if (cpus < least) least = cpus;
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < root_length) return least;
        *slash = '\0';
    }
}

/* Whether the comma-separated list holds `item`. */
static bool list_has(const char *list, const char *item) {
    const size_t length = strlen(item);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, item, length) == 0 && (p[length] == '\0' || p[length] == ',')) return true;
    return false;
}

/*
 * Each line of `membership` reads "number:controllers:/path"; controllers are empty in version 2. A container
 * may see the path as its host does while only its own group is mounted: going up to the root finds that too.
 */
int nn_cgroup_cpus(const char *membership, const char *root) {
    FILE *file = fopen(membership, "re");
    if (!file) return INT_MAX;
    int least = INT_MAX;
    char line[PATH_MAX];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        controllers++;
        if (*controllers != '\0' && !list_has(controllers, "cpu")) continue;
        /* Version 1 mounts a controller under its own name or under the list's; beside it, version 2 lies in
           "unified". */
        const char *const mounts[] = {*controllers ? controllers : ".", *controllers ? "cpu" : "unified"};
        for (int i = 0; i < 2; i++) {
            char folder[2 * PATH_MAX];
            const int root_length = snprintf(folder, sizeof folder, "%s/%s", root, mounts[i]);
            if (root_length < 0 || root_length >= (int)sizeof folder) continue;
            if (strlen(path) >= sizeof folder - (size_t)root_length) continue;
            strcat(folder, path);
            const int cpus = path_cpus(folder, (size_t)root_length);
            if (cpus < least) least = cpus;
        }
    }
    fclose(file);
    return least;
}

int nn_threads_default(void) {
    int threads = count_cpus();
    const int quota = nn_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota < threads) threads = quota;
    return threads > NN_THREADS_MAX ? NN_THREADS_MAX : threads;
}
