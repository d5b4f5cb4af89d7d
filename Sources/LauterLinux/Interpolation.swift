// SPDX-License-Identifier: Apache-2.0
// The standard library's way to put a text together is inlined, with its case for short strings, at each of the many
// hundred places where a message is made: it was a tenth of what ships. These stand before it, as what a module
// declares stands before what it imports, and are calls. Only in what ships: elsewhere the core is many modules.

#if hasFeature(Embedded)
  extension DefaultStringInterpolation {
    @inline(never)
    mutating func appendLiteral(_ literal: String) {
      write(literal)
    }

    @inline(never)
    mutating func appendInterpolation(_ text: String) {
      write(text)
    }

    @inline(never)
    mutating func appendInterpolation(_ number: Int) {
      write(number.description)
    }

    @inline(never)
    mutating func appendInterpolation(_ number: Int32) {
      write(Int(number).description)
    }

    @inline(never)
    mutating func appendInterpolation(_ number: UInt32) {
      write(Int(number).description)
    }

    @inline(never)
    mutating func appendInterpolation(_ number: UInt64) {
      write(number.description)
    }
  }

  extension String {
    @inline(never)
    static func += (text: inout String, more: String) {
      text.write(more)
    }
  }
#endif
