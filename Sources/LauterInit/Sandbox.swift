// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// The sandbox while it is built: the root that the plan's paths begin at, and the trees that are to come into it.
struct Sandbox: ~Copyable {
  /// The new root, or the existing one where the plan makes none; -1 until it is needed.
  private var rootFD: Int32 = -1
  private var hasNewRoot = false
  /// Open, detached trees by slot; -1 where there is none (any more).
  private var slots: [Int32] = []
  /// The folder that something was made in last, open: a plan goes folder by folder. -1 for none.
  private var parentFD: Int32 = -1
  private var parentPath = ""
  /// Symbolic links to folders that the plan made, each with a slash behind it.
  private var links: [(path: String, target: String)] = []
  /// What of all this stays.
  private var kept: Kept? = Kept()
  /// The /proc that quotas are set in, before anything of it is covered: a detached mount.
  private var fullProc: OwnedFD?
  /// The new root holds the file that masks are mounts of.
  private var hasMask = false

  deinit {
    if parentFD >= 0 { _ = lx_close(parentFD) }
    if rootFD >= 0 { _ = lx_close(rootFD) }
    for fd in slots where fd >= 0 { _ = lx_close(fd) }
  }

  mutating func take(_ step: Step) throws(KernelError) {
    switch step {
    case .privateMounts:
      try check("mount", lx_make_mounts_private())
    case .openTree(let slot, let path, let device, let inode):
      try openTree(slot, path, device, inode)
    case .adoptTree(let slot, let descriptor, _):
      // Told here, where the path is known, rather than by whoever attaches the slot.
      try check("fcntl", lx_fd_flags(Int32(descriptor)))
      keep(OwnedFD(adopting: Int32(descriptor)), in: slot)
    case .identity(let uid, let gid, let dropGroups):
      try become(uid, gid, dropGroups)
    case .ordinary(let ownKeyring):
      try becomeOrdinary(ownKeyring: ownKeyring)
    case .hostname(let name):
      try check("sethostname", lx_sethostname(name, name.utf8.count))
    case .quota(let name, let most):
      try setQuota(name, most)
    case .loopback:
      try check("ioctl", lx_loopback_up())
    case .newRoot(let size):
      try makeRoot(size)
    case .directory(let path, let mode):
      _ = try folder(path, mode)
    case .file(let path, let mode, let contents):
      try makeFile(path, mode, contents)
    case .symlink(let path, let target):
      let place = Place(path)
      let parent = try parent(place.parent)
      try check("symlinkat", lx_symlinkat(target, parent, place.name))
      if target.utf8.first == UInt8(ascii: "/") { links.append((path + "/", target + "/")) }
    case .tmpfs(let path, let size, let mode):
      try mount(try tmpfs(size, mode), on: path, isDirectory: true)
    case .attach(let slot, let path, let access, let isDirectory):
      try attach(slot, path, access, isDirectory)
    case .mask(let path, let isDirectory):
      try mask(try existing(path), isDirectory)
    case .proc(let path, let options):
      try mountProc(path, options)
    case .devpts(let path):
      let filesystem = try Filesystem("devpts")
      try filesystem.set("mode", "0600")
      try filesystem.set("ptmxmode", "0666")
      let attributes = LX_MOUNT_ATTR_NOSUID | LX_MOUNT_ATTR_NOEXEC
      try mount(try filesystem.mounted(attributes), on: path, isDirectory: true)
    case .enterRoot:
      try enterRoot()
    case .readOnlyRoot:
      try setAttributes(try root(), LX_MOUNT_ATTR_RDONLY, recursive: false)
    case .readOnly(let path):
      let mount = try existing(path)
      try setAttributes(mount.raw, LX_MOUNT_ATTR_RDONLY, recursive: true)
    case .noExecution(let path):
      let mount = try existing(path)
      try setAttributes(mount.raw, LX_MOUNT_ATTR_NOEXEC, recursive: true)
    case .terminal(let path, let rows, let columns):
      try openTerminal(path, rows, columns)
    case .dropPrivilege(let last):
      try dropPrivilege(last)
    case .scratch(let base, let number, let hasHome):
      try kept!.makeScratch(base, number, hasHome: hasHome)
    case .dropCapabilities:
      try giveUpCapabilities()
    case .processes(let count):
      try limitProcesses(count)
    case .guarded:
      try kept!.keepSignalsWithin()
      kept!.processes = machineProcesses()
    case .limit, .landlock, .seccomp, .execute, .joinGroup, .watchMemory, .countCPU, .sumMemory:
      throw KernelError(call: "plan", errno: EINVAL)
    }
  }

