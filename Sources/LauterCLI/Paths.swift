// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Where relative paths and `~` of a command line lead. The library takes absolute paths alone.
struct PathResolver {
  var directory: String
  var home: String?

  /// As seen from the current directory.
  static func here() throws(Failure) -> PathResolver {
    guard let directory = getcwd(nil, 0) else {
      throw Failure("the current directory: \(errorText(errno))")
    }
    defer { free(directory) }
    return PathResolver(
      directory: String(cString: directory), home: environmentVariable("HOME"))
  }

  /// The absolute path that `path` means. Symbolic links stay as they are, but for one that a `..` follows.
  func resolve(_ path: String) throws(Failure) -> String {
    if path.isEmpty { throw Failure("a path is empty") }
    var whole = path
    if path == "~" || path.hasPrefix("~/") {
      guard let home, home.hasPrefix("/") else {
        throw Failure("\(path): HOME does not name a folder")
      }
      whole = home + path.dropFirst()
    } else if path.hasPrefix("~") {
      throw Failure(
        "\(path): other people's home folders are to be written out; for a file of this name say ./\(path)"
      )
    } else if !path.hasPrefix("/") {
      whole = directory + "/" + path
    }
    var result: [Substring] = []
    for component in whole.split(separator: "/") where component != "." {
      guard component == ".." else {
        result.append(component)
        continue
      }
      let physical =
        realPath("/" + result.joined(separator: "/")) ?? "/" + result.joined(separator: "/")
      result = physical.split(separator: "/").dropLast()
    }
    return "/" + result.joined(separator: "/")
  }
}

/// The path without symbolic links, nil if there is nothing.
func realPath(_ path: String) -> String? {
  guard let real = realpath(path, nil) else { return nil }
  defer { free(real) }
  return String(cString: real)
}

/// A path's folder and its last component.
func splitPath(_ path: String) -> (folder: String, name: String) {
  guard let slash = path.lastIndex(of: "/") else { return (".", path) }
  let folder = path[..<slash]
  return (folder.isEmpty ? "/" : String(folder), String(path[path.index(after: slash)...]))
}

/// Whether `path` is `folder` or lies below it; both absolute.
func isPath(_ path: String, within folder: String) -> Bool {
  folder == "/" || path == folder || path.hasPrefix(folder + "/")
}
