/* SPDX-License-Identifier: MIT
 * Drives the fuzz target without libFuzzer: every file given, then random mutations of them for some seconds. The seed is printed, and the
 * input under work is kept in a file, so that a crash can be repeated: standalone INPUT. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/status.h"
#include "test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUTS 64
#define SIZE_MAX_INPUT 65536

typedef struct input {
    uint8_t *data;
    size_t size;
} input;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int load(const char *path, input *out) {
    const uint8_t *map = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int status = fd < 0 ? MPR_EIO : mpr_file_map(fd, &map, &out->size);
    if (status == MPR_OK) {
        out->data = malloc(out->size + 1);
        if (out->data && map) memcpy(out->data, map, out->size);
        mpr_file_unmap(map, out->size);
    }
    if (fd >= 0) close(fd);
    return status == MPR_OK && out->data ? MPR_OK : MPR_EIO;
}

/* One change: a byte, a bit, a number, a cut, or a piece of another input. */
static size_t mutate(dice *d, uint8_t *data, size_t size, const input *other) {
    static const uint8_t numbers[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t at = (size_t)dice_below(d, size);
    size_t room = size - at, length = 1 + (size_t)dice_below(d, room < 32 ? room : 32);
    switch (dice_below(d, 6)) {
    case 0:
        data[at] = (uint8_t)dice_next(d);
        break;
    case 1:
        data[at] ^= (uint8_t)(1u << dice_below(d, 8));
        break;
    case 2:
        memset(data + at, numbers[dice_below(d, sizeof numbers)], length < 8 ? length : 8);
        break;
    case 3:
        return dice_chance(d, 20) ? at + 1 : size;
    case 4:
        memmove(data + at, data + dice_below(d, size - length + 1), length);
        break;
    default:
        if (other->size >= length) memcpy(data + at, other->data + dice_below(d, other->size - length + 1), length);
    }
    return size;
}

static void keep(const char *path, const uint8_t *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    (void)mpr_file_write(fd, data, size);
    close(fd);
}

static uint64_t run_mutations(const input *inputs, size_t count, double limit, uint64_t seed, const char *kept) {
    static uint8_t data[SIZE_MAX_INPUT];
    dice d = {seed};
    uint64_t runs = 0;
    for (double start = seconds(); seconds() - start < limit; runs++) {
        const input *base = &inputs[dice_below(&d, count)], *other = &inputs[dice_below(&d, count)];
        size_t size = base->size < sizeof data ? base->size : sizeof data;
        memcpy(data, base->data, size);
        for (uint64_t n = 1 + dice_below(&d, 6); n > 0 && size > 0; n--) size = mutate(&d, data, size, other);
        keep(kept, data, size);
        LLVMFuzzerTestOneInput(data, size);
    }
    return runs;
}

static volatile uint64_t seed_in_use;

/* So that a log tells how to have the failure again: by the same count of mutations from the same seed, on any machine. */
static void say_seed(int signal_number) {
    (void)signal_number;
    fprintf(stderr, "seed %llu, or the input that was kept\n", (unsigned long long)seed_in_use);
}

/* standalone [-s SECONDS] [-r SEED] [-k KEPT] FILE... */
int main(int argc, char **argv) {
    input inputs[INPUTS];
    size_t count = 0;
    double limit = 0;
    uint64_t seed = (uint64_t)time(NULL);
    const char *kept = "/dev/null";
    for (int option; (option = getopt(argc, argv, "s:r:k:")) != -1;) {
        if (option == 's') limit = atof(optarg);
        if (option == 'r') seed = strtoull(optarg, NULL, 10);
        if (option == 'k') kept = optarg;
    }
    seed_in_use = seed;
    signal(SIGABRT, say_seed);
    for (int i = optind; i < argc && count < INPUTS; i++)
        if (load(argv[i], &inputs[count]) == MPR_OK) {
            LLVMFuzzerTestOneInput(inputs[count].data, inputs[count].size);
            if (inputs[count].size > 0) count++;
            else free(inputs[count].data);
        }
    uint64_t runs = count > 0 && limit > 0 ? run_mutations(inputs, count, limit, seed, kept) : 0;
    printf("%zu inputs, %llu mutations, seed %llu: no failure\n", count, (unsigned long long)runs, (unsigned long long)seed);
    for (size_t i = 0; i < count; i++) free(inputs[i].data);
    return count == 0;
}
