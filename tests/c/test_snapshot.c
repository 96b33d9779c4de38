/* SPDX-License-Identifier: MIT
 * snapshot/: a made-up heap by a host that is made up as well, by a child and without one, and each way for it to end. */
#define _GNU_SOURCE 1
#include "snapshot/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/status.h"
#include "format/reader.h"
#include "graph/graph.h"
#include "test.h"

#define MIB ((uint64_t)1 << 20)
#define NOTES 100000

static const heap_shape shape = {.nodes = 20000, .types = 20, .edges = 3}; /* its file is larger than a pipe */

typedef struct host {
    mpr_snapshots all;
    mpr_snapshot_host calls;
    mpr_snapshot_request request;
    mpr_snapshot_result result;
    bool locked, wrong; /* it was called with the lock as it must not be */
    int prepared, looks; /* how often it was called */
    int interrupt_at;    /* the look that interrupts; 0: none */
    void (*on_prepare)(struct host *h);
    void (*on_release)(struct host *h);
    const char *path; /* for these */
    int reader, other;
} host;

/* Valgrind forbids a child to look at memory that is anybody's, as the account does. */
static bool child_counts = true;

static void release(void *context) {
    host *h = context;
    h->wrong = h->wrong || !h->locked;
    h->locked = false;
    if (h->on_release != NULL) h->on_release(h);
}

static void take(void *context) {
    host *h = context;
    h->wrong = h->wrong || h->locked;
    h->locked = true;
}

static void prepare(void *context) {
    host *h = context;
    h->wrong = h->wrong || !h->locked;
    h->prepared++;
    if (h->on_prepare != NULL) h->on_prepare(h);
}

static bool interrupted(void *context) {
    host *h = context;
    h->wrong = h->wrong || !h->locked;
    return ++h->looks == h->interrupt_at;
}

static int emit(mpr_sink *sink, const char *key, int64_t number) {
    return sink->info(sink, &(mpr_seen_info){.key = key, .number = number});
}

/* It emits what it has seen of this layer, and leaves a note: one more than what was there. */
static int walk(void *context, const mpr_snapshot_tools *tools) {
    const host *h = context;
    unsigned char *notes = tools->notes;
    int status = child_counts || !tools->forked ? tools->emit_account(tools->context, tools->sink, 4096) : MPR_OK;
    if (status == MPR_OK && notes != NULL) {
        status = notes[0] == notes[NOTES - 1] ? emit(tools->sink, "note", notes[0]) : MPR_EFORMAT;
        notes[0]++, notes[NOTES - 1]++;
    }
    bool same = tools->forked == (notes != NULL) && tools->forked == (tools->more != NULL) && h->locked;
    status = status == MPR_OK && !same ? MPR_EFORMAT : status;
    return status == MPR_OK ? heap_tell(7, &shape, tools->sink) : status;
}

static int pause_for(int (*work)(void *), void *of) { return work(of); }

static void host_init(host *h, int fd) {
    *h = (host){.locked = true, .reader = -1, .other = -1};
    h->calls = (mpr_snapshot_host){.lock = {h, release, take},
                                   .context = h,
                                   .notes_size = NOTES,
                                   .pause = pause_for,
                                   .prepare = prepare,
                                   .walk = walk,
                                   .interrupted = interrupted};
    h->request = (mpr_snapshot_request){.file = mpr_held_look(fd),
                                        .fork = true,
                                        .seconds = 60,
                                        .watch = -1,
                                        .places = {MPR_HEADROOM_PROCESS, MPR_HEADROOM_CGROUPS}};
}

static mpr_snapshot_ending run(test *t, host *h) {
    mpr_snapshot_take(&h->all, &h->request, &h->calls, &h->result);
    CHECK(t, h->locked && !h->wrong && h->all.under_way == NULL);
    CHECK(t, waitpid(-1, NULL, WNOHANG | 0x40000000) < 0); /* __WALL: no child is left, of whatever kind */
    return h->result.ending;
}

/* ---- what is written ---- */

static int64_t fact(const mpr_graph *g, const char *key) {
    const mpr_info *info = g == NULL ? NULL : mpr_graph_info(g, key);
    return info == NULL ? -1 : info->number;
}

