/* SPDX-License-Identifier: Apache-2.0 */
/* Starting lauter-init from inside somebody else's process: no thread, no handler, no SIGCHLD, no child that
 * the host's waitpid(-1) could find, no page table copied, whatever the host's other threads do meanwhile.
 *
 * Init is made by a short-lived *middle* and outlives it, so it is an orphan: the kernel gives it to the
 * machine's PID 1 (or the nearest subreaper), and the host hears of it through its pidfd and its control
 * socket alone.
 *
 * Where the host is itself PID 1 of its namespace, or a subreaper, init comes back to the host as a child
 * like every orphan does: its end raises SIGCHLD there, and it stays a zombie until it is waited for.
 * claunch_reap() does that, and is harmless elsewhere: call it once init's pidfd polls readable. */
#ifndef CLAUNCH_H
#define CLAUNCH_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* What was being done when a launch failed. */
typedef enum claunch_stage {
        CLAUNCH_STAGE_NONE = 0,
        CLAUNCH_STAGE_REQUEST = 1,      /* the request itself: a namespace unknown here, too many descriptors */
        CLAUNCH_STAGE_MEMORY = 2,       /* mmap of the stacks */
        CLAUNCH_STAGE_MIDDLE = 3,       /* clone of the middle */
        CLAUNCH_STAGE_CLONE = 4,        /* clone of init, with its namespaces */
        CLAUNCH_STAGE_SETGROUPS = 5,    /* write "deny" to /proc/PID/setgroups */
        CLAUNCH_STAGE_UID_MAP = 6,      /* write /proc/PID/uid_map */
        CLAUNCH_STAGE_GID_MAP = 7,      /* write /proc/PID/gid_map */
        CLAUNCH_STAGE_DESCRIPTORS = 8,  /* put init's descriptors in their places */
        CLAUNCH_STAGE_CAPABILITIES = 9, /* raise inheritable and ambient capabilities */
        CLAUNCH_STAGE_EXEC = 10,        /* execveat of init's image */
        CLAUNCH_STAGE_NETWORK = 11,     /* setns to the network namespace that init is to be born in */
        CLAUNCH_STAGE_SIGNALS = 12,     /* rt_sigprocmask around the clones */
        CLAUNCH_STAGE_GROUP = 13        /* clone of init into a control group */
} claunch_stage;

typedef struct claunch_request {
        uint64_t namespaces;     /* CLONE_NEW* for init; not CLONE_NEWTIME */
        const char *uid_map;     /* text for /proc/PID/uid_map; NULL when CLONE_NEWUSER is not asked for */
        const char *gid_map;     /* likewise */
        int deny_setgroups;      /* write "deny" first: ordinary users must */
        int keep_capabilities;   /* those that init needs survive the exec, though its uid is not 0 inside */
        int network;             /* a network namespace for init that is not its own; -1: the host's, or a new one */
        int group;               /* the folder of a control group (version 2) that init is born in; -1: the host's */
        int init_fd;             /* from claunch_init_open() */
        const int *descriptors;  /* these become 0, 1, … in init; it gets no other */
        size_t descriptor_count; /* at most CLAUNCH_DESCRIPTORS_MAX */
} claunch_request;

enum { CLAUNCH_DESCRIPTORS_MAX = 4096 };

typedef struct claunch_result {
        int pidfd; /* of init, close-on-exec, the caller's to close; -1 if the launch failed */
        int pid;   /* of init, in the host's pid namespace */
        int error; /* errno, 0 if it runs */
        int stage; /* claunch_stage of `error` */
} claunch_result;

/* Start init. Returns once it has exec'd: 0, or -errno with `result->stage` set and nothing left behind. */
int claunch_spawn(const claunch_request *request, claunch_result *result);

/* Reap init if it came back to the host as a child (see above). 1: reaped; 0: not dead yet; -ECHILD: not
 * the host's. */
int claunch_reap(int pidfd);

/* A descriptor to execute init from: a sealed memfd of the image that this library carries; where there is none, or memfds
 * may not be made or executed, the installed copy `lauter/lauter-init` beside this shared object; without that a file without
 * a name in TMPDIR, /tmp or /dev/shm. -errno of the first on failure. */
int claunch_init_open(void);

/* A descriptor of a fresh user namespace with these maps, for MOUNT_ATTR_IDMAP; -errno on failure. */
int claunch_idmap_namespace(const char *uid_map, const char *gid_map);

/* A descriptor of a fresh network namespace of the caller's user namespace, empty but for a loopback that is down; -errno on
 * failure. */
int claunch_network_namespace(void);

#pragma GCC visibility pop

#endif
