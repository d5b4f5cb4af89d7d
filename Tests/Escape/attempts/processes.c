/* SPDX-License-Identifier: Apache-2.0 */
/* Other processes and one's own privilege. A process is a number; "self", oneself; "child", one that waits. */
#include "escape.h"
#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

extern char **environ;

static pid_t process(const char *named) {
        if (!strcmp(named, "self")) return getpid();
        if (!strcmp(named, "parent")) return getppid();
        return !strcmp(named, "child") ? waiting_child() : (pid_t)atoi(named);
}

static int signal_process(char **a) { return worked(kill(process(a[0]), 0) == 0); }

static int kill_process(char **a) { /* with what cannot be handled */
        return worked(kill(process(a[0]), SIGKILL) == 0);
}

static int stop_process(char **a) { return worked(kill(process(a[0]), SIGSTOP) == 0); }

static int kill_everybody(char **a) { /* all that can be seen: the harness looks who is left */
        (void)a;
        return worked(kill(-1, SIGKILL) == 0);
}

static int survive(char **a) { /* orphans in sessions of their own, deaf to what can be ignored */
        int away[2];
        char byte;
        (void)a;
        if (pipe(away) < 0) return BROKEN;
        for (int i = 0; i < 4; i++)
                if (fork() == 0) {
                        setsid();
                        if (fork() != 0) _exit(0);
                        for (int number = 1; number <= 64; number++) signal(number, SIG_IGN);
                        prctl(PR_SET_DUMPABLE, 0);
                        (void)!write(away[1], "x", 1);
                        sleep(60);
                        _exit(0);
                }
        for (int i = 0; i < 4; i++)
                if (read(away[0], &byte, 1) != 1) return BROKEN;
        return OPEN;
}

static int queue_signal(char **a) { /* with a value, and a sender who is not the sender */
        siginfo_t info = {.si_code = SI_QUEUE, .si_pid = 0};
        return worked(syscall(SYS_rt_sigqueueinfo, process(a[0]), SIGCONT, &info) == 0);
}

static int signal_by_pidfd(char **a) {
        int fd = (int)syscall(SYS_pidfd_open, process(a[0]), 0);
        return worked(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
}

static int descriptor_of(char **a) { /* of any number that the process may have */
        int fd = (int)syscall(SYS_pidfd_open, process(a[0]), 0);
        if (fd < 0) return worked(false);
        for (int number = 0; number < 512; number++)
                if (syscall(SYS_pidfd_getfd, fd, number, 0) >= 0) return note("descriptor %d", number), OPEN;
        return worked(false);
}

static int trace(char **a) { return worked(ptrace(PTRACE_SEIZE, process(a[0]), NULL, NULL) == 0); }

static int read_memory(char **a) { /* our own address there: enough to see whether it is permitted */
        char byte = 0;
        struct iovec local = {&byte, 1}, remote = {&byte, 1};
        return worked(process_vm_readv(process(a[0]), &local, 1, &remote, 1, 0) == 1 || errno == EFAULT);
}

static int write_memory(char **a) {
        char byte = 0;
        struct iovec local = {&byte, 1}, remote = {&byte, 1};
        return worked(process_vm_writev(process(a[0]), &local, 1, &remote, 1, 0) == 1 || errno == EFAULT);
}

static int memory_file(char **a) { /* /proc/PID/mem, for reading and writing */
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/mem", process(a[0]));
        return worked(open(path, O_RDWR | O_CLOEXEC) >= 0);
}

static int reveal(char **a) { /* a file of /proc/PID that holds something */
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/%s", process(a[0]), a[1]);
        return readable(path);
}

static int follow(char **a) { /* a link of /proc/PID */
        char path[64], target[512];
        snprintf(path, sizeof path, "/proc/%d/%s", process(a[0]), a[1]);
        return worked(readlink(path, target, sizeof target) > 0);
}

static int list_descriptors(char **a) {
        char path[64];
        int count = 0;
        snprintf(path, sizeof path, "/proc/%d/fd", process(a[0]));
        DIR *folder = opendir(path);
        if (!folder) return worked(false);
        for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
        note("%d", count);
        return count > 0 ? OPEN : CONTAINED;
}

static int see(char **a) { /* any process whose command line has this, but for those of ours that were given it */
        char path[300], command[2048];
        DIR *folder = opendir("/proc");
        if (!folder) return worked(false);
        for (struct dirent *entry; (entry = readdir(folder));) {
                snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
                int fd = entry->d_name[0] > '0' && entry->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
                ssize_t n = fd < 0 ? 0 : read(fd, command, sizeof command);
                if (fd >= 0) close(fd);
                if (n > 0 && memmem(command, (size_t)n, a[0], strlen(a[0])))
                        return note("process %s", entry->d_name), OPEN;
        }
        note("not seen");
        return CONTAINED;
}

static int to_one_processor(char **a) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(0, &set);
        return worked(sched_setaffinity(process(a[0]), sizeof set, &set) == 0);
}

