/* SPDX-License-Identifier: MIT
 * The sentences behind the status codes. */
#include "base/status.h"

const char *mpr_status_text(int status) {
    switch (status) {
    case MPR_OK:
        return "no error";
    case MPR_ENOMEM:
        return "not enough memory";
    case MPR_EIO:
        return "the operating system refused an input or output operation";
    case MPR_EFORMAT:
        return "the data is not a valid snapshot";
    case MPR_EVERSION:
        return "the snapshot has a newer format than this memprobe knows";
    case MPR_ELIMIT:
        return "the heap is larger than memprobe can number";
    case MPR_ECANCELLED:
        return "cancelled";
    case MPR_EUNSUPPORTED:
        return "this interpreter or platform is not supported";
    default:
        return "unknown error";
    }
}