  /// In the worker's own user namespace, which this knob is about for whoever opens it there.
  ///
  /// And in a /proc of its own: the kernel keeps the names of all user namespaces' knobs beside each other, so that in the
  /// machine's /proc a look-up passes over those of every worker that there is.
  private mutating func setQuota(_ name: String, _ most: UInt32) throws(KernelError) {
    var folder = AT_FDCWD
    var path = "/proc/sys/user/" + name
    if let proc = try uncoveredProc() {
      folder = proc
      path = "sys/user/" + name
    }
    let fd = try check("openat", lx_openat(folder, path, O_WRONLY | O_CLOEXEC, 0))
    let knob = OwnedFD(adopting: Int32(fd))
    let text = "\(most)"
    try check("write", lx_write(knob.raw, text, text.utf8.count))
  }

  // MARK: Trees of the host

  private mutating func openTree(
    _ slot: UInt16, _ path: String, _ device: UInt64, _ inode: UInt64
  ) throws(KernelError) {
    // Opened here, not by the host: the kernel binds only what is in the caller's own mount namespace. With
    // everything below, since single mounts that cover others are locked together in a user namespace.
    let flags = LX_OPEN_TREE_CLONE | LX_AT_RECURSIVE | UInt32(O_CLOEXEC | AT_SYMLINK_NOFOLLOW)
    let fd = try check("open_tree", lx_open_tree(AT_FDCWD, path, flags))
    let tree = OwnedFD(adopting: Int32(fd))
    var status = lx_status()
    try check("fstat", lx_fstat(tree.raw, &status))
    guard status.device == device, status.inode == inode else {
      throw KernelError(call: "open_tree", errno: ESTALE)
    }
    keep(tree, in: slot)
  }

  private mutating func keep(_ tree: consuming OwnedFD, in slot: UInt16) {
    while slots.count <= Int(slot) { slots.append(-1) }
    if slots[Int(slot)] >= 0 { _ = lx_close(slots[Int(slot)]) }
    slots[Int(slot)] = tree.release()
  }

  private mutating func attach(
    _ slot: UInt16, _ path: String, _ access: TreeAccess, _ isDirectory: Bool
  ) throws(KernelError) {
    guard Int(slot) < slots.count, slots[Int(slot)] >= 0 else {
      throw KernelError(call: "plan", errno: EBADF)
    }
    let tree = OwnedFD(adopting: slots[Int(slot)])
    slots[Int(slot)] = -1
    var attributes = LX_MOUNT_ATTR_NOSUID
    if !access.contains(.write) { attributes |= LX_MOUNT_ATTR_RDONLY }
    if !access.contains(.devices) { attributes |= LX_MOUNT_ATTR_NODEV }
    // While nobody can see it: there is no moment in which it is writable.
    try setAttributes(tree.raw, attributes, recursive: true)
    try mount(tree, on: path, isDirectory: isDirectory)
  }

  // MARK: The root

  /// A tmpfs on top of `/` of this mount namespace: there need not be a folder for it. What is below stays
  /// reachable by absolute paths, which start at the old root itself, until it goes.
  private mutating func makeRoot(_ size: UInt64) throws(KernelError) {
    guard !hasNewRoot, rootFD < 0 else { throw KernelError(call: "plan", errno: EBUSY) }
    let root = try tmpfs(size, 0o755)
    try moveMount(root, to: AT_FDCWD, "/")
    rootFD = root.release()
    hasNewRoot = true
  }

