// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A file that will be written whole or not at all.
///
/// The folder is opened before any worker runs, and the file is made there under a new name and renamed: a worker
/// that may write in that folder cannot lead the write elsewhere by a symbolic link, and whatever happens in between
/// the old file stays.
final class SafeFile {
  let path: String
  private let name: String
  private let folder: Int32
  private let mode: mode_t

  /// Prepare to write `path`, which is absolute. Fails now if that will not be possible.
  init(_ path: String) throws(Failure) {
    // An existing link is followed here, while nobody can have planted it.
    let target = realPath(path) ?? path
    let (directory, name) = splitPath(target)
    self.path = path
    self.name = name
    var status = stat()
    let exists = stat(target, &status) == 0
    if name.isEmpty || name == ".." || (exists && status.st_mode & S_IFMT == S_IFDIR) {
      throw Failure("\(path): is a folder")
    }
    if exists, status.st_mode & S_IFMT != S_IFREG { throw Failure("\(path): is no ordinary file") }
    let mask = umask(0)
    umask(mask)
    mode = exists ? status.st_mode & 0o777 : 0o666 & ~mask
    folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw Failure("\(directory): \(errorText(errno))") }
    do throws(Failure) {
      let (descriptor, trial) = try create()
      close(descriptor)
      unlinkat(folder, trial, 0)
    } catch {
      close(folder)
      throw error
    }
  }

  deinit { close(folder) }

  func write(_ bytes: [UInt8]) throws(Failure) {
    let (descriptor, temporary) = try create()
    do throws(Failure) {
      defer { close(descriptor) }
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw Failure("\(path): \(errorText(errno))") }
        rest = rest.dropFirst(count)
      }
      guard fchmod(descriptor, mode) == 0, fsync(descriptor) == 0,
        renameat(folder, temporary, folder, name) == 0
      else { throw Failure("\(path): \(errorText(errno))") }
    } catch {
      unlinkat(folder, temporary, 0)
      throw error
    }
  }

  /// A new file of a name that nobody can foresee.
  private func create() throws(Failure) -> (descriptor: Int32, name: String) {
    while true {
      let temporary = ".\(name.prefix(100)).\(String(UInt64.random(in: 0 ... .max), radix: 36))"
      let descriptor = openat(
        folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
      if descriptor >= 0 { return (descriptor, temporary) }
      if errno != EEXIST { throw Failure("\(path): \(errorText(errno))") }
    }
  }
}
