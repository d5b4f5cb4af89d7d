// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LauterCLI

private func parse(_ text: String, asPython: Bool = false) throws -> JSON {
  try JSON(parsing: Array(text.utf8), asPython: asPython)
}

private func rewritten(_ text: String) throws -> String {
  String(decoding: try parse(text, asPython: true).written(), as: UTF8.self)
}

struct JSONTests {
  @Test(arguments: [
    "1", "1.0", "-0", "12345678901234567890123", "1E+400", "0.1000", "NaN", "-Infinity", "true",
    "null", "[]", "{}",
    #""a\"\\\n\t\u0000\u001fü€😀""#,
  ])
  func `a value is written as it was spelt`(text: String) throws {
    #expect(try rewritten(text) == text)
  }

  @Test func `members are sorted by code point and each level is one space deep`() throws {
    #expect(
      try rewritten(#"{"b": [1, {"z": null}], "a": {}, "ä": 1, "Z": ""}"#) == """
        {
         "Z": "",
         "a": {},
         "b": [
          1,
          {
           "z": null
          }
         ],
         "ä": 1
        }
        """)
  }

  @Test func `of members with one name the last counts, and canonical equivalents are two names`()
    throws
  {
    let value = try parse("{\"a\": 1, \"a\": 2, \"\\u00e9\": 3, \"e\\u0301\": 4}")
    #expect(value["a"] == 2)
    #expect(value["\u{e9}"] == 3)
    #expect(value["e\u{301}"] == 4)
    #expect(try rewritten(#"{"a": 1, "a": 2}"#) == "{\n \"a\": 2\n}")
  }

  @Test func `escapes are read, and half a surrogate pair becomes a replacement`() throws {
    #expect(try parse(#""\/\b\f\r\u00e4\ud83d\ude00""#) == "/\u{8}\u{c}\r\u{e4}\u{1f600}")
    #expect(try parse(#""\ud83dx""#) == "\u{fffd}x")
    #expect(try parse(#""\ud83d\u0041""#) == "\u{fffd}A")
    #expect(try parse(#""\ude00""#) == "\u{fffd}")
  }

  @Test func `as Python reads it, half a surrogate pair stays as it is spelt`() throws {
    for text in [#""\ud83d""#, #""a\/\uDE00\n""#, #"["\ud83d\u0041", "\ude00\ud83d\n"]"#] {
      let value = try parse(text, asPython: true)
      #expect(value.isTorn)
      #expect(try rewritten(text).filter { !$0.isWhitespace } == text.filter { $0 != " " })
      #expect(try parse(try rewritten(text), asPython: true) == value)
    }
    #expect(try parse(#""x\ud83d\n""#, asPython: true).text == "x\u{fffd}\n")
    #expect(try !parse(#""\ud83d\ude00""#, asPython: true).isTorn)
    // Two names that differ in it would become one.
    #expect(throws: JSONError.self) { try parse(#"{"\ud83d": 1}"#, asPython: true) }
    #expect(try parse(#"{"\ud83d": 1}"#)["\u{fffd}"] == 1)
  }

  @Test(arguments: [
    "", "[1,]", "{\"a\":1,}", "{a:1}", "[1 2]", "01", "1.", "-", "1e", "tru", "\"a", "\"\\x\"",
    "\"\\u12g4\"", "[1]]",
    "\"a\nb\"", "{\"a\" 1}", "NaN", "'a'", "+1", ".5",
  ])
  func `what is not JSON is refused`(text: String) throws {
    #expect(throws: JSONError.self) { try parse(text) }
  }

  @Test func `every truncation of a value is refused`() throws {
    let whole = #"{"a": [1.5, "x\u00e4", true], "b": {"c": null}}"#
    _ = try parse(whole)
    for length in 0..<whole.utf8.count {
      #expect(throws: JSONError.self) { try parse(String(whole.utf8.prefix(length))!) }
    }
  }

  @Test func `an error names line and column`() throws {
    #expect(throws: JSONError(offset: 7, line: 2, column: 5, message: "a colon should be here")) {
      try parse("{\n\"ä\" 1}")
    }
  }

  @Test func `depth is bounded`() throws {
    let levels = { String(repeating: "[", count: $0) + String(repeating: "]", count: $0) }
    _ = try parse(levels(JSON.deepest))
    #expect(throws: JSONError.self) { try parse(levels(100_000)) }
  }

  @Test func `a string that is not UTF-8 is refused`() throws {
    #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0xff, 0x22]) }
    #expect(try JSON(parsing: [0x22, 0xc3, 0xa4, 0x22]) == "ä")
  }
}
