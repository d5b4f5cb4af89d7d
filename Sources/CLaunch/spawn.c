/* SPDX-License-Identifier: Apache-2.0 */
/* The orphaning double clone.
 *
 * The calling thread clones the middle and sleeps (CLONE_VFORK); the middle clones init, writes its id maps,
 * lets it go on, waits until it has exec'd, and exits. Both share the host's memory, so nothing is copied
 * however large the host is; both share its descriptors too, so that init's pidfd arrives in the host's
 * table; init then takes a copy of the part that it needs, and rearranges that. Between the clones and the exec only system calls run,
 * never libc, and no signal is deliverable.
 *
 * Why a middle: an exec resets a child's exit signal to SIGCHLD, so a direct child would show up in the
 * host's waitpid(-1) and SIGCHLD handler. The middle never execs, has exit signal 0, and is seen by
 * nobody. Why no id is changed here: setresuid() in a process that shares the host's memory makes the
 * *host* non-dumpable. */
#include "raw.h"

#include "claunch.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { STACK = 16384, GUARD = 4096, SIGNALS = 64 };
enum { GO_WAIT = 0, GO_ON = 1, GO_AWAY = 2 };

static const uint64_t known_namespaces =
    (uint64_t)CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

/* Lives on the calling thread's stack, and is read and written by all three. */
struct launch {
        const claunch_request *request;
        char *init_stack; /* its top */
        int *moved;       /* scratch for descriptors that must make room, `descriptor_count` long */
        int pid, pidfd;   /* of init */
        int error, stage; /* of whoever failed first; only one of them runs when these are written */
        uint32_t go;      /* futex: init waits until its id maps are there */
        uint32_t running; /* futex: the kernel clears it when init has left this memory, by exec or by exit */
};

static int fail(struct launch *launch, int stage, long error) {
        launch->stage = stage;
        launch->error = (int)-error;
        return 1;
}

/* A descriptor table of init's own, without what lies above all that it needs: to copy and to close a thousand other
 * workers' descriptors would take longer than the rest of the launch. */
static long unshare_descriptors(const claunch_request *request) {
        int highest = request->init_fd;
        for (size_t i = 0; i < request->descriptor_count; i++)
                if (request->descriptors[i] > highest) highest = request->descriptors[i];
        return raw(SYS_close_range, (long)highest + 1, ~0U, RAW_CLOSE_RANGE_UNSHARE, 0, 0, 0);
}

/* Make request->descriptors 0, 1, …, and everything else close at exec. `*init_fd` may have to move. */
static long place_descriptors(struct launch *launch, int *init_fd) {
        const claunch_request *request = launch->request;
        int count = (int)request->descriptor_count;
        long fd = unshare_descriptors(request);
        if (fd < 0) return fd;
        if (*init_fd < count) {
                fd = raw(SYS_fcntl, *init_fd, F_DUPFD_CLOEXEC, count, 0, 0, 0);
                if (fd < 0) return fd;
                *init_fd = (int)fd;
        }
        /* A source below `count` would be overwritten before its turn. */
        for (int i = 0; i < count; i++) {
                fd = request->descriptors[i];
                if (fd < count && fd != i) fd = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, count, 0, 0, 0);
                if (fd < 0) return fd;
                launch->moved[i] = (int)fd;
        }
        for (int i = 0; i < count; i++) {
                if (launch->moved[i] == i)
                        fd = raw(SYS_fcntl, i, F_SETFD, 0, 0, 0, 0);
                else
                        fd = raw(SYS_dup3, launch->moved[i], i, 0, 0, 0, 0);
                if (fd < 0) return fd;
        }
        return raw(SYS_close_range, count, ~0U, RAW_CLOSE_RANGE_CLOEXEC, 0, 0, 0);
}

/* What init does with its power: mounts and namespaces, ids, the loopback, quotas, the bounding set and the securebits. The
 * override of modes is for a host's user who has shut a folder against himself. The rest ends at the exec: each costs
 * as much to keep as to lose. */
