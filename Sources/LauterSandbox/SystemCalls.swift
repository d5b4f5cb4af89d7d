// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif

/// One of the kernel's entries and a number there, as a filter sees them.
package struct CallEntry {
  /// "x86_64", "x32", "i386", "aarch64", "arm", "riscv64"; empty for others.
  package let name: String
  /// Of this machine's own programs.
  package let isNative: Bool
  package let callName: String?

  /// - Parameter architecture: AUDIT_ARCH_*.
  package init(_ architecture: UInt32, _ number: UInt32) {
    let isX32 = architecture == 0xC000_003E && number & 0x4000_0000 != 0
    isNative = architecture == csandbox_native_architecture() && !isX32
    switch architecture {
    case 0xC000_003E: name = isX32 ? "x32" : "x86_64"
    case 0x4000_0003: name = "i386"
    case 0xC000_00B7: name = "aarch64"
    case 0x4000_0028: name = "arm"
    case 0xC000_00F3: name = "riscv64"
    default: name = ""
    }
    let own = isX32 ? number & ~0x4000_0000 : number
    if let text = csandbox_call_name(architecture, own) {
      callName = String(cString: text)
      lx_free(text)
    } else if own < 0x4000_0000,
      let younger = SystemCalls.younger.first(where: { $0.number == own })
    {
      callName = younger.name
    } else {
      callName = nil
    }
  }
}

/// The calls that a confined worker may make, by what they are for, and those that it is refused by
/// name.
///
/// What stands in neither list does not exist for it (ENOSYS). Names that this machine does not
/// have are skipped.
enum SystemCalls {
  /// The number of a call on this machine; nil if it has none.
  static func number(_ name: String) -> UInt32? {
    let number = csandbox_call_number(name)
    if number >= 0 { return UInt32(number) }
    // libseccomp's own numbers for what other architectures have are below -1.
    guard number == -1 else { return nil }
    return younger.first { $0.name == name }?.number
  }

  /// Calls that Debian 12's libseccomp does not know. From 424 on every architecture has the same numbers.
  static let younger: [(name: String, number: UInt32)] = [
    ("cachestat", 451), ("fchmodat2", 452), ("map_shadow_stack", 453), ("futex_wake", 454),
    ("futex_wait", 455), ("futex_requeue", 456), ("statmount", 457), ("listmount", 458),
    ("lsm_get_self_attr", 459), ("lsm_set_self_attr", 460), ("lsm_list_modules", 461),
    ("mseal", 462), ("setxattrat", 463), ("getxattrat", 464), ("listxattrat", 465),
    ("removexattrat", 466), ("open_tree_attr", 467), ("file_getattr", 468),
    ("file_setattr", 469), ("listns", 470),
  ]

  struct Group {
    var name: StaticString
    var names: [String]
  }

  /// Calls that succeed and do nothing: they would have the whole machine write its files back, and everybody's
  /// fsync(2) wait for that. A worker's own files are fsync's to write.
  static let idle = ["sync", "syncfs"]

