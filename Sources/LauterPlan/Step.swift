// SPDX-License-Identifier: Apache-2.0

/// One thing that the kernel will be told on the way to a worker.
///
/// A plan is a flat list of these. `lauter-init` walks it in order; a failure is reported as the step's
/// number and an errno, and the host, which keeps its copy, says what that step was.
package enum Step: Equatable, Sendable {
  // MARK: In init, before it changes its user id (it can still open what only the host's user may)

  /// Make every mount private to this namespace.
  case privateMounts
  /// Open the folder or file at `path` with all mounts below it and keep it in `slot`; refuse if it is not the
  /// one that the plan was made for.
  case openTree(slot: UInt16, path: String, device: UInt64, inode: UInt64)
  /// Keep a detached mount that the host made (id-mapped), received as descriptor `descriptor`, in `slot`.
  case adoptTree(slot: UInt16, descriptor: UInt16, path: String)
  /// Become `uid` and `gid` (as seen inside), with no supplementary group if `dropGroups`.
  case identity(uid: UInt32, gid: UInt32, dropGroups: Bool)
  /// Put off what a process inherits and no word of a policy gives: real-time scheduling and more than ordinary
  /// priority, the right to either, a personality, timer slack. With a session keyring of its own if `ownKeyring`.
  case ordinary(ownKeyring: Bool)
  /// Set the host name of the worker's UTS namespace.
  case hostname(String)
  /// Let the worker have at most `most` of what the kernel counts by user and user namespace as
  /// `user.NAME`, as sysctl(8) spells it.
  case quota(name: String, most: UInt32)
  /// Bring up `lo` in the worker's network namespace.
  case loopback

  // MARK: In init, building the new root (paths are absolute, inside the new root)

  /// Mount a tmpfs as the new root and go there. `size` in bytes.
  case newRoot(size: UInt64)
  /// Make a folder, with its missing parents (mode 0755).
  case directory(path: String, mode: UInt32)
  /// Make a small file with `contents`.
  case file(path: String, mode: UInt32, contents: [UInt8])
  /// Make a symbolic link.
  case symlink(path: String, target: String)
  /// Mount a tmpfs of at most `size` bytes (0: the kernel's default), owned by the worker.
  case tmpfs(path: String, size: UInt64, mode: UInt32)
  /// Put the tree of `slot` at `path`, making the mount point.
  case attach(slot: UInt16, path: String, access: TreeAccess, isDirectory: Bool)
  /// Cover what is at `path` by an empty file or folder that nobody can read.
  case mask(path: String, isDirectory: Bool)
  /// Mount a fresh /proc of the worker's process namespace. `options` as mount(8) takes them
  /// ("subset=pid,hidepid=invisible"; "": none), or "masked": whole, but with the entries that container runtimes
  /// hide covered (kcore, keys, sysrq-trigger, …) and bus, fs, irq and sys read-only.
  case proc(path: String, options: String)
  /// Mount a devpts of its own.
  case devpts(path: String)
  /// Make the new root the only one, and let the old one go.
  case enterRoot
  /// Make `/` itself read-only (the mounts on it keep their own mode).
  case readOnlyRoot
  /// Make `path`, a mount, read-only with all mounts below it.
  case readOnly(path: String)
  /// From `path`, a mount, and all mounts below it nothing is executed, be it a program or mapped code.
  case noExecution(path: String)
  /// Open `path` (a ptmx), unlock it, take its other end as standard streams and controlling terminal of init's session,
  /// and hand it to the host.
  case terminal(path: String, rows: UInt16, columns: UInt16)
  /// Give up every capability, the bounding set up to `lastCapability`, and the way back to them; become
  /// non-dumpable. Init forks the worker after this.
  case dropPrivilege(lastCapability: UInt32)

  // MARK: In init, where there are no namespaces

  /// Make a folder of the worker's own, at `scratchPath(base, number)`, with `tmp` in it and, if `hasHome`, `home`. It goes
  /// with init; what inits that were killed have left in `base` goes now.
  case scratch(base: String, number: UInt64, hasHome: Bool)
  /// Give up every capability, the bounding set too where that is allowed, and become non-dumpable.
  case dropCapabilities
  /// Let this user have `count` processes more than he has now, as far as init and what it starts are concerned.
  case processes(count: UInt64)
  /// Have init and all that it starts send signals to nobody else (Landlock, ABI 6), so that all of them can be killed at
  /// once; and a guard that does so when init itself is killed.
  case guarded
  // MARK: For init, while the worker runs

  /// End the worker when its control group has no more memory to give. Of version 1: `descriptor` is its
  /// `memory.oom_control`, and `bell` an eventfd that rings then. Of version 2: its `memory.events`, and no bell (0), since
  /// the kernel ends all of it.
  case watchMemory(version: UInt8, descriptor: UInt16, bell: UInt16)
  /// What the worker has used of CPU time stands in `descriptor`: `cpuacct.usage` of version 1, `cpu.stat` of version 2.
  case countCPU(version: UInt8, descriptor: UInt16)
  /// Add up what the worker's processes have of memory, and end it when that is more than `bytes`.
  case sumMemory(bytes: UInt64, places: MemoryPlaces)

  // MARK: In the worker's process

  /// Go into a control group, whose `cgroup.procs` or `tasks` is open as `descriptor`.
  case joinGroup(descriptor: UInt16, limits: String)
  /// `setrlimit`, by the kernel's resource number.
  case limit(resource: UInt32, soft: UInt64, hard: UInt64)
  /// Restrict by Landlock: `rules` grant `access` below each path (as seen inside).
  case landlock(filesystem: UInt64, network: UInt64, scope: UInt64, rules: [LandlockRule])
  /// Load a seccomp program: `struct sock_filter`s, 8 bytes each.
  case seccomp(program: [UInt8])
  /// Execute the first candidate that exists. The last step.
  case execute(Execution)
}