static int to_idle(char **a) { /* the lowest class */
        struct sched_param none = {0};
        return worked(sched_setscheduler(process(a[0]), SCHED_IDLE, &none) == 0);
}

static int take_limits(char **a) {
        struct rlimit limit = {64, 64};
        return worked(prlimit(process(a[0]), RLIMIT_NOFILE, &limit, NULL) == 0);
}

static int slow_down(char **a) { return worked(setpriority(PRIO_PROCESS, (id_t)process(a[0]), 19) == 0); }

static int slow_user_down(char **a) { /* all processes of the user: init is among them */
        (void)a;
        /* Outside, of a user who has nothing else: all of root's would be everybody. */
        if (getuid() == 0 && setresuid(0x3fff0000, 0x3fff0000, 0x3fff0000) < 0) return BROKEN;
        return worked(setpriority(PRIO_USER, getuid(), 19) == 0);
}

static int slow_disk_down(char **a) { return worked(syscall(SYS_ioprio_set, 1, process(a[0]), 3 << 13) == 0); }

static int real_time(char **a) {
        struct sched_param first = {.sched_priority = 1};
        (void)a;
        return worked(sched_setscheduler(0, SCHED_FIFO, &first) == 0);
}

static int higher_priority(char **a) {
        (void)a;
        return worked(setpriority(PRIO_PROCESS, 0, -20) == 0);
}

static int spared_by_oom(char **a) { /* the kernel's killer takes another */
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        return worked(fd >= 0 && write(fd, a[0], strlen(a[0])) > 0);
}

/* ------------------------------------------------------------------------------------------ privilege */

static int user(char **a) { return worked(syscall(SYS_setresuid, atoi(a[0]), -1, -1) == 0); }
static int group(char **a) { return worked(syscall(SYS_setresgid, atoi(a[0]), -1, -1) == 0); }
static int file_user(char **a) { /* setfsuid tells nothing: ask again */
        syscall(SYS_setfsuid, atoi(a[0]));
        errno = EPERM;
        return worked(syscall(SYS_setfsuid, -1) == atoi(a[0]));
}
static int groups(char **a) {
        gid_t id = (gid_t)atoi(a[0]);
        return worked(syscall(SYS_setgroups, 1, &id) == 0);
}

static int capabilities(char **a) { /* any at all, permitted or to be had */
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{0}};
        (void)a;
        syscall(SYS_capget, &header, data);
        if (data[0].permitted | data[1].permitted | data[0].effective | data[0].inheritable) return OPEN;
        for (int number = 0; number <= 40; number++)
                if (prctl(PR_CAPBSET_READ, number) == 1) return note("capability %d in the bounding set", number), OPEN;
        data[0].permitted = data[0].effective = 1u << CAP_SYS_ADMIN;
        return worked(syscall(SYS_capset, &header, data) == 0);
}

static int ambient(char **a) {
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{0}};
        (void)a;
        syscall(SYS_capget, &header, data);
        data[0].inheritable = data[0].permitted;
        syscall(SYS_capset, &header, data);
        return worked(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) == 0);
}

static int secure_bits(char **a) { /* unlock what makes root's programs root */
        (void)a;
        return worked(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0);
}

