// SPDX-License-Identifier: Apache-2.0

/// One part of a worker's message.
struct Part: Equatable, Sendable {
  var type: String
  var bytes: [UInt8]

  init(_ type: String, _ bytes: [UInt8]) {
    self.type = type
    self.bytes = bytes
  }

  init(_ type: String, text: String) { self.init(type, Array(text.utf8)) }

  /// The part as text; what is not UTF-8 in it is shown as U+FFFD.
  var text: String { String(decoding: bytes, as: UTF8.self) }

  /// The part as text of at most so many bytes, with a sentence where it is cut: a runtime of good faith sends short
  /// messages, a worker's may be a gigabyte.
  func text(atMost limit: Int) -> String {
    if bytes.count <= limit { return text }
    let rest = sizeText(UInt64(bytes.count - limit))
    return String(decoding: bytes.prefix(limit), as: UTF8.self)
      + "\n[lauter: \(rest) more were not kept]"
  }
}

extension Part {
  static let metadataType = "application/vnd.lauter.metadata+json"
  static let noteType = "application/vnd.lauter.note"
  static let tracebackType = "text/x-traceback"
}

/// What a call showed: representations by media type, and what was said about them.
struct MediaBundle {
  var representations: [Part]
  /// The metadata part, `.null` without one.
  var metadata: JSON

  /// Take a message apart. What a worker says is checked: metadata that is no JSON counts as none.
  init(_ parts: [Part]) {
    representations = parts.filter { $0.type != Part.metadataType }
    let said = parts.first { $0.type == Part.metadataType }
    metadata = said.flatMap { try? JSON(parsing: $0.bytes) } ?? .null
  }

  var displayID: String? { metadata["display_id"]?.text }

  /// Bytes that keeping it costs, about.
  var cost: Int { representations.reduce(256) { $0 + $1.bytes.count + $1.type.utf8.count } }

  /// nbformat's `data`.
  var data: JSON {
    .object(
      JSON.Object(members: representations.map { .init(name: $0.type, value: $0.notebookValue) }))
  }

  /// nbformat's `metadata` of an output, which must be an object.
  var outputMetadata: JSON { metadata["metadata"]?.object.map(JSON.object) ?? [:] }
}

extension Part {
  /// The part as nbformat keeps its media type: JSON as JSON, text as lines, all else as base64.
  fileprivate var notebookValue: JSON {
    let plain = type.prefix { $0 != ";" }
    if plain == "application/json" || (plain.hasPrefix("application/") && plain.hasSuffix("+json"))
    {
      // A worker that lies about its JSON gets its words kept as words, which nbformat allows as well.
      return (try? JSON(parsing: bytes)) ?? .lines(text)
    }
    if plain.hasPrefix("text/") || plain == "image/svg+xml" || plain == "application/javascript" {
      return .lines(text)
    }
    return .string(base64(bytes))
  }
}
