/*
 * test_threads: how many threads by default: affinity, and the quota of control groups (from made-up files).
 */
#define _GNU_SOURCE
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "runtime/runtime.h"

static char root[PATH_MAX]; /* stands for /sys/fs/cgroup; "membership" in it for /proc/self/cgroup */

/* Writes root/path, making its folders. */
static void put(const char *path, const char *text) {
    char name[2 * PATH_MAX];
    snprintf(name, sizeof name, "%s/%s", root, path);
    for (char *slash = name + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(name, 0700);
    }
    FILE *file = fopen(name, "w");
    if (!CHECK(file)) return;
    fputs(text, file);
    fclose(file);
}

/* A fresh root, whose process is in the groups of `membership`. */
static void start(const char *membership) {
    const char *folder = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/nncore-XXXXXX", folder ? folder : "/tmp");
    CHECK(mkdtemp(root));
    put("membership", membership);
}

static int cpus(void) {
    char membership[2 * PATH_MAX];
    snprintf(membership, sizeof membership, "%s/membership", root);
    return nn_cgroup_cpus(membership, root);
}

static void finish(void) {
    char command[2 * PATH_MAX];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    CHECK_EQUAL(system(command), 0);
}

static void nothing_to_read_is_no_limit(void) {
    CHECK_EQUAL(nn_cgroup_cpus("/nonexistent/membership", "/nonexistent"), INT_MAX);
    start("");
    CHECK_EQUAL(cpus(), INT_MAX);
    put("membership", "no colon\n0:one colon\n0::\n\n:::\n0::/gone/away\n4:cpu:/gone\n0::no/slash");
    CHECK_EQUAL(cpus(), INT_MAX);
    finish();
}

static void version_2(void) {
    start("0::/user/job\n");
    put("user/job/cpu.max", "max 100000\n");
    CHECK_EQUAL(cpus(), INT_MAX);
    put("user/job/cpu.max", "300000 100000\n");
    CHECK_EQUAL(cpus(), 3);
    put("user/job/cpu.max", "150000 100000\n"); /* one and a half: two threads */
    CHECK_EQUAL(cpus(), 2);
    put("user/job/cpu.max", "1000 100000\n");
    CHECK_EQUAL(cpus(), 1);
    /* The least on the way up counts. */
    put("user/job/cpu.max", "800000 100000\n");
    put("user/cpu.max", "500000 100000\n");
    CHECK_EQUAL(cpus(), 5);
    put("user/job/cpu.max", "400000 100000\n");
    CHECK_EQUAL(cpus(), 4);
    /* A container that sees its host's path but its own group. */
    put("membership", "0::/docker/0123456789\n");
    put("cpu.max", "200000 100000\n");
    CHECK_EQUAL(cpus(), 2);
    put("membership", "0::/\n");
    CHECK_EQUAL(cpus(), 2);
    finish();
}

static void nonsense_is_no_limit(void) {
    const char *const texts[] = {"", "\n", "x y", "100000", "-1 100000", "0 100000", "100000 0", "100000 -5",
                                 "99999999999999999999999999 1"};
    start("0::/job\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("job/cpu.max", texts[i]);
        CHECK_EQUAL(cpus(), INT_MAX);
    }
    finish();
}

static void version_1(void) {
    start("11:memory:/m\n4:cpu,cpuacct:/job\n2:cpuset:/job\n0::/\n");
    put("m/cpu.max", "100000 100000\n"); /* of a controller that is not cpu */
    put("cpuset/job/cpu.cfs_quota_us", "100000\n");
    put("cpuset/job/cpu.cfs_period_us", "100000\n");
    CHECK_EQUAL(cpus(), INT_MAX);
    put("cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    put("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    CHECK_EQUAL(cpus(), INT_MAX);
    put("cpu,cpuacct/job/cpu.cfs_quota_us", "350000\n");
    CHECK_EQUAL(cpus(), 4);
    put("cpu/job/cpu.cfs_quota_us", "250000\n");
    put("cpu/job/cpu.cfs_period_us", "100000\n");
    CHECK_EQUAL(cpus(), 3);
    put("cpu/cpu.cfs_quota_us", "50000\n");
    put("cpu/cpu.cfs_period_us", "50000\n");
    CHECK_EQUAL(cpus(), 1);
    finish();
}

static void hybrid(void) {
    start("1:name=systemd:/job\n0::/job\n");
    put("unified/job/cpu.max", "100000 100000\n");
    CHECK_EQUAL(cpus(), 1);
    finish();
}

static void the_default_respects_affinity(void) {
#ifdef __linux__
    cpu_set_t before, one;
    CHECK_EQUAL(sched_getaffinity(0, sizeof before, &before), 0);
    CHECK(nn_threads_default() <= CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &before) && CPU_COUNT(&one) == 0) CPU_SET(cpu, &one);
    CHECK_EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQUAL(nn_threads_default(), 1);
    CHECK_EQUAL(sched_setaffinity(0, sizeof before, &before), 0);
#endif
}

int main(void) {
    check_start();
    nothing_to_read_is_no_limit();
    version_2();
    nonsense_is_no_limit();
    version_1();
    hybrid();
    the_default_respects_affinity();
    return check_report();
}
