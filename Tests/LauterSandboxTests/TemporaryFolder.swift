// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A folder that is gone with its owner.
final class TemporaryFolder {
  let path: String

  init() {
    var template = Array("/tmp/lauter-test-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) }
    precondition(made != nil, "no temporary folder")
    path = String(cString: made!)
  }

  deinit { TemporaryFolder.remove(path) }

  private static func remove(_ path: String) {
    if let stream = opendir(path) {
      while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name == "." || name == ".." { continue }
        let full = path + "/" + name
        var status = stat()
        if lstat(full, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
          remove(full)
        } else {
          unlink(full)
        }
      }
      closedir(stream)
    }
    rmdir(path)
  }

  func folder(_ name: String) -> String {
    let full = path + "/" + name
    var at = path
    for part in name.split(separator: "/") {
      at += "/" + part
      mkdir(at, 0o755)
    }
    return full
  }

  @discardableResult
  func file(_ name: String, _ contents: String = "", mode: mode_t = 0o644) -> String {
    let full = path + "/" + name
    if let slash = name.lastIndex(of: "/") { _ = folder(String(name[..<slash])) }
    let stream = fopen(full, "w")!
    fputs(contents, stream)
    fclose(stream)
    chmod(full, mode)
    return full
  }

  @discardableResult
  func link(_ name: String, to target: String) -> String {
    let full = path + "/" + name
    if let slash = name.lastIndex(of: "/") { _ = folder(String(name[..<slash])) }
    symlink(target, full)
    return full
  }
}
