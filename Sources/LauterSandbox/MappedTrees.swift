// SPDX-License-Identifier: Apache-2.0

#if canImport(CLaunch)
  import CLaunch
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// Detached mounts of folders whose owner, by an id-mapped mount, is the worker.
///
/// A worker of root's has an id that owns nothing. What the host grants it by name it is to have as
/// the owner has it: a folder of root's that is writable in the policy is writable, and what the
/// worker makes there belongs to root.
struct MappedTrees: ~Copyable {
  private var descriptors: [Int32] = []
  private var spaces: [(uid: UInt32, gid: UInt32, fd: Int32)] = []
  private let identity: Identity

  var count: Int { descriptors.count }

  init(for identity: Identity) { self.identity = identity }

  deinit {
    for space in spaces { _ = lx_close(space.fd) }
    for descriptor in descriptors { _ = lx_close(descriptor) }
  }

  /// The descriptors, which are the caller's from here on.
  mutating func take() -> [Int32] {
    let taken = descriptors
    descriptors = []
    return taken
  }

  /// Make one more; its number among them. Nil if it is to be opened without a map.
  mutating func add(_ file: HostFile, _ access: TreeAccess) throws(SandboxError) -> Int? {
    do throws(KernelError) {
      let fd = try check("open_tree", csandbox_clone_tree(file.path))
      let tree = OwnedFD(adopting: Int32(fd))
      var status = lx_status()
      try check("fstat", lx_fstat(tree.raw, &status))
      guard status.device == file.device, status.inode == file.inode else {
        throw KernelError(call: "open_tree", errno: ESTALE)
      }
      try check("mount_setattr", csandbox_map_tree(tree.raw, try space(file.uid, file.gid)))
      descriptors.append(tree.release())
      return descriptors.count - 1
    } catch {
      // Network and FUSE file systems have no mapped mounts, nor may the root of a container map
      // what the machine mounted.
      let cannotMap = error.errno == EINVAL || error.errno == EPERM || error.errno == EOPNOTSUPP
      let othersMayWrite = file.isDirectory ? file.mode & 0o003 == 0o003 : file.mode & 0o002 != 0
      if cannotMap && (!access.contains(.write) || othersMayWrite) { return nil }
      if cannotMap {
        throw SandboxError(
          .unsupported, subject: file.path,
          message:
            "write \(file.path): its file system cannot lend it to the worker's own user id "
            + "(no id-mapped mounts: \(errnoText(error.errno))); run the host as an ordinary user, "
            + "or let everybody write there",
          errno: error.errno)
      }
      throw SandboxError(
        .system, subject: file.path,
        message: "attach \(file.path): \(errnoText(error.errno))", errno: error.errno)
    }
  }

  /// A user namespace that maps the owner on disk to the worker. One for each owner.
  private mutating func space(_ uid: UInt32, _ gid: UInt32) throws(KernelError) -> Int32 {
    for space in spaces where space.uid == uid && space.gid == gid { return space.fd }
    let fd = claunch_idmap_namespace(
      "\(uid) \(identity.outsideUser) 1\n", "\(gid) \(identity.outsideGroup) 1\n")
    try check("user namespace", Int(fd))
    spaces.append((uid, gid, fd))
    return fd
  }
}
