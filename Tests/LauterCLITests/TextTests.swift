// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LauterCLI

struct TextTests {
  @Test func `lines are cut where Python cuts them`() {
    #expect("".linesWithEnds == [])
    #expect("a\nb\r\nc\rd".linesWithEnds == ["a\n", "b\r\n", "c\r", "d"])
    #expect("\n\n".linesWithEnds == ["\n", "\n"])
    #expect("a\u{b}b\u{c}c\u{1c}d\u{85}e\u{2028}f".linesWithEnds.count == 6)
  }

  @Test func `text for a terminal has no control characters`() {
    #expect("a\u{1b}[2Jb\nc\u{9b}d\u{202e}".harmless == "a·[2Jb c·d·")
  }

  @Test func `cutting counts columns`() {
    #expect("abcdef".cut(to: 6) == "abcdef")
    #expect("abcdefg".cut(to: 6) == "abcde…")
    #expect("日本語".cut(to: 5) == "日本…")
    #expect("日本語".cut(to: 0) == "")
  }

  @Test func `sizes and times are short`() {
    #expect(sizeText(999) == "999 bytes")
    #expect(sizeText(98_951_424) == "99.0 MB")
    #expect(sizeText(999_999) == "1.0 MB")
    #expect(timeText(seconds: 0.424) == "0.42 s")
    #expect(timeText(seconds: 0.999) == "1.00 s")
    #expect(timeText(seconds: 12.34) == "12.3 s")
    #expect(timeText(seconds: 125) == "2 m 05 s")
  }

  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
    ("fooba", "Zm9vYmE="),
    ("foobar", "Zm9vYmFy"),
  ])
  func `base64 is that of the RFC's examples`(text: String, encoded: String) {
    #expect(base64(Array(text.utf8)) == encoded)
  }

  @Test func `base64 knows every byte`() {
    #expect(base64([0xfb, 0xff, 0xbf, 0x00]) == "+/+/AA==")
  }

  @Test func `sizes and periods are read as a policy reads them`() {
    #expect(Size(argument: "1M")?.bytes == 1_048_576)
    #expect(Size(argument: "12")?.bytes == 12)
    for wrong in ["", "M", "-1", "+1", "1.5M", "1T", "9999999999999G"] {
      #expect(Size(argument: wrong) == nil)
    }
    #expect(Period(argument: "500ms")?.milliseconds == 500)
    #expect(Period(argument: "5s")?.milliseconds == 5000)
    #expect(Period(argument: "2m")?.milliseconds == 120_000)
    for wrong in [
      "", "5", "s", "0s", "-1s", "1.5s", "9999999999999999999h", "9223372036854775807h",
    ] {
      #expect(Period(argument: wrong) == nil)
    }
  }
}