  static let allowed: [Group] = [
    Group(
      name: "file",
      names: [
        "access", "cachestat", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range",
        "creat",
        "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir",
        "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync",
        "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs",
        "fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr",
        "getxattrat",
        "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl",
        "lchown", "lgetxattr", "link", "linkat", "listxattr", "listxattrat", "llistxattr",
        "lremovexattr",
        "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat",
        "open", "openat", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
        "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr",
        "removexattrat",
        "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr", "setxattrat", "splice",
        "stat",
        "statfs", "statx", "symlink", "symlinkat", "sync_file_range", "tee",
        "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice",
        "write", "writev",
      ]),
    Group(
      name: "process",
      names: [
        // clone's namespaces are refused by the prologue; clone3, whose flags a filter cannot see,
        // does not exist.
        "arch_prctl", "capget", "capset", "clone", "execve", "execveat", "exit", "exit_group",
        "fork", "get_robust_list", "getcpu", "getegid", "geteuid", "getgid", "getgroups",
        "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
        "getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "ioprio_get",
        "ioprio_set", "landlock_add_rule", "landlock_create_ruleset",
        "landlock_restrict_self", "membarrier", "pidfd_open", "pidfd_send_signal", "prctl",
        "prlimit64", "restart_syscall", "riscv_flush_icache", "rseq", "sched_get_priority_max",
        "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
        "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_setattr",
        "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "set_robust_list",
        "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setpgid",
        "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid",
        "setuid", "sysinfo", "times", "uname", "vfork", "wait4", "waitid",
      ]),
    Group(
      name: "memory",
      names: [
        "brk", "get_mempolicy", "madvise", "map_shadow_stack", "mbind", "memfd_create", "mincore",
        "mlock", "mlock2",
        "mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall",
        "munmap",
        "pkey_alloc", "pkey_free", "pkey_mprotect", "set_mempolicy",
        "set_mempolicy_home_node",
      ]),
    Group(
      name: "network",
      names: [
        // socket and socketpair are decided by their family.
        "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
        "listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto",
        "setsockopt", "shutdown",
      ]),
    Group(
      name: "timer",
      names: [
        "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer",
        "gettimeofday", "nanosleep", "setitimer", "time", "timer_create", "timer_delete",
        "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
        "timerfd_gettime", "timerfd_settime",
      ]),
    Group(
      name: "ipc",
      names: [
        "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
        "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "futex",
        "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "mq_getsetattr", "mq_notify",
        "mq_open", "mq_timedreceive",
        "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "pipe", "pipe2",
        "poll", "ppoll", "pselect6", "select", "semctl", "semget", "semop", "semtimedop",
        "shmat", "shmctl", "shmdt", "shmget",
      ]),
    Group(
      name: "signal",
      names: [
        "kill", "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
        "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack",
        "signalfd", "signalfd4", "tgkill", "tkill",
      ]),
  ]

  /// Calls that reach past the sandbox, into other processes or into parts of the kernel that
  /// seldom see strangers. A program that tries one is told that it may not, rather than that the
  /// call does not exist; and the host is told that it tried.
  static let refused: [String] = [
    // Around the filter itself: what can only be meant, without a ring.
    "io_uring_enter", "io_uring_register",
    // Into other processes.
    "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace",
    // Files by handle, whatever the paths say.
    "open_by_handle_at",
    // Kernel memory, programs and rings.
    "add_key", "bpf", "keyctl", "lsm_set_self_attr", "perf_event_open", "request_key",
    "userfaultfd",
    // The machine.
    "acct", "clock_settime", "delete_module", "fanotify_init", "fanotify_mark", "finit_module",
    "init_module", "ioperm", "iopl", "kexec_file_load", "kexec_load", "modify_ldt", "quotactl",
    "quotactl_fd", "reboot", "settimeofday", "swapoff", "swapon",
    "syslog", "uselib", "vhangup", "vm86",
  ]

  /// Refused in the same way, unless the policy lets workers nest: mounts, roots, namespaces, and the names of those.
  static let nesting: [String] = [
    "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount",
    "open_tree", "open_tree_attr", "pivot_root", "setdomainname", "sethostname", "setns",
    "umount", "umount2", "unshare",
  ]

  /// Refused in the same way, but nobody is told: libraries try them in all innocence and do without, or no kernel of today
  /// has them.
  static let probed: [String] = [
    // libuv, and all that has it within; allocators; OpenGL.
    "io_uring_setup", "process_madvise", "process_mrelease", "kcmp",
    // Which mount a file is on; how far the clock is off; on which node memory lies.
    "name_to_handle_at", "adjtimex", "clock_adjtime", "migrate_pages", "move_pages",
    "create_module", "get_kernel_syms", "lookup_dcookie", "nfsservctl", "query_module", "ustat",
  ]
}

/// Each of the words in `text`, one space between them. Lists that are read seldom take less room so.
@inline(never)
func words(of text: StaticString, _ body: (String) -> Void) {
  text.withUTF8Buffer { bytes in
    for word in bytes.split(separator: UInt8(ascii: " ")) {
      body(String(decoding: word, as: UTF8.self))
    }
  }
}
