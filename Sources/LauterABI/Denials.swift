// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterHost)
  import LauterHost
#endif

extension JSONText {
  /// A call that was not the worker's to make, as the header describes it. Addresses and arguments are text: JSON's
  /// numbers do not hold 64 bits everywhere.
  mutating func add(_ denial: Denial) {
    open("{")
    text("sentence", denial.sentence)
    if denial.name.isEmpty { null("name") } else { text("name", denial.name) }
    if !denial.isOthers {
      number("number", Int64(denial.call.number))
      text("architecture", denial.architecture)
      open("[", "arguments")
      for argument in denial.call.arguments { text("", "0x" + String(argument, radix: 16)) }
      close("]")
      number("thread", Int64(denial.call.thread))
      text("program_counter", "0x" + String(denial.call.programCounter, radix: 16))
    }
    number("count", Int64(clamping: denial.count))
    flag("observed", denial.wasObserved)
    close("}")
  }
}
