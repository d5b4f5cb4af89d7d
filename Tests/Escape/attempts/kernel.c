/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel itself: programs, keys, rings, clocks, terminals, and the entries of other architectures. */
#include "escape.h"
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

static int bpf_program(char **a) {
        (void)a;
        struct bpf_insn code[2] = {{.code = 0xb7}, {.code = 0x95}};
        union bpf_attr load = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                               .insn_cnt = 2,
                               .insns = (uintptr_t)code,
                               .license = (uintptr_t) "GPL"};
        return worked(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load) >= 0);
}

static int bpf_map(char **a) {
        (void)a;
        union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
        return worked(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) >= 0);
}

static int perf(char **a) {
        (void)a;
        struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .exclude_kernel = 1};
        return worked(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0) >= 0);
}

static int io_uring(char **a) {
        (void)a;
        uint32_t parameters[30] = {0};
        return worked(syscall(SYS_io_uring_setup, 1, parameters) >= 0);
}

static int io_uring_register(char **a) {
        (void)a;
        return reached(syscall(SYS_io_uring_register, -1, 0, NULL, 0));
}

static int userfaultfd(char **a) {
        (void)a;
        return worked(syscall(SYS_userfaultfd, 1) >= 0); /* UFFD_USER_MODE_ONLY: for everybody */
}

static int add_key(char **a) {
        (void)a;
        return worked(syscall(SYS_add_key, "user", "lauter:escape", "x", 1, -3) >= 0);
}

static int
read_keyring(char **a) { /* KEYCTL_GET_KEYRING_ID of the user's and of the session's keyring, and a new session */
        (void)a;
        return worked(syscall(SYS_keyctl, 0, -4, 1) >= 0 || syscall(SYS_keyctl, 0, -3, 1) >= 0 ||
                      syscall(SYS_keyctl, 1, NULL) >= 0);
}

static int request_key(char **a) { /* can start /sbin/request-key outside */
        (void)a;
        return reached(syscall(SYS_request_key, "user", "lauter:none", "x", -3));
}