  private mutating func enterRoot() throws(KernelError) {
    // The mounts of it stay. Not before: what has no name cannot be mounted.
    if hasMask { try check("unlinkat", lx_unlinkat(rootFD, maskName.cString, 0)) }
    try check("fchdir", lx_fchdir(try root()))
    try check("pivot_root", lx_pivot_root(".", "."))
    // The old root now lies on top of the new one.
    try check("umount2", lx_umount2(".", Int32(MNT_DETACH)))
    try check("chdir", lx_chdir("/"))
  }

  private mutating func root() throws(KernelError) -> Int32 {
    if rootFD < 0 {
      rootFD = Int32(try check("open", lx_open("/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0)))
    }
    return rootFD
  }

  // MARK: Paths in it

  /// Open `path` as it will be seen inside. It leads through no symbolic link but those that the plan makes: another, in
  /// a folder of the host's that is shown already, was put there since, to have a mount or a cover come elsewhere.
  private mutating func find(_ path: String, _ flags: Int32) throws(KernelError) -> Int {
    var path = path
    for link in links where path.utf8.starts(with: link.path.utf8) {
      path =
        link.target + String(decoding: path.utf8.dropFirst(link.path.utf8.count), as: UTF8.self)
    }
    return lx_open_in_root(try root(), path, flags)
  }

  private mutating func existing(_ path: String) throws(KernelError) -> OwnedFD {
    OwnedFD(adopting: Int32(try check("openat2", try find(path, 0))))
  }

  /// The folder at `path`, made with its parents where there is none.
  private mutating func folder(
    _ path: String, _ mode: UInt32 = 0o755
  ) throws(KernelError) -> OwnedFD {
    let found = try find(path, O_DIRECTORY)
    if found != -Int(ENOENT) {
      return OwnedFD(adopting: Int32(try check("openat2", found)))
    }
    let place = Place(path)
    let parent = try folder(place.parent)
    let made = lx_mkdirat(parent.raw, place.name, mode)
    if made != -Int(EEXIST) { try check("mkdirat", made) }
    return OwnedFD(adopting: Int32(try check("openat2", try find(path, O_DIRECTORY))))
  }

  /// The folder at `path`, made if need be, and kept open for what else is made in it.
  private mutating func parent(_ path: String) throws(KernelError) -> Int32 {
    if path.utf8.elementsEqual("/".utf8) { return try root() }
    if parentFD >= 0 && parentPath.utf8.elementsEqual(path.utf8) { return parentFD }
    var opened = try folder(path)
    forgetParent()
    parentFD = opened.release()
    parentPath = path
    return parentFD
  }

  /// Something was mounted that may cover it.
  private mutating func forgetParent() {
    if parentFD >= 0 { _ = lx_close(parentFD) }
    parentFD = -1
  }

  /// Put a detached mount at `path`, making the folder or file that it covers where there is none.
  private mutating func mount(
    _ tree: borrowing OwnedFD, on path: String, isDirectory: Bool
  ) throws(KernelError) {
    let place = Place(path)
    let folder = try parent(place.parent)
    let made =
      isDirectory
      ? lx_mkdirat(folder, place.name, 0o755) : lx_mknodat_file(folder, place.name, 0o444)
    if made == 0 {
      // Ours and bare: its name in the open folder leads nowhere else.
      let flags = LX_MOVE_MOUNT_F_EMPTY_PATH
      try check("move_mount", lx_move_mount(tree.raw, "", folder, place.name, flags))
      return
    }
    if made != -Int(EEXIST) { try check(isDirectory ? "mkdirat" : "mknodat", made) }
    let point = try find(path, isDirectory ? O_DIRECTORY : 0)
    try attachMount(tree, at: OwnedFD(adopting: Int32(try check("openat2", point))))
    forgetParent()
  }

  private mutating func makeFile(
    _ path: String, _ mode: UInt32, _ contents: [UInt8]
  ) throws(KernelError) {
    let place = Place(path)
    let parent = try parent(place.parent)
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
    let fd = try check("openat", lx_openat(parent, place.name, flags, mode))
    let file = OwnedFD(adopting: Int32(fd))
    var written = 0
    while written < contents.count {
      let count = contents.withUnsafeBytes {
        lx_write(file.raw, $0.baseAddress! + written, $0.count - written)
      }
      written += try check("write", count)
    }
  }

  // MARK: Masks

  /// Cover what is at `place` by something of its kind that is empty, that nobody can read, and whose mode nobody can
  /// change.
  private mutating func mask(
    _ place: borrowing OwnedFD, _ isDirectory: Bool
  ) throws(KernelError) {
    try attachMount(isDirectory ? try emptyFolder() : try emptyFile(), at: place)
    forgetParent()
  }

  /// A detached mount of a folder in which nothing is.
  private func emptyFolder() throws(KernelError) -> OwnedFD {
    let empty = try tmpfs(4096, 0)
    try setAttributes(empty.raw, LX_MOUNT_ATTR_RDONLY, recursive: false)
    return empty
  }

  /// A detached mount of an empty file. Where there is no new root to make one in: of a device that, mounted without
  /// the right to be one, cannot be opened either.
  private mutating func emptyFile() throws(KernelError) -> OwnedFD {
    if hasNewRoot && !hasMask {
      try check("mknodat", lx_mknodat_file(rootFD, maskName.cString, 0))
      hasMask = true
    }
    let name: StaticString = hasNewRoot ? maskName : "/dev/null"
    let flags = LX_OPEN_TREE_CLONE | UInt32(O_CLOEXEC)
    let fd = try check("open_tree", lx_open_tree(rootFD, name.cString, flags))
    let file = OwnedFD(adopting: Int32(fd))
    try setAttributes(file.raw, LX_MOUNT_ATTR_RDONLY | LX_MOUNT_ATTR_NODEV, recursive: false)
    return file
  }

  // MARK: /proc

  private mutating func mountProc(_ path: String, _ options: String) throws(KernelError) {
    let masked = options.utf8.elementsEqual("masked".utf8)
    if masked || options.isEmpty {
      let proc = if let made = fullProc.take() { made } else { try procMount("") }
      try mount(proc, on: path, isDirectory: true)
      if masked { try maskProc(proc) }
      kept!.processes = try folder(of: proc)
    } else {
      let proc = try procMount(options)
      try mount(proc, on: path, isDirectory: true)
      // The worker's hides who is not dumpable, which a worker can choose to be. Nobody else ever sees this one, in which quotas
      // were set.
      let own = if let made = fullProc.take() { made } else { try procMount("subset=pid") }
      kept!.processes = try folder(of: own)
      Sandbox.leaveToInit(own)
    }
  }

  /// A detached mount of the worker's /proc.
  private func procMount(_ options: String) throws(KernelError) -> OwnedFD {
    let filesystem = try Filesystem("proc")
    try filesystem.set(list: options)
    return try filesystem.mounted(
      LX_MOUNT_ATTR_NOSUID | LX_MOUNT_ATTR_NODEV | LX_MOUNT_ATTR_NOEXEC)
  }

  /// The descriptor of `fullProc`, which is made if need be. Nil where the kernel gives none, since this machine's is
  /// masked: whether that is an error is for the step to say that is about /proc.
  private mutating func uncoveredProc() throws(KernelError) -> Int32? {
    if fullProc == nil {
      do throws(KernelError) { fullProc = try procMount("") } catch {
        if error.errno == EPERM { return nil }
        throw error
      }
    }
    return fullProc?.raw
  }

  /// The kernel waits for a grace period when a detached mount is closed: init does that once the worker runs, with all
  /// that it need not keep. The worker's program gets none of it.
  private static func leaveToInit(_ mount: consuming OwnedFD) { _ = mount.release() }

  /// A mount's root as a folder that can be read.
  private func folder(of mount: borrowing OwnedFD) throws(KernelError) -> OwnedFD {
    let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
    return OwnedFD(adopting: Int32(try check("openat", lx_openat(mount.raw, ".", flags, 0))))
  }

  /// The machine's, of which the worker's are those that init may send signals to. Nil where init itself is in a sandbox
  /// that shows it none.
  private func machineProcesses() -> OwnedFD? {
    let fd = lx_open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    return fd >= 0 ? OwnedFD(adopting: Int32(fd)) : nil
  }

  /// What stays when the sandbox is built. Nothing is mounted after this.
  mutating func takeKept() -> Kept {
    if let unused = fullProc.take() { Sandbox.leaveToInit(unused) }
    return kept.take() ?? Kept()
  }

  /// What container runtimes hide of a full /proc: the machine's secrets and its knobs. Entries that this kernel does
  /// not have are passed over.
  private mutating func maskProc(_ proc: borrowing OwnedFD) throws(KernelError) {
    for name: StaticString in [
      "acpi", "asound", "cmdline", "diskstats", "interrupts", "kcore", "key-users", "keys",
      "latency_stats", "modules", "partitions", "sched_debug", "scsi", "sysrq-trigger",
      "timer_list",
      "timer_stats",
    ] {
      // Asked first: to throw away a mask that has nothing to cover would cost the kernel a grace period.
      var status = lx_status()
      let found = lx_fstatat(proc.raw, name.cString, &status)
      if found == -Int(ENOENT) { continue }
      try check("fstatat", found)
      let isDirectory = status.mode & UInt32(S_IFMT) == UInt32(S_IFDIR)
      try moveMount(isDirectory ? try emptyFolder() : try emptyFile(), to: proc.raw, name)
    }
    for name: StaticString in ["bus", "fs", "irq", "sys"] {
      let flags = LX_OPEN_TREE_CLONE | UInt32(O_CLOEXEC)
      let opened = lx_open_tree(proc.raw, name.cString, flags)
      if opened == -Int(ENOENT) { continue }
      let copy = OwnedFD(adopting: Int32(try check("open_tree", opened)))
      try setAttributes(copy.raw, LX_MOUNT_ATTR_RDONLY, recursive: false)
      try moveMount(copy, to: proc.raw, name)
    }
    try coverBoot(proc)
  }

  /// Programs ask for the boot's id to tell machines apart: each worker is a machine of its own.
  private mutating func coverBoot(_ proc: borrowing OwnedFD) throws(KernelError) {
    let place: StaticString = "sys/kernel/random/boot_id"
    var status = lx_status()
    guard hasNewRoot else { return }
    let found = lx_fstatat(proc.raw, place.cString, &status)
    if found == -Int(ENOENT) { return }
    try check("fstatat", found)
    try makeFile("/" + bootName.description, 0o444, try newBoot())
    let flags = LX_OPEN_TREE_CLONE | UInt32(O_CLOEXEC)
    let fd = try check("open_tree", lx_open_tree(rootFD, bootName.cString, flags))
    let file = OwnedFD(adopting: Int32(fd))
    try setAttributes(file.raw, LX_MOUNT_ATTR_RDONLY, recursive: false)
    try moveMount(file, to: proc.raw, place)
    try check("unlinkat", lx_unlinkat(rootFD, bootName.cString, 0))
    forgetParent()
  }

  /// A random UUID and a line feed, as the kernel writes its own.
  private func newBoot() throws(KernelError) -> [UInt8] {
    var random = [UInt8](repeating: 0, count: 16)
    try check("getrandom", lx_getrandom(&random, random.count))
    random[6] = random[6] & 0x0F | 0x40
    random[8] = random[8] & 0x3F | 0x80
    var text: [UInt8] = []
    let digits = Array("0123456789abcdef".utf8)
    for (index, byte) in random.enumerated() {
      if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return text + [UInt8(ascii: "\n")]
  }
}

/// In the new root, while masks are made.
private let maskName: StaticString = ".lauter-mask"
private let bootName: StaticString = ".lauter-boot"
