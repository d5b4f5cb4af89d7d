// SPDX-License-Identifier: Apache-2.0

/// A JSON value that goes back to disk as it came.
///
/// Foundation's decoder would turn `1.0` into `1`, `12345678901234567890` into a rounded double and refuse Python's
/// `NaN`; a notebook that is only being executed must keep what its author's tools wrote. So a number stays the text
/// it was, and an object keeps every member.
enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  /// The number as it is spelt.
  case number(String)
  case string(String)
  /// A string with half a surrogate pair, which no Swift string can hold: as it reads with U+FFFD in the half's place,
  /// and as it is spelt between its quotes.
  case torn(String, spelling: String)
  case array([JSON])
  case object(Object)

  /// An object's members in their order. Of members with the same name the last counts, as in Python and JavaScript.
  struct Object: Sendable {
    struct Member: Sendable {
      var name: String
      var value: JSON
    }
    var members: [Member] = []
  }
}

extension JSON.Object: ExpressibleByDictionaryLiteral {
  init(dictionaryLiteral elements: (String, JSON)...) {
    members = elements.map { Member(name: $0.0, value: $0.1) }
  }

  /// The value called `name`; setting nil removes it.
  subscript(name: String) -> JSON? {
    get { members.last { $0.name.isSpelt(name) }?.value }
    set {
      guard let newValue else { return members.removeAll { $0.name.isSpelt(name) } }
      if let index = members.lastIndex(where: { $0.name.isSpelt(name) }) {
        members[index].value = newValue
      } else {
        members.append(Member(name: name, value: newValue))
      }
    }
  }

  /// The members that count, in the order of their names' code points (which is that of their UTF-8).
  var sorted: [Member] {
    let ordered = members.enumerated().sorted { left, right in
      let (a, b) = (left.element.name.utf8, right.element.name.utf8)
      return a.elementsEqual(b) ? left.offset < right.offset : a.lexicographicallyPrecedes(b)
    }
    var result: [Member] = []
    for (_, member) in ordered {
      if let last = result.last, last.name.isSpelt(member.name) {
        result[result.count - 1] = member
      } else {
        result.append(member)
      }
    }
    return result
  }
}

/// Objects are equal if they have the same members, in whatever order.
extension JSON.Object: Equatable {
  static func == (left: Self, right: Self) -> Bool {
    let (a, b) = (left.sorted, right.sorted)
    return a.count == b.count
      && zip(a, b).allSatisfy { $0.name.isSpelt($1.name) && $0.value == $1.value }
  }
}

extension String {
  /// Equal code point by code point: `==` would take canonically equivalent names for the same.
  fileprivate func isSpelt(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByIntegerLiteral
{
  init(stringLiteral value: String) { self = .string(value) }
  init(booleanLiteral value: Bool) { self = .bool(value) }
  init(integerLiteral value: Int) { self = .number(String(value)) }
  init(arrayLiteral elements: JSON...) { self = .array(elements) }
  init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(Object(members: elements.map { Object.Member(name: $0.0, value: $0.1) }))
  }
}

extension JSON {
  var text: String? {
    switch self {
    case .string(let value), .torn(let value, _): value
    default: nil
    }
  }
  var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  var object: Object? { if case .object(let value) = self { value } else { nil } }
  var boolean: Bool? { if case .bool(let value) = self { value } else { nil } }
  var integer: Int? { if case .number(let value) = self { Int(value) } else { nil } }
  /// The member called `name`, nil for what is no object.
  subscript(name: String) -> JSON? { object?[name] }

  /// A string, or a list of strings to be joined: nbformat's way of writing text of many lines.
  var multilineText: String? {
    switch self {
    case .string(let value), .torn(let value, _): return value
    case .array(let lines):
      var result = ""
      for line in lines {
        guard let line = line.text else { return nil }
        result += line
      }
      return result
    default: return nil
    }
  }

  /// Whether `text` or `multilineText` is not all that the value says: it holds half a surrogate pair.
  var isTorn: Bool {
    switch self {
    case .torn: true
    case .array(let elements): elements.contains(where: \.isTorn)
    default: false
    }
  }
}
