// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// A size on the command line, as a policy's words have it: "512K", "1M", "2G".
struct Size: ExpressibleByArgument {
  var bytes: Int

  init?(argument: String) {
    let shifts: [Character: Int] = ["K": 10, "M": 20, "G": 30]
    guard let last = argument.last else { return nil }
    let shift = shifts[last] ?? 0
    guard let number = Int(digits: shift == 0 ? argument[...] : argument.dropLast()),
      number <= Int.max >> shift
    else { return nil }
    bytes = number << shift
  }
}

/// A time on the command line, as a policy's words have it: "500ms", "5s", "10m", "1h".
struct Period: ExpressibleByArgument {
  var milliseconds: Int64

  init?(argument: String) {
    let units: [(String, Int64)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
    guard let (suffix, factor) = units.first(where: { argument.hasSuffix($0.0) }),
      let number = Int(digits: argument.dropLast(suffix.count)), number > 0,
      case (let product, false) = Int64(number).multipliedReportingOverflow(by: factor)
    else { return nil }
    milliseconds = product
  }
}

extension Int {
  /// A number of digits alone: `Int("+1")` takes a sign as well.
  fileprivate init?(digits: Substring) {
    guard !digits.isEmpty, digits.allSatisfy({ ("0"..."9").contains($0) }) else { return nil }
    self.init(digits)
  }
}
