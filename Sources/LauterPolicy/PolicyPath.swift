// SPDX-License-Identifier: Apache-2.0

/// Absolute paths as text.
///
/// Paths are compared byte by byte: `String` takes canonically equivalent spellings for equal, the
/// kernel does not, and a rule for one name must not be found for another.
package enum PolicyPath {
  /// PATH_MAX without its NUL.
  private static let longest = 4095

  /// The path without doubled slashes, `.` and a final slash; or why it cannot stand in a policy.
  package static func normalise(_ path: String, for word: String) throws(PolicyError) -> String {
    func refuse(_ why: String) -> PolicyError {
      PolicyError(
        subject: path, message: path.isEmpty ? "\(word): \(why)" : "\(word) \(path): \(why)")
    }
    let bytes = Array(path.utf8)
    guard let first = bytes.first else { throw refuse("the path is empty") }
    if bytes.contains(0) {
      throw PolicyError(subject: word, message: "\(word): the path holds a NUL byte")
    }
    if first == UInt8(ascii: "~") {
      throw refuse("'~' is resolved by shells, not here; give the absolute path")
    }
    guard first == UInt8(ascii: "/") else {
      throw refuse("the path is relative; give an absolute one")
    }
    guard bytes.count <= longest else { throw refuse("the path is longer than \(longest) bytes") }
    var clean: [UInt8] = []
    for part in bytes.split(separator: UInt8(ascii: "/")) {
      if part.elementsEqual(".".utf8) { continue }
      // What `..` leaves depends on symbolic links, so it cannot be cleaned away as text.
      if part.elementsEqual("..".utf8) {
        throw refuse("'..' is not taken; give the path that is meant")
      }
      clean.append(UInt8(ascii: "/"))
      clean.append(contentsOf: part)
    }
    return clean.isEmpty ? "/" : String(decoding: clean, as: UTF8.self)
  }

  /// Whether two paths are the same bytes.
  package static func same(_ a: String, _ b: String) -> Bool {
    a.utf8.count == b.utf8.count && begins(a, with: b)
  }

  /// Whether `path` is `folder` or lies below it. Both are normalised.
  package static func isWithin(_ path: String, _ folder: String) -> Bool {
    let length = folder.utf8.count
    guard path.utf8.count >= length, begins(path, with: folder) else { return false }
    if path.utf8.count == length || length == 1 && folder.utf8.first == UInt8(ascii: "/") {
      return true
    }
    let utf8 = path.utf8
    return utf8[utf8.index(utf8.startIndex, offsetBy: length)] == UInt8(ascii: "/")
  }

  /// A launch compares some thousands of paths, most of which differ in length: hence by hand. `a`
  /// is no shorter.
  private static func begins(_ a: String, with b: String) -> Bool {
    var rest = a.utf8.makeIterator()
    for byte in b.utf8 where rest.next() != byte { return false }
    return true
  }

  /// Whether `path` lies below `folder` and is not `folder` itself.
  package static func isBelow(_ path: String, _ folder: String) -> Bool {
    path.utf8.count > folder.utf8.count && isWithin(path, folder)
  }

  /// Byte order: a folder comes before what lies below it.
  package static func precedes(_ a: String, _ b: String) -> Bool {
    a.utf8.lexicographicallyPrecedes(b.utf8)
  }

  /// The folder that holds `path`.
  package static func parent(_ path: String) -> String {
    let bytes = Array(path.utf8)
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")), slash > 0 else { return "/" }
    return String(decoding: bytes[..<slash], as: UTF8.self)
  }

  /// The last component.
  package static func name(_ path: String) -> String {
    let bytes = Array(path.utf8)
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return path }
    return String(decoding: bytes[(slash + 1)...], as: UTF8.self)
  }

  /// `folder/name`, where `folder` may be `/`.
  package static func join(_ folder: String, _ name: String) -> String {
    folder.utf8.last == UInt8(ascii: "/") ? folder + name : folder + "/" + name
  }

  /// The path as a shell reads it, for hints that can be copied to a command line.
  static func quoted(_ path: String) -> String {
    let plain = path.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."),
        UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "@"),
        UInt8(ascii: ":"), UInt8(ascii: ","), 0x80...:
        true
      default: false
      }
    }
    if plain { return path }
    var text: [UInt8] = [UInt8(ascii: "'")]
    for byte in path.utf8 {
      if byte == UInt8(ascii: "'") {
        text.append(contentsOf: "'\\''".utf8)
      } else {
        text.append(byte)
      }
    }
    text.append(UInt8(ascii: "'"))
    return String(decoding: text, as: UTF8.self)
  }
}