static int new_privileges(char **a) { /* does a set-user-id program still count */
        (void)a;
        if (prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) return OPEN;
        errno = EPERM;
        return worked(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

static int set_id_program(char **a) { /* run one: does it get another user's power */
        int ends[2];
        if (pipe(ends) < 0) return BROKEN;
        pid_t pid = fork();
        if (pid == 0) {
                dup2(ends[1], 1);
                execl(a[0], a[0], "ids", NULL);
                dprintf(1, "%s", strerrorname_np(errno));
                _exit(0);
        }
        close(ends[1]);
        char said[64] = "";
        (void)!read(ends[0], said, sizeof said - 1);
        waitpid(pid, NULL, 0);
        int real = -1, effective = -1;
        note("%s", said);
        if (sscanf(said, "uid %d euid %d", &real, &effective) != 2) return CONTAINED;
        return real != effective ? OPEN : CONTAINED;
}

/* ------------------------------------------------------------------------------------------ execution */

static int run(char **arguments, int fd) { /* OPEN if what was executed says "ran" */
        int ends[2];
        if (pipe(ends) < 0) return BROKEN;
        pid_t pid = fork();
        if (pid == 0) {
                dup2(ends[1], 1);
                if (fd >= 0)
                        syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
                else
                        execv(arguments[0], arguments);
                dprintf(1, "%s", strerrorname_np(errno));
                _exit(0);
        }
        close(ends[1]);
        char said[64] = "";
        (void)!read(ends[0], said, sizeof said - 1);
        waitpid(pid, NULL, 0);
        note("%.40s", said);
        return !strncmp(said, "ran", 3) || !strncmp(said, "uid", 3) ? OPEN : CONTAINED;
}

static int execute(char **a) { return run((char *[]){a[0], "-c", "echo ran", NULL}, -1); }

static int execute_loader(char **a) { /* the dynamic loader runs a program that may not be executed itself */
        return run((char *[]){a[0], "/bin/sh", "-c", "echo ran", NULL}, -1);
}

static int execute_copy(char **a) { /* of a program, written where one may write */
        char block[65536];
        ssize_t n;
        int from = open(a[0], O_RDONLY | O_CLOEXEC), to = open(a[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
        if (from < 0 || to < 0) return note("no copy"), BROKEN;
        while ((n = read(from, block, sizeof block)) > 0) (void)!write(to, block, (size_t)n);
        close(to);
        return run((char *[]){a[1], "ids", NULL}, -1);
}

static int execute_anonymous(char **a) { /* of a program, in memory */
        char block[65536];
        ssize_t n;
        int from = open(a[0], O_RDONLY | O_CLOEXEC), to = memfd_create("copy", MFD_CLOEXEC);
        if (from < 0) return note("no copy"), BROKEN;
        if (to < 0) return worked(false);
        while ((n = read(from, block, sizeof block)) > 0) (void)!write(to, block, (size_t)n);
        return run((char *[]){a[0], "ids", NULL}, to);
}

static int execute_by_handle(char **a) { /* execveat with an open file, which the first program was given, too */
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        return run((char *[]){a[0], "-c", "echo ran", NULL}, fd);
}

const struct attempt process_attempts[] = {
    {"signal", 1, signal_process},
    {"kill", 1, kill_process},
    {"stop", 1, stop_process},
    {"kill-everybody", 0, kill_everybody},
    {"survive", 0, survive},
    {"queue-signal", 1, queue_signal},
    {"signal-by-pidfd", 1, signal_by_pidfd},
    {"descriptor-of", 1, descriptor_of},
    {"trace", 1, trace},
    {"read-memory", 1, read_memory},
    {"write-memory", 1, write_memory},
    {"memory-file", 1, memory_file},
    {"reveal", 2, reveal},
    {"follow", 2, follow},
    {"list-descriptors", 1, list_descriptors},
    {"see", 1, see},
    {"to-one-processor", 1, to_one_processor},
    {"to-idle", 1, to_idle},
    {"take-limits", 1, take_limits},
    {"slow-down", 1, slow_down},
    {"slow-user-down", 0, slow_user_down},
    {"slow-disk-down", 1, slow_disk_down},
    {"real-time", 0, real_time},
    {"higher-priority", 0, higher_priority},
    {"spared-by-oom", 1, spared_by_oom},
    {"user", 1, user},
    {"group", 1, group},
    {"file-user", 1, file_user},
    {"groups", 1, groups},
    {"capabilities", 0, capabilities},
    {"ambient", 0, ambient},
    {"secure-bits", 0, secure_bits},
    {"new-privileges", 0, new_privileges},
    {"set-id-program", 1, set_id_program},
    {"execute", 1, execute},
    {"execute-loader", 1, execute_loader},
    {"execute-copy", 2, execute_copy},
    {"execute-anonymous", 1, execute_anonymous},
    {"execute-by-handle", 1, execute_by_handle},
    {0},
};