static int init_module(char **a) {
        (void)a;
        return reached(syscall(SYS_init_module, NULL, 0, ""));
}
static int finit_module(char **a) {
        (void)a;
        return reached(syscall(SYS_finit_module, -1, "", 0));
}
static int delete_module(char **a) {
        (void)a;
        return reached(syscall(SYS_delete_module, "lauter_none", O_NONBLOCK));
}
static int kexec_load(char **a) { /* more segments than there may be */
        (void)a;
        return reached(syscall(SYS_kexec_load, 0UL, 1000000UL, NULL, 0UL));
}
static int kexec_file_load(char **a) {
        (void)a;
        return reached(syscall(SYS_kexec_file_load, -1, -1, 0UL, "", ~0UL));
}
static int reboot(char **a) { /* with wrong magic: it is looked at after the permission */
        (void)a;
        return reached(syscall(SYS_reboot, 1, 2, 3, NULL));
}
static int kernel_log(char **a) {
        char bytes[256];
        (void)a;
        return worked(syscall(SYS_syslog, 3, bytes, sizeof bytes) >= 0);
}
static int account(char **a) { /* a file that is none: ENOTDIR or the like after the permission */
        (void)a;
        return reached(syscall(SYS_acct, "/dev/null/none"));
}
static int swap_on(char **a) {
        (void)a;
        return reached(syscall(SYS_swapon, "/dev/null/none", 0));
}
static int swap_off(char **a) {
        (void)a;
        return reached(syscall(SYS_swapoff, "/dev/null/none"));
}
static int quota(char **a) { /* Q_GETFMT of a device that is none */
        (void)a;
        uint32_t format;
        return reached(syscall(SYS_quotactl, 0x800004 << 8, "/dev/null/none", 0, &format));
}
static int set_clock(char **a) { /* a time that is none: EINVAL after the permission */
        (void)a;
        struct timespec to;
        clock_gettime(CLOCK_REALTIME, &to);
        return worked(clock_settime(CLOCK_REALTIME, &to) == 0);
}
static int adjust_clock(char **a) {
        (void)a;
        struct timex by = {.modes = ADJ_OFFSET_SINGLESHOT};
        return worked(adjtimex(&by) >= 0);
}
static int host_name(char **a) {
        char name[65];
        (void)a;
        gethostname(name, sizeof name);
        return worked(syscall(SYS_sethostname, name, strlen(name)) == 0);
}
static int domain_name(char **a) {
        (void)a;
        return worked(syscall(SYS_setdomainname, "(none)", 6L) == 0);
}
static int ports(char **a) {
        (void)a;
#ifdef SYS_iopl
        return worked(syscall(SYS_ioperm, 0x80, 1, 1) == 0 || syscall(SYS_iopl, 3) == 0);
#else
        return note("no such call"), CONTAINED;
#endif
}
static int segments(char **a) { /* modify_ldt: a way to 16-bit code */
        (void)a;
#ifdef SYS_modify_ldt
        char table[64];
        return worked(syscall(SYS_modify_ldt, 0, table, sizeof table) >= 0);
#else
        return note("no such call"), CONTAINED;
#endif
}
static int executable_memory(char **a) { /* all that can be read can then be executed */
        (void)a;
        return worked(personality(0x0400000 /* READ_IMPLIES_EXEC */) >= 0);
}
static int other_personality(char **a) { /* PER_LINUX32, SVR4 with MMAP_PAGE_ZERO */
        (void)a;
        return worked(personality(8) >= 0 || personality(0x0100001) >= 0);
}
static int compare_resources(char **a) { /* kcmp of two processes' tables tells kernel addresses' order */
        (void)a;
        return worked(syscall(SYS_kcmp, getpid(), getppid(), 1, 0, 0) >= 0);
}
static int move_pages(char **a) {
        (void)a;
        return reached(syscall(SYS_move_pages, 0, 0UL, NULL, NULL, NULL, 0));
}
static int migrate_pages(char **a) {
        (void)a;
        unsigned long node = 1;
        return worked(syscall(SYS_migrate_pages, 0, 2UL, &node, &node) >= 0);
}
static int advise_other(char **a) {
        (void)a;
        return reached(syscall(SYS_process_madvise, -1, NULL, 0UL, 0, 0U));
}
static int secret_memory(char **a) { /* memfd_secret: memory that no one, init neither, can read or count */
        (void)a;
        return reached(syscall(447, 0xFFFF));
}
static int unknown_call(char **a) { /* a number that no kernel has yet must be ENOSYS, and EPERM breaks libraries */
        return reached(syscall(strtol(a[0], NULL, 0), 0, 0, 0, 0, 0, 0));
}
static int filter_off(char **a) {
        (void)a;
        if (prctl(PR_SET_SECCOMP, 0, 0, 0, 0) == 0) return OPEN;
        return worked(prctl(PR_GET_SECCOMP) == 0);
}
static int set_memory_map(char **a) { /* prctl(PR_SET_MM): where one's own arguments and program are said to be */
        char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        (void)a;
        return worked(prctl(PR_SET_MM, PR_SET_MM_ARG_START, at, 0, 0) == 0);
}

/* ------------------------------------------------------------------------------------------ terminals */

static int own_terminal(void) {
        int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), number = 0, unlock = 0;
        char path[32];
        if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0) return -1;
        snprintf(path, sizeof path, "/dev/pts/%d", number);
        setsid();
        int slave = open(path, O_RDWR | O_CLOEXEC);
        return slave >= 0 && ioctl(slave, TIOCSCTTY, 0) < 0 && errno != EPERM ? -1 : slave;
}

/* Where there is none at all, as `strict` has it, none can be typed into. Another failure is the probe's own. */
static int without_terminal(void) {
        if (errno == ENOENT && access("/dev/ptmx", F_OK) != 0) return worked(false);
        return note("no terminal: %s", strerrorname_np(errno)), BROKEN;
}

