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

  deinit {
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
      keep(OwnedFD(adopting: Int32(descriptor)), in: slot)
    case .identity(let uid, let gid, let dropGroups):
      try become(uid, gid, dropGroups)
    case .hostname(let name):
      try check("sethostname", lx_sethostname(name, name.utf8.count))
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
      let parent = try folder(place.parent)
      try check("symlinkat", lx_symlinkat(target, parent.raw, place.name))
    case .tmpfs(let path, let size, let mode):
      try mount(try tmpfs(size, mode), at: try folder(path))
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
      try mount(try filesystem.mounted(attributes), at: try folder(path))
    case .enterRoot:
      try enterRoot()
    case .readOnlyRoot:
      try setAttributes(try root(), LX_MOUNT_ATTR_RDONLY, recursive: false)
    case .readOnly(let path):
      let mount = try existing(path)
      try setAttributes(mount.raw, LX_MOUNT_ATTR_RDONLY, recursive: true)
    case .dropPrivilege(let last):
      try dropPrivilege(last)
    case .limit, .landlock, .seccomp, .execute:
      throw KernelError(call: "plan", errno: EINVAL)
    }
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
    try mount(tree, at: isDirectory ? try folder(path) : try filePoint(path))
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

  /// Open `path` as it will be seen inside: symbolic links, absolute ones too, lead nowhere else.
  private mutating func find(_ path: String, _ flags: Int32) throws(KernelError) -> Int {
    lx_openat2(
      try root(), path, UInt64(flags | O_PATH | O_CLOEXEC), 0,
      LX_RESOLVE_IN_ROOT | LX_RESOLVE_NO_MAGICLINKS)
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

  /// Something at `path` that a file can be mounted on.
  private mutating func filePoint(_ path: String) throws(KernelError) -> OwnedFD {
    let found = try find(path, 0)
    if found != -Int(ENOENT) {
      return OwnedFD(adopting: Int32(try check("openat2", found)))
    }
    try makeFile(path, 0o444, [])
    return try existing(path)
  }

  private mutating func makeFile(
    _ path: String, _ mode: UInt32, _ contents: [UInt8]
  ) throws(KernelError) {
    let place = Place(path)
    let parent = try folder(place.parent)
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
    let fd = try check("openat", lx_openat(parent.raw, place.name, flags, mode))
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

  /// Cover `place` by something of its kind that is empty, that nobody can read, and whose mode nobody can change.
  private mutating func mask(
    _ place: consuming OwnedFD, _ isDirectory: Bool
  ) throws(KernelError) {
    if isDirectory {
      let empty = try tmpfs(4096, 0)
      try setAttributes(empty.raw, LX_MOUNT_ATTR_RDONLY, recursive: false)
      try mount(empty, at: place)
    } else if hasNewRoot {
      try makeFile("/.lauter-mask", 0, [])
      try mountMask(rootFD, ".lauter-mask", at: place)
      // The mount stays. Not before: what has no name cannot be mounted.
      try check("unlinkat", lx_unlinkat(rootFD, ".lauter-mask", 0))
    } else {
      // Nowhere to make a file. A device that is mounted without the right to be one cannot be opened either.
      try mountMask(AT_FDCWD, "/dev/null", at: place)
    }
  }

  private func mountMask(
    _ folder: Int32, _ name: StaticString, at place: borrowing OwnedFD
  ) throws(KernelError) {
    let flags = LX_OPEN_TREE_CLONE | UInt32(O_CLOEXEC)
    let fd = try check("open_tree", lx_open_tree(folder, name.cString, flags))
    let file = OwnedFD(adopting: Int32(fd))
    try setAttributes(file.raw, LX_MOUNT_ATTR_RDONLY | LX_MOUNT_ATTR_NODEV, recursive: false)
    try mount(file, at: place)
  }

  // MARK: /proc

  private mutating func mountProc(_ path: String, _ options: String) throws(KernelError) {
    let masked = options.utf8.elementsEqual("masked".utf8)
    let filesystem = try Filesystem("proc")
    if !masked { try filesystem.set(list: options) }
    let attributes = LX_MOUNT_ATTR_NOSUID | LX_MOUNT_ATTR_NODEV | LX_MOUNT_ATTR_NOEXEC
    let proc = try filesystem.mounted(attributes)
    try mount(proc, at: try folder(path))
    if masked { try maskProc(path) }
  }

  /// What container runtimes hide of a full /proc: the machine's secrets and its knobs.
  private mutating func maskProc(_ path: String) throws(KernelError) {
    for name: StaticString in [
      "acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi",
      "sysrq-trigger", "timer_list", "timer_stats",
    ] {
      guard let entry = try procEntry(path, name) else { continue }
      var status = lx_status()
      try check("fstat", lx_fstat(entry.raw, &status))
      try mask(entry, status.mode & UInt32(S_IFMT) == UInt32(S_IFDIR))
    }
    for name: StaticString in ["bus", "fs", "irq", "sys"] {
      guard let entry = try procEntry(path, name) else { continue }
      let flags = LX_OPEN_TREE_CLONE | UInt32(O_CLOEXEC | AT_EMPTY_PATH)
      let copy = OwnedFD(
        adopting: Int32(try check("open_tree", lx_open_tree(entry.raw, "", flags))))
      try setAttributes(copy.raw, LX_MOUNT_ATTR_RDONLY, recursive: false)
      try mount(copy, at: entry)
    }
  }

  /// An entry of /proc, nil where this kernel has none.
  private mutating func procEntry(
    _ path: String, _ name: StaticString
  ) throws(KernelError) -> OwnedFD? {
    let found = try find("\(path)/\(name)", 0)
    if found == -Int(ENOENT) { return nil }
    return OwnedFD(adopting: Int32(try check("openat2", found)))
  }
}
