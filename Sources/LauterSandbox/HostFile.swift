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
  ///
  /// Who may write a folder on the way can exchange it for a link at any moment. So the file is opened by the resolved
  /// path once more, without a single link: had it been looked at through one, its device and inode would be those of a
  /// file elsewhere, and it would be shown under a path that the policy does name.
  init(resolving path: String) throws(KernelError) {
    var buffer = [CChar](repeating: 0, count: Int(LX_PATH_MAX))
    for look in 0..<HostFile.mostLooks {
      var resolved = path
      // Most lead through no link: then they need not be followed first.
      if look > 0 || !HostFile.isPlain(path) {
        let length = try check("realpath", lx_realpath(path, &buffer))
        // What is not UTF-8 cannot stand in a plan: it would come out as another path.
        guard let text = HostFile.text(buffer[..<length]) else {
          throw KernelError(call: "realpath", errno: EILSEQ)
        }
        resolved = text
      }
      let opened = lx_open_without_links(resolved)
      if opened == -Int(ELOOP) || opened == -Int(ENOENT) || opened == -Int(ENOTDIR) { continue }
      let file = OwnedFD(adopting: Int32(try check("openat2", opened)))
      var status = lx_status()
      try check("fstat", lx_fstat(file.raw, &status))
      // A link at the very end is opened itself.
      if status.mode & HostFile.typeMask == 0o120000 { continue }
      self.path = resolved
      device = status.device
      inode = status.inode
      mode = status.mode
      uid = status.uid
      gid = status.gid
      return
    }
    throw KernelError(call: "openat2", errno: ESTALE)
  }

  /// Whether a path is written as it would be after all links on it were followed, if there is none.
  private static func isPlain(_ path: String) -> Bool {
    var length = 0
    var dots = 0
    let slash = UInt8(ascii: "/")
    guard path.utf8.count > 1, path.utf8.first == slash else { return false }
    for byte in path.utf8.dropFirst() {
      if byte == slash {
        if length == dots && length <= 2 { return false }
        length = 0
        dots = 0
      } else {
        length += 1
        if byte == UInt8(ascii: ".") { dots += 1 }
      }
    }
    return length > dots || length > 2
  }

  /// Before what is exchanged over and over is given up.
  private static let mostLooks = 32

  /// The file at `path`, or nil if it cannot be had. For looks that decide nothing.
  static func existing(_ path: String) -> HostFile? {
    do throws(KernelError) { return try HostFile(resolving: path) } catch { return nil }
  }

  /// The file at `path`; nil if there is none that the host may see.
  static func find(_ path: String) throws(SandboxError) -> HostFile? {
    do throws(KernelError) { return try HostFile(resolving: path) } catch {
      try refuse(shortage: error, path)
      return nil
    }
  }

  /// Throws if a look failed because host or machine were short of something: then nothing is known of the file, and to
  /// go on as if there were none would give the worker less than it is to have.
  static func refuse(shortage error: KernelError, _ path: String) throws(SandboxError) {
    guard isShortage(error.errno) else { return }
    throw SandboxError(
      .system, subject: path,
      message: "looking for \(path): \(error.call): \(errnoText(error.errno))",
      errno: error.errno)
  }

  static func isShortage(_ errno: Int32) -> Bool {
    switch errno {
    case ENOMEM, EMFILE, ENFILE, EIO, EINTR: true
    default: false
    }
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
      case ESTALE:
        throw SandboxError(
          .system, subject: path,
          message:
            "\(word) \(path): what it names changes while it is looked up; keep others from "
            + "exchanging the folders and links on its way",
          errno: error.errno)
      default:
        throw SandboxError(
          .system, subject: path,
          message: "\(word) \(path): \(error.call): \(errnoText(error.errno))",
          errno: error.errno)
      }
    }
  }

  /// What the symbolic link at `path` says; nil if it is none.
  static func link(_ path: String) throws(SandboxError) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(LX_PATH_MAX))
    let length = lx_readlink(path, &buffer, buffer.count)
    if length < 0 {
      try refuse(shortage: KernelError(call: "readlink", errno: Int32(-length)), path)
    }
    guard length > 0, length < buffer.count else { return nil }
    return text(buffer[..<length])
  }

  /// Whether the host may execute the file, or enter the folder.
  static func isExecutable(_ path: String) throws(SandboxError) -> Bool {
    let result = lx_access(path, 1)
    if result < 0 { try refuse(shortage: KernelError(call: "access", errno: Int32(-result)), path) }
    return result == 0
  }

  /// At most `limit` bytes from the beginning of a file; nil if it cannot be read. For looks that decide nothing.
  static func contents(_ path: String, upTo limit: Int) -> [UInt8]? {
    do throws(KernelError) { return try bytes(of: path, upTo: limit) } catch { return nil }
  }

  /// At most `limit` bytes from the beginning of a file; nil if the host may not read it, or there is none.
  static func read(_ path: String, upTo limit: Int) throws(SandboxError) -> [UInt8]? {
    do throws(KernelError) { return try bytes(of: path, upTo: limit) } catch {
      try refuse(shortage: error, path)
      return nil
    }
  }

  static func bytes(of path: String, upTo limit: Int) throws(KernelError) -> [UInt8] {
    let fd = try check("open", lx_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0))
    let file = OwnedFD(adopting: Int32(fd))
    var bytes = [UInt8](repeating: 0, count: limit)
    var filled = 0
    while filled < limit {
      let room = limit - filled
      let count = bytes.withUnsafeMutableBytes {
        lx_read(file.raw, $0.baseAddress! + filled, room)
      }
      if try check("read", count) == 0 { break }
      filled += count
    }
    bytes.removeLast(limit - filled)
    return bytes
  }

  /// The names in a folder; none if the host may not read it, or there is none.
  static func names(in folder: String) throws(SandboxError) -> [String] {
    do throws(KernelError) { return try list(folder) } catch {
      try refuse(shortage: error, folder)
      return []
    }
  }

  /// As `names`, and says why if there are none to be had.
  static func list(_ folder: String) throws(KernelError) -> [String] {
    let fd = try check("open", lx_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0))
    let file = OwnedFD(adopting: Int32(fd))
    var names: [String] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = try check("getdents64", lx_getdents64(file.raw, &buffer, buffer.count))
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
