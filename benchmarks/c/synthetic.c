/* SPDX-License-Identifier: MIT
 * A heap of any size, without Python: written as a snapshot, loaded, and asked. `make bench-scaling` runs it with 100 million objects
 * and 200 million edges.
 *
 *     synthetic NODES FILE
 *
 * Node i refers to one of the next 64 nodes, and to one of the next 65,536 or (every fourth) to any: two edges a node, most of it one tangled
 * component, and mostly near, as in a real heap. Counts are those of the edges, so that what nobody refers to hangs below "C references". Prints a line a job: seconds, and the resident set's
 * high-water mark since the loading began. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "algo/dominators.h"
#include "algo/retained.h"
#include "algo/suspects.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "format/reader.h"
#include "format/writer.h"
#include "graph/builder.h"

#define FIRST_ADDRESS UINT64_C(0x7f0000000000)
#define STRIDE 64
#define TYPES 1000

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static uint64_t near(uint64_t i, uint64_t nodes) { return (i + 1 + mix(i) % 64) % nodes; }

static uint64_t far(uint64_t i, uint64_t nodes) {
    uint64_t x = mix(i ^ UINT64_C(0xABCDEF0123));
    return x % 4 == 0 ? (x >> 8) % nodes : (i + (x >> 8) % 65536) % nodes;
}

static uint64_t address_of(uint64_t i) { return FIRST_ADDRESS + i * STRIDE; }

static void check(int status, const char *what) {
    if (status != MPR_OK) {
        fprintf(stderr, "synthetic: %s: %s\n", what, mpr_status_text(status));
        exit(1);
    }
}

/* ---- making it ---- */

static void tell_types(mpr_sink *sink) {
    for (int i = 0; i < TYPES; i++) {
        char name[32];
        mpr_seen_type type = {.name = name, .name_length = (size_t)snprintf(name, sizeof name, "made.Type%d", i), .basicsize = 48};
        check(sink->type(sink, &type), "type");
    }
}

static void tell_node(mpr_sink *sink, uint64_t i, uint64_t nodes, uint32_t refcount) {
    mpr_seen_node node = {.address = address_of(i),
                          .size = 32 + mix(i) % 200,
                          .refcount = refcount == 0 ? 1 : refcount,
                          .type = (uint32_t)(mix(i) % TYPES),
                          .flags = MPR_NODE_TRACKED};
    mpr_seen_edge edges[2] = {{.target = address_of(near(i, nodes)), .label = mpr_label_make(MPR_LABEL_INDEX, 0)},
                              {.target = address_of(far(i, nodes)), .label = mpr_label_make(MPR_LABEL_INDEX, 1)}};
    check(sink->node(sink, &node), "node");
    check(sink->edges(sink, edges, 2), "edges");
}

static void write_file(uint64_t nodes, const char *path) {
    mpr_alloc alloc;
    mpr_writer *writer;
    mpr_alloc_pages(&alloc);
    uint32_t *refs = mpr_alloc_array(&alloc, nodes, sizeof *refs);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(refs == NULL ? MPR_ENOMEM : fd < 0 ? MPR_EIO : MPR_OK, path);
    for (uint64_t i = 0; i < nodes; i++) {
        refs[near(i, nodes)]++;
        refs[far(i, nodes)]++;
    }
    check(mpr_writer_new(&writer, &alloc, fd), path);
    tell_types(mpr_writer_sink(writer));
    for (uint64_t i = 0; i < nodes; i++) {
        tell_node(mpr_writer_sink(writer), i, nodes, refs[i]);
    }
    check(mpr_writer_finish(writer), path);
    printf("file: %.2f GiB, %.1f bytes an object\n", (double)mpr_writer_bytes(writer) / (1 << 30),
           (double)mpr_writer_bytes(writer) / (double)nodes);
    mpr_writer_free(writer);
    close(fd);
}

/* ---- asking ---- */

static double peak_gib(void) {
    char line[256];
    double peak = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            peak = strtod(line + 6, NULL) / (1 << 20);
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return peak;
}

static void report(const char *job, int64_t *since) {
    int64_t now = mpr_process_monotonic_ns();
    printf("%-24s %8.1f s   peak %5.2f GiB\n", job, (double)(now - *since) / 1e9, peak_gib());
    fflush(stdout);
    *since = mpr_process_monotonic_ns();
}

static mpr_graph *load(const char *path, mpr_alloc *alloc) {
    const uint8_t *data;
    size_t size;
    mpr_builder *builder;
    mpr_graph *graph;
    mpr_read_report done;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd < 0 ? MPR_EIO : mpr_file_map(fd, &data, &size), path);
    check(mpr_builder_new(&builder, alloc), "builder");
    check(mpr_read(data, size, mpr_builder_sink(builder), alloc, NULL, NULL, &done), "read");
    mpr_file_unmap(data, size);
    check(mpr_builder_freeze(builder, &graph), "freeze");
    mpr_builder_free(builder);
    close(fd);
    return graph;
}

static int ask(const char *path) {
    mpr_alloc alloc;
    mpr_dominators dominators = {0};
    mpr_tree tree = {0};
    mpr_name_tree names = {0};
    mpr_suspects suspects = {0};
    mpr_alloc_pages(&alloc);
    int64_t since = mpr_process_monotonic_ns();
    mpr_graph *graph = load(path, &alloc);
    report("load and freeze", &since);
    printf("  %u nodes, %llu edges\n", graph->nodes, (unsigned long long)graph->edges);
    check(mpr_dominators_find(graph, NULL, NULL, NULL, &dominators), "dominators");
    report("dominators, retained", &since);
    check(mpr_tree_make(&dominators, &tree), "tree");
    check(mpr_name_tree_begin(graph, false, &names), "names");
    check(mpr_suspects_find(graph, &dominators, &tree, &names, NULL, &suspects), "suspects");
    report("suspects", &since);
    bool whole = dominators.retained[graph->group[MPR_GROUP_ROOT]] == graph->totals.bytes;
    printf("  the root retains %s\n", whole ? "the whole heap" : "SOMETHING ELSE");
    mpr_suspects_free(&suspects);
    mpr_name_tree_free(&names);
    mpr_tree_free(&tree);
    mpr_dominators_free(&dominators);
    mpr_graph_free(graph);
    return whole ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: synthetic NODES FILE\n");
        return 2;
    }
    pid_t maker = fork(); /* so that the making is in nobody's memory */
    if (maker == 0) {
        write_file(strtoull(argv[1], NULL, 10), argv[2]);
        exit(0);
    }
    int code = 1;
    waitpid(maker, &code, 0);
    return code != 0 ? 1 : ask(argv[2]);
}