static const int init_capabilities[] = {CAP_DAC_OVERRIDE, CAP_SETGID,    CAP_SETUID,      CAP_SETPCAP,
                                        CAP_NET_ADMIN,    CAP_SYS_ADMIN, CAP_SYS_RESOURCE};

/* An exec by a uid that is not 0 inside would drop them all, unless they are ambient. */
static long keep_capabilities(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
        struct __user_cap_data_struct data[2] = {{0}};
        const size_t count = sizeof init_capabilities / sizeof *init_capabilities;
        long error = raw(SYS_capget, (long)&header, (long)data, 0, 0, 0, 0);
        if (error < 0) return error;
        for (size_t i = 0; i < count; i++)
                data[init_capabilities[i] / 32].inheritable |= 1u << (init_capabilities[i] % 32);
        error = raw(SYS_capset, (long)&header, (long)data, 0, 0, 0, 0);
        for (size_t i = 0; i < count && error >= 0; i++)
                error = raw(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, init_capabilities[i], 0, 0, 0);
        return error;
}

/* What is ignored stays ignored across an exec, and so does the mask: init starts with neither. */
static long reset_signals(void) {
        static const struct {
                void *handler;
                unsigned long flags;
                void *restorer;
                uint64_t mask;
        } by_default = {0};
        for (int number = 1; number <= SIGNALS; number++)
                raw(SYS_rt_sigaction, number, (long)&by_default, 0, sizeof(uint64_t), 0, 0);
        return raw_restore_signals(0);
}

/* Init, until its exec. */
static int become_init(void *argument) {
        static char *const arguments[] = {(char *)"lauter-init", NULL};
        static char *const environment[] = {NULL};
        struct launch *launch = argument;
        raw_futex_wait_while(&launch->go, GO_WAIT);
        if (__atomic_load_n(&launch->go, __ATOMIC_ACQUIRE) == GO_AWAY) return 1;
        int init_fd = launch->request->init_fd;
        long error = place_descriptors(launch, &init_fd);
        if (error < 0) return fail(launch, CLAUNCH_STAGE_DESCRIPTORS, error);
        error = launch->request->keep_capabilities ? keep_capabilities() : 0;
        if (error < 0) return fail(launch, CLAUNCH_STAGE_CAPABILITIES, error);
        error = reset_signals();
        if (error < 0) return fail(launch, CLAUNCH_STAGE_SIGNALS, error);
        error = raw(SYS_execveat, init_fd, (long)"", (long)arguments, (long)environment, AT_EMPTY_PATH, 0);
        return fail(launch, CLAUNCH_STAGE_EXEC, error);
}

static int be_the_middle(void *argument) {
        struct launch *launch = argument;
        const claunch_request *request = launch->request;
        int flags = CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD | (int)request->namespaces;
        int pidfd = -1;
        /* The middle's own, which ends with it: nobody else is moved. Before the clone, since who is in a new user namespace has
         * no say over one of the old. */
        long network = request->network < 0 ? 0 : raw(SYS_setns, request->network, CLONE_NEWNET, 0, 0, 0, 0);
        if (network < 0) return fail(launch, CLAUNCH_STAGE_NETWORK, network);
        launch->running = 1;
        int pid;
        if (request->group >= 0) {
                struct raw_clone3_arguments arguments = {
                    .flags = (uint64_t)(flags & ~0xFF) | RAW_CLONE_INTO_CGROUP,
                    .pidfd = (uint64_t)(uintptr_t)&pidfd,
                    .child_tid = (uint64_t)(uintptr_t)&launch->running,
                    .exit_signal = SIGCHLD,
                    .stack = (uint64_t)(uintptr_t)(launch->init_stack - STACK),
                    .stack_size = STACK,
                    .cgroup = (uint64_t)request->group,
                };
                long result = raw_clone3(&arguments, become_init, launch);
                if (result < 0) {
                        launch->running = 0;
                        return fail(launch, CLAUNCH_STAGE_GROUP, result);
                }
                pid = (int)result;
        } else {
                /* libc's clone() is a bare system call with a stack switch. It sets errno if it fails: that of the
                 * calling thread, which sleeps. */
                pid = clone(become_init, launch->init_stack, flags, launch, &pidfd, NULL, &launch->running);
                if (pid < 0) {
                        launch->running = 0;
                        return fail(launch, CLAUNCH_STAGE_CLONE, -errno);
                }
        }
        launch->pid = pid;
        launch->pidfd = pidfd;
        int stage;
        int error = claunch_write_maps(pid, request->uid_map, request->gid_map, request->deny_setgroups, &stage);
        if (error < 0) fail(launch, stage, error);
        raw_futex_set(&launch->go, error < 0 ? GO_AWAY : GO_ON);
        /* By futex, not by a close-on-exec pipe, which a fork elsewhere in the host would hold open. */
        raw_futex_wait_while(&launch->running, 1);
        if (launch->error) raw(SYS_wait4, pid, 0, __WALL, 0, 0, 0);
        return 0;
}