/* The graph of a file, which is empty afterwards. */
static mpr_graph *load(test *t, int fd, mpr_alloc *alloc) {
    const uint8_t *data;
    size_t size;
    mpr_read_report report;
    mpr_graph *g = NULL;
    mpr_builder *builder;
    mpr_alloc_pages(alloc);
    if (!CHECK(t, mpr_file_map(fd, &data, &size) == MPR_OK && mpr_builder_new(&builder, alloc) == MPR_OK)) return NULL;
    CHECK(t, mpr_read(data, size, mpr_builder_sink(builder), alloc, NULL, NULL, &report) == MPR_OK && !report.cut);
    CHECK(t, mpr_builder_freeze(builder, &g) == MPR_OK);
    mpr_builder_free(builder);
    mpr_file_unmap(data, size);
    CHECK(t, ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    return g;
}

/* Is what was written the heap, with these facts, and what it is said to have cost? */
static void check_file(test *t, const host *h, int fd, int64_t note) {
    mpr_alloc alloc;
    const mpr_snapshot_cost *cost = &h->result.cost;
    mpr_graph *g = load(t, fd, &alloc);
    if (!CHECK(t, g != NULL)) return;
    CHECK(t, h->result.status == MPR_OK && cost->objects >= shape.nodes && cost->edges > shape.nodes && cost->bytes > 100000);
    CHECK(t, cost->memory > 0 && cost->pause_ns > 0 && cost->pause_ns <= cost->duration_ns);
    CHECK(t, fact(g, "pause_ns") == cost->pause_ns && fact(g, "duration_ns") == cost->duration_ns);
    CHECK(t, fact(g, "fork_ns") == (h->result.forked ? cost->fork_ns : -1));
    CHECK(t, fact(g, "cow_bytes") == (h->result.forked ? cost->cow_bytes : -1));
    CHECK(t, fact(g, "mem_resident") > (int64_t)MIB || (h->result.forked && !child_counts));
    CHECK(t, fact(g, "note") == note);
    mpr_graph_free(g);
}

static void forked_and_not(test *t) {
    int fd = file_nameless();
    host h;
    host_init(&h, fd);
    for (int i = 0; i < 3; i++) { /* a child has the notes of the one before */
        CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && h.result.forked && h.result.reason[0] == '\0' && h.result.cost.fork_ns > 0);
        check_file(t, &h, fd, i);
    }
    h.request.fork = false;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && !h.result.forked && h.result.reason[0] == '\0');
    check_file(t, &h, fd, -1);
    h.request.fork = true, h.request.no_fork = "the host says so";
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && !h.result.forked && strcmp(h.result.reason, "the host says so") == 0);
    check_file(t, &h, fd, -1);
    h.request.no_fork = NULL;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && h.result.forked && h.prepared == 6);
    check_file(t, &h, fd, 3);
    mpr_snapshots_free(&h.all);
    close(fd);
}

/* ---- descriptors ---- */

static void put_another(host *h) { h->other = dup2(h->reader, h->request.file.fd); }

/* The last code of the program's before the fork gives the number to another file. */
static void file_is_no_longer_ours(test *t) {
    int fd = file_nameless(), another = file_nameless();
    for (int fork = 0; fork < 2; fork++) {
        host h;
        host_init(&h, dup(fd));
        h.request.fork = fork, h.on_prepare = put_another, h.reader = another;
        CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && h.result.status == MPR_EIO && h.result.error == EBADF);
        CHECK(t, lseek(fd, 0, SEEK_END) == 0 && lseek(another, 0, SEEK_END) == 0);
        close(h.other);
        mpr_snapshots_free(&h.all);
    }
    close(fd), close(another);
}

static void disk_is_full(test *t) {
    int fd = open("/dev/full", O_WRONLY);
    for (int fork = 0; fork < 2; fork++) {
        host h;
        host_init(&h, fd);
        h.request.fork = fork;
        CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && h.result.status == MPR_EIO && h.result.error == ENOSPC);
        mpr_snapshots_free(&h.all);
    }
    close(fd);
}

static int open_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (folder != NULL && readdir(folder) != NULL) count++;
    if (folder != NULL) closedir(folder);
    return count;
}

/* In a process that is forked now, is nothing of the snapshot open? `other`: how many descriptors there were before it. */
static bool fork_and_look(void *context) {
    host *h = context;
    h->wrong = h->wrong || h->all.under_way == NULL || open_descriptors() <= h->other;
    pid_t worker = fork();
    if (worker == 0) {
        mpr_snapshots_discard(&h->all);
        _exit(h->all.under_way != NULL || open_descriptors() != h->other);
    }
    int status = -1;
    waitpid(worker, &status, 0);
    h->wrong = h->wrong || status != 0;
    return true;
}

static void forked_process_has_nothing(test *t) {
    int ends[2];
    host h;
    CHECK(t, pipe(ends) == 0); /* nobody reads: the child waits */
    host_init(&h, ends[1]);
    h.other = open_descriptors();
    h.calls.interrupted = fork_and_look;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_INTERRUPTED);
    CHECK(t, open_descriptors() == h.other);
    mpr_snapshots_free(&h.all);
    close(ends[0]), close(ends[1]);
}

/* The host's own code forks, and returns in both processes. */
static bool fork_and_return(void *context) {
    host *h = context;
    pid_t worker = fork();
    if (worker == 0) {
        mpr_snapshots_discard(&h->all);
        h->other = -2; /* this is the new one */
        return false;
    }
    int status = -1;
    waitpid(worker, &status, 0);
    h->wrong = h->wrong || status != 0;
    return true;
}

