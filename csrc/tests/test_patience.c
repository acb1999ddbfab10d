/*
 * test_patience: workers that were of no help are woken more seldom, and those that kept their caller waiting not at all
 * for a while.
 */
#include "check.h"
#include "runtime/patience.h"

/* Jobs, of those that would wake a sleeping worker, until one may. */
static int passed(patience *p, int64_t helped) {
    int jobs = 0;
    while (!may_share(p, 0, true, helped)) jobs++;
    return jobs;
}

static void who_was_of_no_help_is_woken_more_seldom(void) {
    patience p = {0};
    int64_t helped = 0;
    CHECK_EQUAL(passed(&p, helped), 0);
    CHECK_EQUAL(passed(&p, helped), 0); /* the first time shows nothing yet: it fails now */
    for (int expected = 1; expected < 1 << (MOST_FAILURES - 1); expected *= 2) {
        CHECK(may_share(&p, 0, false, helped)); /* awake, or large: no matter */
        CHECK_EQUAL(passed(&p, helped += WORTH_NS - 1), expected);
    }
    CHECK_EQUAL(passed(&p, helped += WORTH_NS - 1), 1 << (MOST_FAILURES - 1));
    CHECK_EQUAL(passed(&p, helped += WORTH_NS - 1), 1 << (MOST_FAILURES - 1)); /* at most */
    CHECK_EQUAL(passed(&p, helped += WORTH_NS), 1 << (MOST_FAILURES - 1));     /* this time it was */
    CHECK_EQUAL(passed(&p, helped += WORTH_NS), 0);
    CHECK_EQUAL(passed(&p, helped), 0); /* again not */
    CHECK_EQUAL(passed(&p, helped), 1);
}

static void who_kept_us_waiting_is_left_alone(void) {
    patience p = {0};
    const int64_t worked = STALL_NS, waited = 3 * STALL_NS;
    int64_t start = 1000000000, alone = waited;
    for (int again = 0; again < 20; again++) {
        const int64_t now = start + worked + waited;
        note_wait(&p, start, now, waited);
        CHECK(!may_share(&p, now + alone - 1, false, 0));
        CHECK(may_share(&p, now + alone, false, 0));
        start = now + alone + alone - 1; /* before as much time has passed */
        alone = 2 * alone < LONGEST_NS ? 2 * alone : LONGEST_NS;
    }
    start++; /* when it has */
    note_wait(&p, start, start + worked + waited, waited);
    CHECK(may_share(&p, start + worked + 2 * waited, false, 0));
    note_wait(&p, start, start, INT64_MAX / 4); /* the process was stopped, perhaps */
    CHECK(may_share(&p, start + LONGEST_NS, false, 0));
}

static void a_wait_that_is_to_be_expected_changes_nothing(void) {
    patience p = {0};
    note_wait(&p, 0, STALL_NS - 1, STALL_NS - 1);          /* brief */
    note_wait(&p, 0, 30 * STALL_NS, 20 * STALL_NS - 1);    /* two pieces more than we had */
    CHECK_EQUAL(p.alone_until, 0);
    note_wait(&p, 0, 30 * STALL_NS, 20 * STALL_NS);
    CHECK(p.alone_until > 0);
}

int main(void) {
    check_start();
    who_was_of_no_help_is_woken_more_seldom();
    who_kept_us_waiting_is_left_alone();
    a_wait_that_is_to_be_expected_changes_nothing();
    return check_report();
}
