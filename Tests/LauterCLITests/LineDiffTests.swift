// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LauterCLI

struct LineDiffTests {
  /// "-a", "+b", " c".
  private func told(_ old: String, _ new: String) -> [String] {
    LineDiff(from: old.map(String.init), to: new.map(String.init)).lines.map {
      "\($0.change.rawValue)\($0.text)"
    }
  }

  @Test func `a difference tells the fewest changes, in both orders`() {
    #expect(told("abc", "abc") == [" a", " b", " c"])
    #expect(told("", "a") == ["+a"])
    #expect(told("a", "") == ["-a"])
    #expect(told("abcd", "acxd") == [" a", "-b", " c", "+x", " d"])
    #expect(told("xaxbx", "xbx").filter { !$0.hasPrefix(" ") }.count == 2)
  }

  @Test func `applied, it gives the new lines; taken back, the old ones`() {
    var state: UInt64 = 1
    func random(_ below: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % below
    }
    for _ in 0..<300 {
      let old = (0..<random(12)).map { _ in String(random(4)) }
      let new = (0..<random(12)).map { _ in String(random(4)) }
      let lines = LineDiff(from: old, to: new).lines
      #expect(lines.filter { $0.change != .removed }.map(\.text) == new)
      #expect(lines.filter { $0.change != .added }.map(\.text) == old)
      for line in lines {
        #expect((line.change == .removed ? old : new)[line.index] == line.text)
      }
    }
  }

  @Test func `paths that look alike are different lines`() {
    #expect(!LineDiff(from: ["/\u{e9}"], to: ["/e\u{301}"]).isEmpty)
  }

  @Test func `what is left out between changes is marked`() {
    let old = (0..<20).map(String.init)
    var new = old
    new.remove(at: 15)
    new.insert("x", at: 2)
    let shown = LineDiff(from: old, to: new).hunks(context: 1).map { line in
      line.map { "\($0.change.rawValue)\($0.text)" } ?? "…"
    }
    #expect(shown == ["…", " 1", "+x", " 2", "…", " 14", "-15", " 16", "…"])
    #expect(LineDiff(from: old, to: old).hunks(context: 3).isEmpty)
  }

  @Test func `steps keep the numbers of their own plan`() throws {
    let old = Explanation(policy: "# preset notebook\n", steps: "in a\n1  one\n2  two\n3  three\n")
    let new = Explanation(policy: "# preset strict\n", steps: "in a\n1  one\n2  three\n")
    let text = try #require(new.difference(from: old, called: "other"))
    #expect(
      text == """
        --- other
        +++ this policy
        -# preset notebook
        +# preset strict

               in a
            1  one
        -   2  two
            2  three

        """)
    #expect(old.difference(from: old, called: "other") == nil)
  }
}