static int type_into(unsigned long request) { /* EIO: permitted, and switched off by dev.tty.legacy_tiocsti */
        int terminal = own_terminal();
        char byte = 'x';
        if (terminal < 0) return without_terminal();
        return worked(syscall(SYS_ioctl, terminal, request, &byte) == 0 || errno == EIO);
}
static int type_plain(char **a) { return (void)a, type_into(TIOCSTI); }
static int type_high(char **a) { return (void)a, type_into(TIOCSTI | 0x100000000UL); }
static int console_selection(char **a) { /* TIOCLINUX: ENOTTY or EINVAL is the terminal's own answer */
        int terminal = own_terminal();
        char what[16] = {2};
        (void)a;
        if (terminal < 0) return without_terminal();
        return reached(ioctl(terminal, TIOCLINUX, what));
}
static int console_selection_high(char **a) {
        int terminal = own_terminal();
        char what[16] = {2};
        (void)a;
        if (terminal < 0) return without_terminal();
        return reached(syscall(SYS_ioctl, terminal, TIOCLINUX | 0xABC00000000UL, what));
}
static int line_discipline(char **a) { /* N_HDLC and others: modules that are loaded for whoever asks */
        int terminal = own_terminal(), discipline = 1 /* N_SLIP */;
        (void)a;
        if (terminal < 0) return without_terminal();
        discipline = 0; /* N_TTY: nothing is changed where it is permitted */
        return worked(ioctl(terminal, TIOCSETD, &discipline) == 0);
}

/* ------------------------------------------------------------------------------------------ other entries */

static int int80(char **a) { /* a call by the i386 entry: number there, first argument */
#ifdef __x86_64__
        long result;
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(strtol(a[0], NULL, 0)), "b"(a[1] ? strtol(a[1], NULL, 0) : 0), "c"(0), "d"(0)
                         : "memory", "r8", "r9", "r10", "r11");
        if (result < 0) errno = (int)-result;
        return result < 0 ? reached(-1) : OPEN;
#else
        (void)a;
        return note("another machine"), CONTAINED;
#endif
}

static int x32(char **a) { /* the native entry with bit 30: an old kernel, or one with x32, takes the call */
        return reached(syscall(0x40000000L | strtol(a[0], NULL, 0), 0, 0, 0, 0, 0, 0));
}

static int high_number(char **a) { /* the kernel takes 32 bits of the number: is the filter of the same mind? */
        (void)a;
        struct bpf_insn code[2] = {{.code = 0xb7}, {.code = 0x95}};
        union bpf_attr load = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                               .insn_cnt = 2,
                               .insns = (uintptr_t)code,
                               .license = (uintptr_t) "GPL"};
        return worked(syscall((long)(0x100000000L | SYS_bpf), BPF_PROG_LOAD, &load, sizeof load) >= 0);
}

const struct attempt kernel_attempts[] = {
    {"bpf-program", 0, bpf_program},
    {"bpf-map", 0, bpf_map},
    {"perf", 0, perf},
    {"io-uring", 0, io_uring},
    {"io-uring-register", 0, io_uring_register},
    {"userfaultfd", 0, userfaultfd},
    {"add-key", 0, add_key},
    {"read-keyring", 0, read_keyring},
    {"request-key", 0, request_key},
    {"init-module", 0, init_module},
    {"finit-module", 0, finit_module},
    {"delete-module", 0, delete_module},
    {"kexec-load", 0, kexec_load},
    {"kexec-file-load", 0, kexec_file_load},
    {"reboot", 0, reboot},
    {"kernel-log", 0, kernel_log},
    {"account", 0, account},
    {"swap-on", 0, swap_on},
    {"swap-off", 0, swap_off},
    {"quota", 0, quota},
    {"set-clock", 0, set_clock},
    {"adjust-clock", 0, adjust_clock},
    {"host-name", 0, host_name},
    {"domain-name", 0, domain_name},
    {"ports", 0, ports},
    {"segments", 0, segments},
    {"executable-memory", 0, executable_memory},
    {"other-personality", 0, other_personality},
    {"compare-resources", 0, compare_resources},
    {"move-pages", 0, move_pages},
    {"migrate-pages", 0, migrate_pages},
    {"advise-other", 0, advise_other},
    {"secret-memory", 0, secret_memory},
    {"unknown-call", 1, unknown_call},
    {"filter-off", 0, filter_off},
    {"set-memory-map", 0, set_memory_map},
    {"type-plain", 0, type_plain},
    {"type-high", 0, type_high},
    {"console-selection", 0, console_selection},
    {"console-selection-high", 0, console_selection_high},
    {"line-discipline", 0, line_discipline},
    {"int80", 1, int80},
    {"x32", 1, x32},
    {"high-number", 0, high_number},
    {0},
};