/* Somebody killed the middle alone: init still runs on our memory, waiting for a word that will not come. */
static void end_stray_init(struct launch *launch, int pidfd) {
        if (pidfd >= 0) raw(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0, 0, 0);
        raw_futex_wait_while(&launch->running, 1);
        if (!launch->error) fail(launch, CLAUNCH_STAGE_CLONE, -ECHILD);
}

static void run_middle(struct launch *launch, char *stack) {
        int middle = -1, cancel;
        /* A cancellation that arrives meanwhile waits: whoever owns init's pidfd must learn of it first. */
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
        uint64_t signals = 0;
        long blocked = raw_block_signals(&signals);
        int pid = -1;
        if (blocked < 0)
                fail(launch, CLAUNCH_STAGE_SIGNALS, blocked);
        else if ((pid = clone(be_the_middle, stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD, launch,
                              &middle)) < 0)
                fail(launch, CLAUNCH_STAGE_MIDDLE, -errno);
        if (pid >= 0) {
                raw_reap(middle);
                raw_close(middle);
                if (__atomic_load_n(&launch->running, __ATOMIC_ACQUIRE)) end_stray_init(launch, launch->pidfd);
        }
        if (launch->error && launch->pidfd >= 0) {
                raw_close(launch->pidfd);
                launch->pidfd = -1;
        }
        if (blocked == 0) raw_restore_signals(signals);
        pthread_setcancelstate(cancel, NULL);
}

int claunch_spawn(const claunch_request *request, claunch_result *result) {
        struct launch launch = {.request = request, .pid = -1, .pidfd = -1};
        size_t scratch = (request->descriptor_count * sizeof(int) + GUARD - 1) / GUARD * GUARD;
        size_t size = scratch + 2 * (GUARD + STACK);
        int saved = errno;
        char *memory = MAP_FAILED;
        if ((request->namespaces & ~known_namespaces) || request->descriptor_count > CLAUNCH_DESCRIPTORS_MAX)
                fail(&launch, CLAUNCH_STAGE_REQUEST, -EINVAL);
        else
                memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (memory == MAP_FAILED) {
                if (!launch.error) fail(&launch, CLAUNCH_STAGE_MEMORY, -errno);
        } else {
                /* scratch | guard | the middle's stack | guard | init's stack */
                char *guard = memory + scratch, *second = guard + GUARD + STACK;
                launch.moved = (int *)memory;
                launch.init_stack = second + GUARD + STACK;
                if (mprotect(guard, GUARD, PROT_NONE) < 0 || mprotect(second, GUARD, PROT_NONE) < 0)
                        fail(&launch, CLAUNCH_STAGE_MEMORY, -errno);
                else
                        run_middle(&launch, second);
                munmap(memory, size);
        }
        errno = saved;
        *result =
            (claunch_result){.pidfd = launch.pidfd, .pid = launch.pid, .error = launch.error, .stage = launch.stage};
        return -launch.error;
}

int claunch_reap(int pidfd) {
        siginfo_t info;
        memset(&info, 0, sizeof info);
        long error = raw(SYS_waitid, RAW_P_PIDFD, pidfd, (long)&info, WEXITED | WNOHANG | __WALL, 0, 0);
        return error < 0 ? (int)error : info.si_pid != 0;
}
