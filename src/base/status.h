/* SPDX-License-Identifier: MIT
 * The one error convention of the core: an int, 0 for success, negative for failure; an output is written only on success.
 * A function that answers a question returns 0 or 1 and documents it. Exceptions exist in binding/ alone. */
#ifndef MPR_BASE_STATUS_H
#define MPR_BASE_STATUS_H

typedef enum mpr_status {
    MPR_OK = 0,
    MPR_ENOMEM = -1,       /* an allocation was refused */
    MPR_EIO = -2,          /* the operating system failed; errno says how */
    MPR_EFORMAT = -3,      /* input is not what it claims to be */
    MPR_EVERSION = -4,     /* a newer format than this code knows */
    MPR_ELIMIT = -5,       /* more than ids or handles can name */
    MPR_ECANCELLED = -6,   /* the progress callback asked to stop */
    MPR_EUNSUPPORTED = -7, /* this interpreter or platform cannot do it */
} mpr_status;

/* A static English sentence, without a full stop, for any status. */
const char *mpr_status_text(int status);

#endif
