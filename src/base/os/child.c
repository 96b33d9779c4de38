/* SPDX-License-Identifier: MIT
 * The child, by clone(2) without an exit signal. After it, only system calls that need no lock. */
#define _GNU_SOURCE
#include "base/os/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/status.h"

#define NICE 10
#define MOST_URGENT -20
#define SLICE 20 /* ms between two looks, where there is no pidfd */
#define MOST_DESCRIPTORS 65536
#define PROCESS_MRELEASE 448 /* Linux 5.15; the same number on every machine, and newer than some headers */

/* ---- in the child ---- */

static bool is_child; /* in its own copy of memory */

uint64_t mpr_child_discard(const void *block, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)block + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)block + size) / page * page;
    if (!is_child || begin >= end) {
        return 0;
    }
    mpr_held pages = mpr_maps_open(0, MPR_MAPS_PAGES);
    uint64_t resident = mpr_maps_written_bytes(&pages, begin, end);
    mpr_held_close(&pages);
    madvise((void *)begin, end - begin, MADV_DONTNEED);
    return resident;
}

static void close_range_of(unsigned first, unsigned last) {
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) {
        return;
    }
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    unsigned end = limit.rlim_cur > MOST_DESCRIPTORS ? MOST_DESCRIPTORS : (unsigned)limit.rlim_cur;
    for (unsigned fd = first; fd <= last && fd < end; fd++) {
        close((int)fd);
    }
}

static void close_all_but(int keep) {
    if (keep > 0) {
        close_range_of(0, (unsigned)keep - 1);
    }
    close_range_of((unsigned)keep + 1, ~0u);
}

static void be_first_to_go(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, "1000", 4);
        (void)ignored;
        close(fd);
    }
}

/* SIGALRM alone gets through, and ends the process as it does where nobody handles it. */
static void limit_time(unsigned seconds) {
    struct sigaction end = {.sa_handler = SIG_DFL};
    struct itimerval timer = {.it_value = {.tv_sec = seconds}};
    sigset_t alarm;
    sigaction(SIGALRM, &end, NULL);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    setitimer(ITIMER_REAL, &timer, NULL);
    sigprocmask(SIG_UNBLOCK, &alarm, NULL);
}

static void settle(int64_t parent, int keep, unsigned seconds, int nice) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1); /* it died before it could be tied to us */
    }
    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}); /* a real-time service's child needs no real time */
    setpriority(PRIO_PROCESS, 0, nice > NICE ? nice : NICE); /* soon: the parent may wait for this processor */
    prctl(PR_SET_NAME, "memprobe");
    limit_time(seconds);
    close_all_but(keep);
    be_first_to_go();
    prctl(PR_SET_DUMPABLE, 0); /* its /proc files are root's from here on */
}

/* ---- in the parent ---- */

static int no_child(mpr_child *child) {
    int saved = errno;
    munmap(child->shared, child->size);
    child->shared = NULL;
    errno = saved;
    return MPR_EIO;
}

int mpr_child_start(mpr_child *child, size_t shared_size, int keep, unsigned seconds, mpr_child_work *work, void *context) {
    *child = (mpr_child){.size = shared_size};
    void *shared = mmap(NULL, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return MPR_EIO;
    }
    child->shared = shared;
    int64_t parent = mpr_process_id(), start = mpr_process_monotonic_ns();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the application's handlers must not run in the child */
    int nice = getpriority(PRIO_PROCESS, 0);
    bool hurries = setpriority(PRIO_PROCESS, 0, MOST_URGENT) == 0; /* this thread, where it may: everybody waits for it now */
    long pid = syscall(SYS_clone, 0L, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        is_child = true;
        settle(parent, keep, seconds, nice);
        work(shared, context);
        _exit(0);
    }
    int failure = errno;
    child->started = mpr_process_monotonic_ns();
    child->fork_ns = child->started - start;
    if (hurries) {
        setpriority(PRIO_PROCESS, 0, nice);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        errno = failure;
        return no_child(child);
    }
    child->pid = pid;
    child->handle = mpr_held_take((int)syscall(SYS_pidfd_open, (pid_t)pid, 0));
    return MPR_OK;
}

/* Reap it if it has ended. */
static bool reap(mpr_child *child, int options) {
    if (!child->ended) {
        pid_t pid;
        do {
            pid = waitpid((pid_t)child->pid, &child->exit_status, __WALL | options);
        } while (pid < 0 && errno == EINTR);
        child->ended = pid != 0; /* an error: somebody else reaped it */
    }
    return child->ended;
}

int mpr_child_wait(mpr_child *child, int milliseconds, int watch) {
    int handle = mpr_held_fd(&child->handle);
    struct pollfd both[2] = {{.fd = handle, .events = POLLIN}, {.fd = watch, .events = POLLRDHUP}};
    int ready = poll(both, 2, handle < 0 && milliseconds > SLICE ? SLICE : milliseconds);
    if (reap(child, WNOHANG)) {
        return 1;
    }
    return ready > 0 && both[1].revents != 0 ? 2 : 0;
}

int mpr_child_signal(const mpr_child *child) { return WIFSIGNALED(child->exit_status) ? WTERMSIG(child->exit_status) : 0; }

void mpr_child_kill(mpr_child *child) {
    if (!child->ended) {
        kill((pid_t)child->pid, SIGKILL);
        /* its pages now, by us: it yields to everybody, also when it ends */
        syscall(PROCESS_MRELEASE, mpr_held_fd(&child->handle), 0);
        reap(child, 0);
    }
}

void mpr_child_end(mpr_child *child) {
    mpr_held_close(&child->handle);
    if (child->shared != NULL) {
        munmap(child->shared, child->size);
    }
    child->shared = NULL;
}
