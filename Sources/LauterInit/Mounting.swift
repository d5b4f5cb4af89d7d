// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// A filesystem that is being configured, before it is a mount.
struct Filesystem: ~Copyable {
  private let fd: OwnedFD

  init(_ type: StaticString) throws(KernelError) {
    let fd = try check("fsopen", lx_fsopen(type.cString, LX_FSOPEN_CLOEXEC))
    self.fd = OwnedFD(adopting: Int32(fd))
  }

  func set(_ key: StaticString, _ value: String) throws(KernelError) {
    try check(
      "fsconfig", lx_fsconfig(fd.raw, LX_FSCONFIG_SET_STRING, key.cString, value, 0))
  }

  /// `key=value,flag,…` as in mount(8).
  func set(list: String) throws(KernelError) {
    for option in list.utf8.split(separator: UInt8(ascii: ",")) {
      let words = option.split(separator: UInt8(ascii: "="), maxSplits: 1)
      let key = String(decoding: words[0], as: UTF8.self)
      if words.count == 1 {
        try check("fsconfig", lx_fsconfig(fd.raw, LX_FSCONFIG_SET_FLAG, key, nil, 0))
      } else {
        let value = String(decoding: words[1], as: UTF8.self)
        try check("fsconfig", lx_fsconfig(fd.raw, LX_FSCONFIG_SET_STRING, key, value, 0))
      }
    }
  }

  /// A detached mount of it.
  consuming func mounted(_ attributes: UInt32) throws(KernelError) -> OwnedFD {
    try check("fsconfig", lx_fsconfig(fd.raw, LX_FSCONFIG_CMD_CREATE, nil, nil, 0))
    let mount = try check("fsmount", lx_fsmount(fd.raw, LX_FSMOUNT_CLOEXEC, attributes))
    return OwnedFD(adopting: Int32(mount))
  }
}

/// A detached tmpfs of at most `size` bytes (0: the kernel's default), owned by the present user.
func tmpfs(_ size: UInt64, _ mode: UInt32) throws(KernelError) -> OwnedFD {
  let filesystem = try Filesystem("tmpfs")
  if size > 0 {
    try filesystem.set("size", "\(size)")
    // Names cost the kernel memory that no size counts: some 1 KiB each.
    try filesystem.set("nr_inodes", "\(max(size / 8192, 1024))")
  }
  try filesystem.set("mode", String(mode, radix: 8))
  return try filesystem.mounted(LX_MOUNT_ATTR_NOSUID | LX_MOUNT_ATTR_NODEV)
}

/// Put a detached mount where `place` is open.
func attachMount(_ tree: borrowing OwnedFD, at place: borrowing OwnedFD) throws(KernelError) {
  try check(
    "move_mount",
    lx_move_mount(
      tree.raw, "", place.raw, "",
      LX_MOVE_MOUNT_F_EMPTY_PATH | LX_MOVE_MOUNT_T_EMPTY_PATH))
}

/// Put a detached mount at a path.
func moveMount(
  _ tree: borrowing OwnedFD, to folder: Int32, _ path: StaticString
) throws(KernelError) {
  try check(
    "move_mount",
    lx_move_mount(tree.raw, "", folder, path.cString, LX_MOVE_MOUNT_F_EMPTY_PATH))
}

/// Add attributes to the mount at `fd`, and to those below it if `recursive`. All or none get them. No mount that is
/// made on them, or on what they are copies of, appears on the other side.
func setAttributes(_ fd: Int32, _ attributes: UInt32, recursive: Bool) throws(KernelError) {
  var attr = lx_mount_attr()
  attr.attr_set = UInt64(attributes)
  attr.propagation = UInt64(MS_PRIVATE)
  let flags = UInt32(AT_EMPTY_PATH) | (recursive ? LX_AT_RECURSIVE : 0)
  try check("mount_setattr", lx_mount_setattr(fd, "", flags, &attr))
}

/// A path as the folder that it is in and its name there.
struct Place {
  let parent: String
  let name: String

  init(_ path: String) {
    var bytes = path.utf8[...]
    while bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
    let cut = bytes.lastIndex(of: UInt8(ascii: "/")).map { bytes.index(after: $0) }
    parent = String(decoding: bytes[..<(cut ?? bytes.startIndex)], as: UTF8.self)
    name = String(decoding: bytes[(cut ?? bytes.startIndex)...], as: UTF8.self)
  }
}

extension StaticString {
  /// Swift's literals end in NUL.
  var cString: UnsafePointer<CChar> {
    UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
