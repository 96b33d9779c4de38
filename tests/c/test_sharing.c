/* SPDX-License-Identifier: MIT
 * native/sharing: a child of this process does known things to some pages, and finds them. */
#define _GNU_SOURCE 1
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/status.h"
#include "native/sharing.h"
#include "test.h"

#define PAGE ((size_t)4096)
#define PAGES 64
#define NOTE 24 /* in each page, where a note stands */

static uint8_t *shared_pages; /* as the parent has them */

static uint8_t *fresh(size_t pages) {
    uint8_t *block = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

static bool is_note(void *context, uint64_t address) {
    (void)context;
    return address % PAGE == NOTE;
}

/* Is a page in one of the runs? */
static bool has(const mpr_sharing_runs *runs, const uint8_t *page) {
    uint64_t address = (uint64_t)(uintptr_t)page;
    bool found = false;
    for (size_t i = 0; i < runs->count; i++) {
        found |= address >= runs->items[i].begin && address - runs->items[i].begin < runs->items[i].pages * PAGE;
    }
    return found;
}

static bool ascends(const mpr_sharing_runs *runs) {
    bool fine = true;
    for (size_t i = 1; i < runs->count; i++) {
        fine &= runs->items[i].begin > runs->items[i - 1].begin + (runs->items[i - 1].pages - 1) * PAGE;
    }
    return fine;
}

static int look(mpr_sharing *sharing, mpr_alloc *alloc, mpr_sink *sink) {
    *sharing = (mpr_sharing){.alloc = alloc};
    mpr_sharing_files files = mpr_sharing_open();
    mpr_sharing_begin(sharing, &files);
    mpr_sharing_close(&files);
    return mpr_sharing_finish(sharing, is_note, NULL, sink);
}

/* In the child: 0 when all is as it did it, else the number of what is not. */
static int find_what_it_did(void) {
    uint8_t *page = shared_pages, *made = fresh(5);
    mpr_alloc alloc;
    mpr_sharing s;
    tape emitted;
    mpr_alloc_pages(&alloc);
    tape_init(&emitted, &alloc);
    page[0] = 77;                          /* written to */
    page[9 * PAGE + PAGE - 1] = 78;        /* the last byte, too */
    *(volatile uint8_t *)&page[2 * PAGE] = page[2 * PAGE]; /* changed back */
    page[4 * PAGE + NOTE] = 79;            /* a note */
    page[6 * PAGE + NOTE] = 80, page[6 * PAGE + NOTE + 8] = 81; /* a note, and more */
    memset(made, 1, 5 * PAGE);
    munmap(page + 40 * PAGE, PAGE);
    int status = look(&s, &alloc, &emitted.sink);
    tape_end(&emitted);
    int wrong = status != MPR_OK                                                               ? 1
                : s.parent != (int64_t)getppid()                                               ? 2
                : !s.compared                                                                  ? 3
                : !has(&s.written, page) || !has(&s.written, page + 9 * PAGE) || !has(&s.written, page + 6 * PAGE) ? 4
                : !has(&s.kept, page + 2 * PAGE) || !has(&s.kept, page + 4 * PAGE)             ? 5
                : has(&s.own, page + 3 * PAGE) || has(&s.own, page + 40 * PAGE)                ? 6
                : !has(&s.made, made) || !has(&s.made, made + 4 * PAGE) || has(&s.kept, made)  ? 7
                : !ascends(&s.own) || !ascends(&s.made) || !ascends(&s.kept) || !ascends(&s.written) ? 8
                                                                                               : 0;
    mpr_sharing_free(&s);
    tape_free(&emitted);
    return wrong != 0 ? wrong : alloc.used != 0 ? 9 : 0;
}

/* However little memory there is, the child gets to its end: what is not known is not told. */
static int without_memory(void) {
    test_alloc a;
    mpr_sink sink = {.info = NULL};
    test_alloc_init(&a);
    shared_pages[0]++;
    for (uint64_t nth = 1; nth < 4; nth++) {
        mpr_sharing s;
        a.calls = 0, a.fail_at = nth, a.tripped = false;
        int status = look(&s, &a.alloc, &sink);
        bool unknown = s.parent == 0 && status == MPR_OK;
        mpr_sharing_free(&s);
        if (!a.tripped || !(unknown || status == MPR_ENOMEM) || a.live != 0) {
            return (int)nth;
        }
    }
    return 0;
}

static int count_info(mpr_sink *sink, const mpr_seen_info *info) {
    (void)info;
    ++*(int *)(void *)(sink + 1);
    return MPR_OK;
}

/* A parent that ends after the first look: nothing is known of it any more, and nothing is told. */
static int outlives_its_parent(void) {
    int ends[2], wrong = -1;
    struct {
        mpr_sink sink;
        int told;
    } counter = {{.info = count_info}, 0};
    int *answer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (answer == MAP_FAILED || pipe(ends) != 0) return 1;
    pid_t middle = fork();
    if (middle == 0) {
        pid_t parent = getpid();
        if (fork() != 0) _exit(read(ends[0], answer + 1, 1) == 1 ? 0 : 1);
        mpr_alloc alloc;
        mpr_alloc_pages(&alloc);
        mpr_sharing s = {.alloc = &alloc};
        shared_pages[0]++;
        mpr_sharing_files files = mpr_sharing_open();
        mpr_sharing_begin(&s, &files);
        mpr_sharing_close(&files);
        bool began = s.parent == (int64_t)parent && has(&s.own, shared_pages);
        if (write(ends[1], "", 1) != 1) _exit(1);
        while (getppid() == parent) mpr_process_sleep_ms(1);
        int status = mpr_sharing_finish(&s, is_note, NULL, &counter.sink);
        __atomic_store_n(answer, !began ? 10 : status != MPR_OK ? 11 : counter.told > 0 ? 12 : 13, __ATOMIC_RELEASE);
        _exit(0);
    }
    waitpid(middle, &wrong, 0);
    for (int i = 0; i < 5000 && __atomic_load_n(answer, __ATOMIC_ACQUIRE) < 10; i++) mpr_process_sleep_ms(1);
    return *answer == 13 ? 0 : *answer;
}

static int in_a_child(int (*work)(void)) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        _exit(work());
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Valgrind gives its programs an auxiliary vector of its own making: then nobody is known to be forked by anybody. */
static int is_forked(void) { return mpr_process_forked_by() == (int64_t)getppid(); }

void test_sharing(test *t) {
    shared_pages = fresh(PAGES);
    memset(shared_pages, 5, PAGES * PAGE);
    CHECK(t, mpr_process_forked_by() == 0); /* a shell or make has begun us */
    if (CHECK(t, in_a_child(is_forked) == 1 || !test_has_glibc())) {
        CHECK(t, in_a_child(is_forked) == 0 || in_a_child(find_what_it_did) == 0);
        CHECK(t, in_a_child(is_forked) == 0 || in_a_child(without_memory) == 0);
        CHECK(t, in_a_child(is_forked) == 0 || outlives_its_parent() == 0);
    }
    munmap(shared_pages, PAGES * PAGE);
}