extension Step {
  /// Whether it can be refused where there are no namespaces, or none with the rights that go with them.
  package var isNamespaces: Bool {
    switch self {
    case .privateMounts, .openTree, .identity, .hostname, .loopback, .newRoot, .directory, .file,
      .symlink, .tmpfs, .attach, .mask, .proc, .devpts, .enterRoot, .readOnlyRoot, .readOnly,
      .quota, .dropPrivilege:
      true
    default: false
    }
  }
}

/// Where a worker has memory of its own besides that of its processes.
package struct MemoryPlaces: OptionSet, Equatable, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  package static let temporary = MemoryPlaces(rawValue: 1)
  package static let shared = MemoryPlaces(rawValue: 2)
  package static let home = MemoryPlaces(rawValue: 4)
  package static let systemV = MemoryPlaces(rawValue: 8)
}

/// What may be done below an attached tree.
package struct TreeAccess: OptionSet, Equatable, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  package static let write = TreeAccess(rawValue: 1)
  /// Device nodes below it work (for /dev/null and its kin alone).
  package static let devices = TreeAccess(rawValue: 2)
}

/// One `LANDLOCK_RULE_PATH_BENEATH`.
package struct LandlockRule: Equatable, Sendable {
  package var path: String
  package var access: UInt64
  /// The path is one of many that were found beside another: reached through no symbolic link, and passed over if it
  /// is there no more, or closed to the worker's user.
  package var ifThere: Bool
  /// What it must be; an inode of 0: whatever is there.
  package var device: UInt64
  package var inode: UInt64
  package init(
    path: String, access: UInt64, ifThere: Bool = false, device: UInt64 = 0, inode: UInt64 = 0
  ) {
    self.path = path
    self.access = access
    self.ifThere = ifThere
    self.device = device
    self.inode = inode
  }
}

/// Where a worker without namespaces has a folder of its own: "BASE/lauter-0123456789abcdef".
package func scratchPath(_ base: String, _ number: UInt64) -> String {
  let digits = String(number, radix: 16)
  return base + "/lauter-" + String(repeating: "0", count: 16 - digits.utf8.count) + digits
}

/// What comes of a call that belongs to the attack surface.
package enum ViolationAnswer: UInt8, Sendable {
  /// Nothing is left to init: the filter itself refuses.
  case none = 0
  /// It fails, and the host is told.
  case fail = 1
  /// The worker is killed, and the host is told.
  case kill = 2
  /// It is made all the same, and the host is told.
  case go = 3
}

/// The program that becomes the worker.
package struct Execution: Equatable, Sendable {
  /// Absolute paths, tried in order as execvp(3) does.
  package var candidates: [String] = []
  package var arguments: [String] = []
  /// `NAME=VALUE`.
  package var environment: [String] = []
  /// Working directory inside the sandbox.
  package var directory: String = "/"
  /// Whether descriptors 3 (session) and 4 (control page) are handed over.
  package var hasSession: Bool = false
  /// SIGINT is ignored until the worker's runtime handles it.
  package var ignoresInterrupt: Bool = false
  /// Kill the worker after so many milliseconds of wall-clock time; 0: never.
  package var wallMilliseconds: UInt64 = 0
  /// Kill the worker once its processes have used so many milliseconds of CPU time together; 0: never.
  package var cpuMilliseconds: UInt64 = 0
  /// If not 0, only `execveat` gets through the filter, and only with these 64 bits in the upper halves of its
  /// descriptor (the first 32) and its flags, where the kernel does not look: a password for the first program.
  package var pass: UInt64 = 0
  /// The worker is a job of init's session, which has a terminal, rather than a session of its own: the kernel stops
  /// nobody on Ctrl-Z whom no process of the same session could continue.
  package var hasTerminal: Bool = false
  /// That job begins in the background of its terminal.
  package var inBackground: Bool = false
  /// What init answers where the filter leaves a call to it.
  package var violations = ViolationAnswer.none

  package init() {}
}
