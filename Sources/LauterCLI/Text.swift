// SPDX-License-Identifier: Apache-2.0

extension String {
  /// The text's lines with their ends, cut where Python's `str.splitlines(True)` cuts: nbformat keeps text so.
  var linesWithEnds: [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var scalars = unicodeScalars.makeIterator()
    var next = scalars.next()
    while let scalar = next {
      next = scalars.next()
      line.append(scalar)
      switch scalar.value {
      case 0x0D where next == "\n": continue
      case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
        lines.append(String(line))
        line = String.UnicodeScalarView()
      default: continue
      }
    }
    if !line.isEmpty { lines.append(String(line)) }
    return lines
  }

  /// What a terminal may be shown of text that came from elsewhere: on one line, without control characters (escape
  /// sequences move the cursor, set titles, lie about what was printed) and without those that turn the direction.
  var harmless: String {
    var result = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      switch scalar.value {
      case 0x09, 0x0A, 0x0D: result.append(" ")
      case 0..<0x20, 0x7F..<0xA0, 0x202A...0x202E, 0x2066...0x2069, 0x2028, 0x2029:
        result.append("\u{b7}")
      default: result.append(scalar)
      }
    }
    return String(result)
  }

  /// Columns that a terminal needs for it.
  var columns: Int { reduce(0) { $0 + $1.columns } }

  /// The text cut to `width` columns, with "…" where something is missing.
  func cut(to width: Int) -> String {
    if columns <= width { return self }
    var (result, used) = ("", 0)
    for character in self {
      used += character.columns
      if used > width - 1 { break }
      result.append(character)
    }
    return width > 0 ? result + "…" : ""
  }

  func leftPadded(to width: Int) -> String {
    String(repeating: " ", count: max(0, width - count)) + self
  }

  /// Without the white space around it.
  var trimmed: String {
    var rest = drop(while: \.isWhitespace)
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return String(rest)
  }
}

extension Character {
  /// 2 for what East Asian scripts and emoji draw wide, else 1. Near enough to keep a line from wrapping.
  fileprivate var columns: Int {
    guard let scalar = unicodeScalars.first else { return 0 }
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
      return 2
    default: return 1
    }
  }
}

/// "99.0 MB", in powers of ten as disks and nbformat's readers count.
func sizeText(_ bytes: UInt64) -> String {
  if bytes < 1000 { return "\(bytes) bytes" }
  var (value, unit) = (Double(bytes) / 1000, 0)
  let units = ["kB", "MB", "GB", "TB", "PB", "EB"]
  while value >= 999.95, unit < units.count - 1 {
    value /= 1000
    unit += 1
  }
  return "\(decimal(value, places: 1)) \(units[unit])"
}

/// "1 cell", "2 cells".
func countText(_ count: Int, _ noun: String) -> String {
  "\(count) \(noun)\(count == 1 ? "" : "s")"
}

/// "0.42 s", "12.3 s", "2 m 05 s".
func timeText(seconds: Double) -> String {
  if seconds < 9.995 { return "\(decimal(seconds, places: 2)) s" }
  if seconds < 59.95 { return "\(decimal(seconds, places: 1)) s" }
  let whole = Int(seconds.rounded())
  return "\(whole / 60) m \(String(whole % 60 + 100).dropFirst()) s"
}

/// A number that is not negative, with so many digits behind the point.
private func decimal(_ value: Double, places: Int) -> String {
  let scale = places == 1 ? 10 : 100
  let scaled = Int((value * Double(scale)).rounded())
  return "\(scaled / scale).\(String(scaled % scale + scale).dropFirst())"
}
