/* SPDX-License-Identifier: MIT
 * Handlers belong to the process, and so does the table that they look into. */
#define _GNU_SOURCE
#include "base/os/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"

#define COUNT 65

static volatile sig_atomic_t descriptor[COUNT]; /* fd + 1, or 0 */
static struct sigaction before[COUNT];

static void tell(int number) {
    int saved = errno, fd = descriptor[number] - 1;
    uint64_t one = 1;
    if (fd >= 0) {
        ssize_t ignored = write(fd, &one, sizeof one);
        (void)ignored;
    }
    errno = saved;
}

/* What a signal does now; false with errno when it is none. */
static bool look(int number, struct sigaction *now) {
    errno = EINVAL;
    return number > 0 && number < COUNT && sigaction(number, NULL, now) == 0;
}

int mpr_signal_to_fd(int number, int fd) {
    struct sigaction action = {.sa_handler = tell, .sa_flags = SA_RESTART | SA_ONSTACK}, now;
    if (!look(number, &now)) {
        return MPR_EIO;
    }
    if (now.sa_handler != tell) {
        if (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN) {
            errno = EBUSY;
            return MPR_EIO;
        }
        before[number] = now;
        if (sigaction(number, &action, NULL) != 0) {
            return MPR_EIO;
        }
    }
    descriptor[number] = fd + 1;
    return MPR_OK;
}

int mpr_signal_to_nobody(int number, bool restore) {
    struct sigaction now;
    if (!look(number, &now)) {
        return MPR_EIO;
    }
    descriptor[number] = 0;
    return !restore || now.sa_handler != tell || sigaction(number, &before[number], NULL) == 0 ? MPR_OK : MPR_EIO;
}

void mpr_signal_calm_begin(mpr_signal_calm *calm) {
    sigset_t size_limit, old;
    sigemptyset(&size_limit);
    sigaddset(&size_limit, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &size_limit, &old);
    calm->blocked = sigismember(&old, SIGXFSZ) == 1;
}

void mpr_signal_calm_end(const mpr_signal_calm *calm) {
    sigset_t size_limit;
    struct timespec now = {0};
    sigemptyset(&size_limit);
    sigaddset(&size_limit, SIGXFSZ);
    if (!calm->blocked) {
        while (sigtimedwait(&size_limit, NULL, &now) == SIGXFSZ) {
        }
        pthread_sigmask(SIG_UNBLOCK, &size_limit, NULL);
    }
}
