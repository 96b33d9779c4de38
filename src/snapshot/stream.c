/* SPDX-License-Identifier: MIT
 * The work of a snapshot, here or in a child: the account, the host's walk, what it cost. */
#include <errno.h>

#include "base/os/process.h"
#include "base/status.h"
#include "format/writer.h"
#include "snapshot/job.h"

#define PAUSE_MS 1000 /* that a child waits for its parent to say what the pause was */

/* ---- the account ---- */

typedef struct accounting {
    mpr_job *job;
    bool forked;
} accounting;

/* A child takes the account when its walk has given leaf buffers back, which the process may write to already. */
static int emit_account(void *context, mpr_sink *sink, uint64_t discarded) {
    const accounting *a = context;
    mpr_job *job = a->job;
    int64_t start = mpr_process_monotonic_ns();
    if (a->forked) {
        mpr_held pages = mpr_maps_open(0, MPR_MAPS_PAGES);
        if (mpr_account_finish(&job->account, &job->alloc, &pages, true, &job->more) == MPR_OK) { /* else what is known is less */
            mpr_account_add_discarded(&job->account, discarded);
        }
        mpr_held_close(&pages);
    }
    int status = mpr_account_tell(&job->account, &job->more, sink);
    return status == MPR_OK && a->forked ? mpr_sink_number(sink, "account_ns", mpr_process_monotonic_ns() - start) : status;
}

/* ---- the cost ---- */

/* The parent says what the pause was after it: it may have to wait for a processor first. */
static void await_pause(const volatile int64_t *pause_ns) {
    for (int i = 0; i < PAUSE_MS && *pause_ns == 0; i++) {
        mpr_process_sleep_ms(1);
    }
}

/* When the tables of the walk are gone, and those of the account: the child's other pages are copies. */
static void measure(mpr_snapshot_cost *out, const mpr_writer *writer, int64_t start, bool forked) {
    out->duration_ns = mpr_process_monotonic_ns() - start;
    if (!forked) {
        out->pause_ns = out->duration_ns;
        return;
    }
    uint64_t mine = mpr_process_private(), tables = mpr_writer_resident(writer);
    out->cow_bytes = mine > tables ? (int64_t)(mine - tables) : 0;
    await_pause(&out->pause_ns);
}

static int emit_cost(mpr_sink *sink, const mpr_snapshot_cost *cost, bool forked) {
    const struct {
        const char *key;
        int64_t number;
    } facts[] = {{"pause_ns", cost->pause_ns},
                 {"duration_ns", cost->duration_ns},
                 {"fork_ns", cost->fork_ns},
                 {"cow_bytes", cost->cow_bytes}};
    size_t count = forked ? 4 : 2;
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < count; i++) {
        status = mpr_sink_number(sink, facts[i].key, facts[i].number);
    }
    return status;
}

/* ---- all of it ---- */

static int walk(mpr_job *job, mpr_sink *sink, bool forked) {
    accounting a = {job, forked};
    const mpr_snapshot_tools tools = {.sink = sink,
                                      .alloc = &job->alloc,
                                      .forked = forked,
                                      .notes = forked ? job->notes : NULL,
                                      .emit_account = emit_account,
                                      .context = &a,
                                      .more = forked ? &job->more : NULL,
                                      .sharing = forked ? &job->sharing : NULL};
    int status = job->host->walk(job->host->context, &tools);
    mpr_account_more_free(&job->more);
    mpr_sharing_free(&job->sharing);
    return status;
}

static int write_all(mpr_job *job, mpr_writer *writer, mpr_snapshot_cost *cost, bool forked) {
    mpr_sink *sink = mpr_writer_sink(writer);
    int status = walk(job, sink, forked);
    if (status == MPR_OK) {
        measure(cost, writer, job->start, forked);
        status = emit_cost(sink, cost, forked);
    }
    return status == MPR_OK ? mpr_writer_finish(writer) : status;
}

void mpr_job_stream(mpr_job *job, mpr_job_report *out, bool forked) {
    mpr_writer *writer = NULL;
    int status = mpr_writer_new(&writer, &job->alloc, job->request->file.fd);
    if (status == MPR_OK) {
        status = write_all(job, writer, &out->cost, forked);
    }
    out->status = status;
    out->error = errno;
    if (writer != NULL) {
        out->cost.objects = mpr_writer_nodes(writer);
        out->cost.edges = mpr_writer_edges(writer);
        out->cost.bytes = mpr_writer_bytes(writer);
    }
    out->cost.memory = job->alloc.peak;
    mpr_writer_free(writer);
}
