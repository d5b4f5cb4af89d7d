// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// A file or folder of the machine, as it was when the plan was made.
struct HostFile {
  /// Without symbolic links.
  var path: String
  var device: UInt64
  var inode: UInt64
  var mode: UInt32
  var uid: UInt32
  var gid: UInt32

  private static let typeMask: UInt32 = 0o170000
  var isDirectory: Bool { mode & HostFile.typeMask == 0o040000 }
  var isRegular: Bool { mode & HostFile.typeMask == 0o100000 }

  /// A file that everybody may read, and execute if its owner may: to have it as the owner has it takes no map.
  var isSharedFile: Bool { isRegular && mode & 0o004 != 0 && mode & 0o500 & ~(mode << 6) == 0 }

  /// Resolve `path` once and for all: init refuses what is not this device and inode.
  init(resolving path: String) throws(KernelError) {
    var buffer = [CChar](repeating: 0, count: Int(LX_PATH_MAX))
    let length = try check("realpath", lx_realpath(path, &buffer))
    // What is not UTF-8 cannot stand in a plan: it would come out as another path.
    guard let resolved = HostFile.text(buffer[..<length]) else {
      throw KernelError(call: "realpath", errno: EILSEQ)
    }
    var status = lx_status()
    try check("stat", lx_lstat(resolved, &status))
    self.path = resolved
    device = status.device
    inode = status.inode
    mode = status.mode
    uid = status.uid
    gid = status.gid
  }

  /// The file at `path`, or nil if it cannot be had.
  static func existing(_ path: String) -> HostFile? {
    do throws(KernelError) { return try HostFile(resolving: path) } catch { return nil }
  }

  /// The file at `path`, which `word` of the policy or launch names.
  static func named(_ path: String, by word: String) throws(SandboxError) -> HostFile {
    do throws(KernelError) { return try HostFile(resolving: path) } catch {
      switch error.errno {
      case ENOENT, ENOTDIR:
        throw SandboxError(
          .notFound, subject: path, message: "\(word) \(path): no such file or folder",
          errno: error.errno)
      case EACCES, EPERM:
        throw SandboxError(
          .denied, subject: path,
          message: "\(word) \(path): the host itself may not look there (permission denied)",
          errno: error.errno)
      default:
        throw SandboxError(
          .system, subject: path, message: "\(word) \(path): \(errnoText(error.errno))",
          errno: error.errno)
      }
    }
  }

  /// What the symbolic link at `path` says; nil if it is none.
  static func link(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(LX_PATH_MAX))
    let length = lx_readlink(path, &buffer, buffer.count)
    guard length > 0, length < buffer.count else { return nil }
    return text(buffer[..<length])
  }

  /// Whether the host may execute the file, or enter the folder.
  static func isExecutable(_ path: String) -> Bool { lx_access(path, 1) == 0 }

  /// At most `limit` bytes from the beginning of a file; nil if it cannot be read.
  static func contents(_ path: String, upTo limit: Int) -> [UInt8]? {
    let fd = lx_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0)
    guard fd >= 0 else { return nil }
    let file = OwnedFD(adopting: Int32(fd))
    var bytes = [UInt8](repeating: 0, count: limit)
    var filled = 0
    while filled < limit {
      let room = limit - filled
      let count = bytes.withUnsafeMutableBytes {
        lx_read(file.raw, $0.baseAddress! + filled, room)
      }
      if count == 0 { break }
      if count < 0 { return nil }
      filled += count
    }
    bytes.removeLast(limit - filled)
    return bytes
  }

  /// The names in a folder; none if it cannot be read.
  static func names(in folder: String) -> [String] {
    let fd = lx_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard fd >= 0 else { return [] }
    let file = OwnedFD(adopting: Int32(fd))
    var names: [String] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = lx_getdents64(file.raw, &buffer, buffer.count)
      guard count > 0 else { return names }
      var offset = 0
      while offset < count {
        // struct linux_dirent64: u64 inode, i64 offset, u16 size, u8 type, name.
        let size = Int(buffer[offset + 16]) | Int(buffer[offset + 17]) << 8
        let entry = buffer[(offset + 19)..<(offset + size)]
        let name = entry.prefix { $0 != 0 }
        offset += size
        if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) { continue }
        if let text = String(validating: name, as: UTF8.self) { names.append(text) }
      }
    }
  }

  private static func text(_ bytes: ArraySlice<CChar>) -> String? {
    String(validating: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
