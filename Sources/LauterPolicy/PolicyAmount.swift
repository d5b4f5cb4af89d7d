// SPDX-License-Identifier: Apache-2.0

/// Sizes, times and counts as text.
enum PolicyAmount {
  /// Bytes: a whole number with K, M or G (binary), or none of them.
  static func size(_ text: String, for subject: String) throws(PolicyError) -> UInt64 {
    let units: [(StaticString, UInt64)] = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("", 1)]
    guard let value = parse(text, units), value > 0 else {
      throw PolicyError(
        subject: subject,
        message:
          "\(subject): '\(text)' is not a size; a size is a number above 0 with K, M or G, "
          + "such as 512M"
      )
    }
    // More than this no file system and no rlimit_t comparison takes.
    guard value <= UInt64(Int64.max) else {
      throw PolicyError(subject: subject, message: "\(subject): \(text) is too large")
    }
    return value
  }

  /// Bytes of an arena, of two halves of whole MiB.
  static func arena(_ text: String, for subject: String) throws(PolicyError) -> UInt64 {
    let value = try size(text, for: subject)
    guard (2 << 20...64 << 30).contains(value), value % (2 << 20) == 0 else {
      throw PolicyError(
        subject: subject, message: "\(subject): \(text) is not an even number of MiB from 2M to 64G"
      )
    }
    return value
  }

  /// Milliseconds: a whole number with ms, s, m or h.
  static func time(_ text: String, for subject: String) throws(PolicyError) -> UInt64 {
    let units: [(StaticString, UInt64)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
    guard let value = parse(text, units), value > 0 else {
      throw PolicyError(
        subject: subject,
        message:
          "\(subject): '\(text)' is not a time; a time is a number above 0 with ms, s, m or h, "
          + "such as 90s"
      )
    }
    guard value <= 3_600_000 * 24 * 366 * 10 else {
      throw PolicyError(
        subject: subject, message: "\(subject): \(text) is too long; leave the limit out")
    }
    return value
  }

  /// A count within `range`.
  static func count(
    _ text: String, in range: ClosedRange<UInt64>, for subject: String
  ) throws(PolicyError) -> UInt64 {
    guard let value = parse(text, [("", 1)]), range.contains(value) else {
      throw PolicyError(
        subject: subject,
        message:
          "\(subject): '\(text)' is not a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// Thousandths: a number with up to three digits behind a point, from 0.01 to 4096.
  static func thousandths(_ text: String, for subject: String) throws(PolicyError) -> UInt64 {
    var whole = text.utf8[...]
    var rest: Substring.UTF8View?
    if let point = whole.firstIndex(of: UInt8(ascii: ".")) {
      rest = whole[whole.index(after: point)...]
      whole = whole[..<point]
    }
    var value = parse(String(decoding: whole, as: UTF8.self), [("", 1000)])
    if let rest {
      let scale: UInt64 = rest.count == 1 ? 100 : rest.count == 2 ? 10 : 1
      let part = rest.count > 3 ? nil : parse(String(decoding: rest, as: UTF8.self), [("", scale)])
      // What is too large anyway is not added to.
      if let whole = value, let part, whole <= 4_096_000 {
        value = whole + part
      } else {
        value = nil
      }
    }
    guard let value, (10...4_096_000).contains(value) else {
      throw PolicyError(
        subject: subject,
        message: "\(subject): '\(text)' is not a number from 0.01 to 4096, such as 0.5 or 2")
    }
    return value
  }

  /// The shortest exact form of thousandths.
  static func thousandthsText(_ value: UInt64) -> String {
    var rest = value % 1000
    if rest == 0 { return "\(value / 1000)" }
    var text = "\(value / 1000)."
    if rest < 100 { text += "0" }
    if rest < 10 { text += "0" }
    while rest % 10 == 0 { rest /= 10 }
    return text + "\(rest)"
  }

  /// Digits and one of `units`; nil for anything else and for what overflows.
  private static func parse(_ text: String, _ units: [(StaticString, UInt64)]) -> UInt64? {
    let bytes = text.utf8
    let digits = bytes.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard !digits.isEmpty else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      let (scaled, over) = value.multipliedReportingOverflow(by: 10)
      let (sum, overAdd) = scaled.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      if over || overAdd { return nil }
      value = sum
    }
    let unit = bytes.dropFirst(digits.count)
    for (name, factor) in units {
      let matches = name.withUTF8Buffer { unit.elementsEqual($0) }
      guard matches else { continue }
      let (product, over) = value.multipliedReportingOverflow(by: factor)
      return over ? nil : product
    }
    return nil
  }

  /// The shortest exact form of a size.
  static func sizeText(_ bytes: UInt64) -> String {
    if bytes % (1 << 30) == 0 { return "\(bytes >> 30)G" }
    if bytes % (1 << 20) == 0 { return "\(bytes >> 20)M" }
    if bytes % (1 << 10) == 0 { return "\(bytes >> 10)K" }
    return "\(bytes)"
  }

  /// The shortest exact form of a time.
  static func timeText(_ milliseconds: UInt64) -> String {
    if milliseconds % 3_600_000 == 0 { return "\(milliseconds / 3_600_000)h" }
    if milliseconds % 60_000 == 0 { return "\(milliseconds / 60_000)m" }
    if milliseconds % 1000 == 0 { return "\(milliseconds / 1000)s" }
    return "\(milliseconds)ms"
  }

  /// What to say of `word`, which is none of `known`: the nearest one if it is near, else all of
  /// them.
  static func suggestion(for word: String, among known: [String]) -> String {
    var best = known[0]
    var least = Int.max
    for candidate in known {
      let steps = distance(Array(word.utf8), Array(candidate.utf8))
      if steps < least {
        least = steps
        best = candidate
      }
    }
    if least <= 2 && least < word.utf8.count { return "did you mean '\(best)'?" }
    var list = ""
    for (index, candidate) in known.enumerated() {
      if index > 0 { list += index == known.count - 1 ? " and " : ", " }
      list += candidate
    }
    return "known are \(list)"
  }

  /// Levenshtein's distance.
  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    // Words are short; a hostile one must not cost a square of its length.
    guard a.count <= 64 else { return Int.max }
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let next = min(row[j] + 1, row[j + 1] + 1, diagonal + (x == y ? 0 : 1))
        diagonal = row[j + 1]
        row[j + 1] = next
      }
    }
    return row[b.count]
  }
}