static void prepare_forks(host *h) { fork_and_return(h); }

static void new_process_abandons_it(test *t) {
    for (int early = 0; early < 2; early++) {
        int ends[2];
        host h;
        CHECK(t, pipe(ends) == 0);
        host_init(&h, ends[1]);
        h.calls.interrupted = early ? interrupted : fork_and_return;
        h.interrupt_at = 1;
        h.on_prepare = early ? prepare_forks : NULL;
        mpr_snapshot_take(&h.all, &h.request, &h.calls, &h.result);
        if (h.other == -2) _exit(h.result.ending != MPR_SNAPSHOT_ABANDONED || h.all.under_way != NULL);
        CHECK(t, h.result.ending == MPR_SNAPSHOT_INTERRUPTED && !h.wrong && h.all.under_way == NULL);
        mpr_snapshots_free(&h.all);
        close(ends[0]), close(ends[1]);
    }
}

/* ---- ends ---- */

/* With a pipe that nobody reads, so that a child waits for ever. */
static void ends_early(test *t) {
    int ends[2], client[2];
    host h;
    CHECK(t, pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, client) == 0);
    host_init(&h, ends[1]);
    h.interrupt_at = 2;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_INTERRUPTED && h.looks == 2);
    h.looks = 0, h.request.watch = client[0];
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_INTERRUPTED && h.looks == 2); /* the client is there */
    close(client[1]);
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_CLIENT_GONE);
    h.request.watch = -1, h.request.seconds = 1, h.interrupt_at = 0;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_CHILD_DIED && h.result.signal == SIGALRM);
    mpr_snapshots_free(&h.all);
    close(ends[0]), close(ends[1]), close(client[0]);
}

static int die(void *context, const mpr_snapshot_tools *tools) {
    const host *h = context;
    ((unsigned char *)tools->notes)[0] = 99;
    if (h->other < 0) raise(SIGKILL);
    _exit(3);
}

/* What such a child has noted is not the next one's. */
static void child_dies(test *t) {
    int fd = file_nameless();
    host h;
    host_init(&h, fd);
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && h.result.forked);
    check_file(t, &h, fd, 0);
    h.calls.walk = die;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_CHILD_DIED && h.result.signal == SIGKILL);
    h.other = 0;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_CHILD_DIED && h.result.signal == 0);
    h.calls.walk = walk;
    CHECK(t, ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && h.result.forked);
    check_file(t, &h, fd, 0);
    mpr_snapshots_free(&h.all);
    close(fd);
}

/* ---- memory ---- */

static void put(const char *folder, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (file != NULL) {
        fputs(text, file);
        fclose(file);
    }
}

/* So many MiB of a GiB are left. */
static void leave(const char *folder, uint64_t mebibytes) {
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)((1024 - mebibytes) * MIB));
    put(folder, "memory.current", text);
}

static void memory_goes(host *h) {
    if (h->prepared > 0) leave(h->path, 4);
}

/* A process of 0 bytes: it needs 12 MiB, 4 more for a fork, and a reserve of 16. */
static void memory_is_scarce(test *t) {
    char folder[] = "/tmp/memprobe-test-XXXXXX", command[64];
    int fd = file_nameless(), ends[2];
    host h;
    CHECK(t, mkdtemp(folder) != NULL && pipe(ends) == 0);
    put(folder, "cgroup", "0::/\n");
    put(folder, "memory.max", "1073741824\n");
    host_init(&h, fd);
    h.request.places = (mpr_headroom_places){folder, folder};
    h.path = folder;
    leave(folder, 11);
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_SHORTAGE && h.prepared == 0);
    CHECK(t, strcmp(h.result.reason, "a snapshot may need 12 MiB and only 11 MiB are free: there is none") == 0);
    leave(folder, 20);
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && !h.result.forked);
    CHECK(t, strcmp(h.result.reason, "a fork may need 32 MiB and only 20 MiB are free") == 0);
    check_file(t, &h, fd, -1);
    leave(folder, 500);
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_DONE && h.result.forked);
    h.request.file = mpr_held_look(ends[1]), h.prepared = 0, h.on_release = memory_goes;
    CHECK(t, run(t, &h) == MPR_SNAPSHOT_CHILD_ENDED && h.result.left == 4 * MIB);
    mpr_snapshots_free(&h.all);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(t, system(command) == 0);
    close(fd), close(ends[0]), close(ends[1]);
}

void test_snapshot(test *t) {
    child_counts = !t->quick;
    forked_and_not(t);
    file_is_no_longer_ours(t);
    disk_is_full(t);
    child_dies(t);
    if (t->quick) return; /* valgrind knows not how we kill */
    forked_process_has_nothing(t);
    new_process_abandons_it(t);
    ends_early(t);
    memory_is_scarce(t);
}
