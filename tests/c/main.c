/* SPDX-License-Identifier: MIT
 * Runs the C tests: all, or the modules named; --quick for the reduced set. Exit code 1 when a check failed. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "test.h"

static const struct {
    const char *name;
    void (*run)(test *t);
} modules[] = {
    {"bytes", test_bytes},
    {"alloc", test_alloc_module},
    {"vec", test_vec},
    {"addrset", test_addrset},
    {"workset", test_workset},
    {"graph", test_graph},
    {"format", test_format},
    {"hostile", test_hostile},
    {"algo", test_algo},
    {"scc", test_scc},
    {"dominators", test_dominators},
    {"paths", test_paths},
    {"signature", test_signature},
    {"suspects", test_suspects},
    {"sharing", test_sharing},
    {"survivors", test_survivors},
    {"diff", test_diff},
    {"growth", test_growth},
    {"native", test_native},
    {"slots", test_slots},
    {"marking", test_marking},
    {"owners", test_owners},
    {"adversarial", test_adversarial},
    {"headroom", test_headroom},
    {"snapshot", test_snapshot},
    {"waste", test_waste},
    {"worst", test_worst},
};

static int wanted(const char *name, int argc, char **argv) {
    int named = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) return 1;
        named += argv[i][0] != '-';
    }
    return named == 0;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    uint64_t passed = 0, failed = 0;
    bool quick = false;
    for (int i = 1; i < argc; i++) quick = quick || strcmp(argv[i], "--quick") == 0;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (!wanted(modules[i].name, argc, argv)) continue;
        test t = {.name = modules[i].name, .quick = quick};
        double start = seconds();
        modules[i].run(&t);
        printf("%-11s %9llu checks, %llu failed, %.2f s\n", t.name, (unsigned long long)t.passed, (unsigned long long)t.failed,
               seconds() - start);
        passed += t.passed;
        failed += t.failed;
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed != 0;
}
