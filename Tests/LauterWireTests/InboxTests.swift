// SPDX-License-Identifier: Apache-2.0

import LauterWire
import Testing

@Suite struct InboxTests {
  private let result: [UInt8] =
    frame(
      5, id: 7,
      head([], parts: [("text/plain", 2), ("image/png", 0), ("a/b", 3)]) + [1, 2, 9, 8, 7])

  @Test func `messages arrive whole however their bytes were cut`() throws {
    let bytes = hello() + frame(2) + result + result
    let whole = try receive(bytes)
    #expect(whole.count == 4)
    #expect(
      whole[2]
        == .message(.result, 7, "", [[1, 2], [], [9, 8, 7]], ["text/plain", "image/png", "a/b"]))
    for step in 1...bytes.count { #expect(try receive(bytes, step: step) == whole) }
  }

  @Test func `a message in many frames is put together, between those of another`() throws {
    let first = head(Array("display".utf8), parts: [("text/plain", 6)])
    let second = head(Array("clear".utf8), parts: [("text/plain", 2)])
    let bytes =
      hello() + frame(4, id: 1, flags: 1, first + [1]) + frame(4, id: 2, flags: 1, second + [])
      + frame(4, id: 1, flags: 1, [2, 3]) + frame(4, id: 2, [8, 9]) + frame(4, id: 1, [4, 5, 6])
    #expect(
      try receive(bytes).dropFirst()
        == [
          .message(.output, 2, "clear", [[8, 9]], ["text/plain"]),
          .message(.output, 1, "display", [[1, 2, 3, 4, 5, 6]], ["text/plain"]),
        ])
  }

  @Test func `reserved kinds are passed over, unknown ones refused`() throws {
    #expect(try receive(hello() + frame(200, [1, 2, 3]) + frame(2)) == [.hello("test"), .ready])
    for kind: UInt8 in [0, 7, 11, 15, 22, 31] {
      #expect(breach(hello() + frame(kind)) == .unknownKind(kind))
    }
    #expect(breach(hello() + frame(8)) == .unexpectedKind(.stop))
  }

  @Test func `the first frame must be a greeting of a common version`() {
    #expect(breach(hello()) == nil)
    #expect(breach(frame(2)) == .notAGreeting)
    #expect(breach(hello(magic: 0x1234)) == .notAGreeting)
    #expect(breach(hello(lowest: 2, highest: 3)) == .noCommonVersion(lowest: 2, highest: 3))
    #expect(breach(hello(lowest: 0, highest: 0)) == .noCommonVersion(lowest: 0, highest: 0))
    #expect(breach(hello(lowest: 0, highest: 9)) == nil)
    #expect(breach(frame(1, Array(hello().dropFirst(16).dropLast(1)))) == .notAGreeting)
    #expect(breach(hello() + hello()) == .greetedTwice)
  }

  @Test func `lengths are bounded before anything is kept`() {
    #expect(breach(hello() + frame(5, size: 65_537)) == .payloadTooLarge(65_537))
    #expect(breach(hello() + frame(5, size: .max)) == .payloadTooLarge(.max))
    #expect(breach(hello() + frame(5, flags: 4)) == .unknownFlags(4))
    #expect(breach(hello() + frame(5, flags: 2)) == .badPlaces)
    #expect(
      breach(hello() + frame(5, id: 1, head([], parts: [], count: 257))) == .tooManyParts(257))
    #expect(
      breach(hello() + frame(5, id: 1, head([], parts: [("t", (1 << 30) + 1)]))) == .messageTooLarge
    )
    // Sizes whose sum wraps around.
    #expect(
      breach(hello() + frame(5, id: 1, head([], parts: [("t", .max), ("t", 2)])))
        == .messageTooLarge)
    let long = [UInt8](repeating: 97, count: 256)
    #expect(breach(hello() + frame(4, id: 1, head(long, parts: []))) == .nameTooLong(256))
    #expect(
      breach(hello() + frame(4, id: 1, head([], parts: [(String(repeating: "a", count: 256), 0)])))
        == .nameTooLong(256))
    #expect(breach(hello() + frame(4, id: 1, head([97, 0, 98], parts: []))) == .nulInName)
    #expect(breach(hello() + frame(4, id: 1, head([], parts: [("a\0b", 0)]))) == .nulInName)
  }

  @Test func `every truncated head is refused`() {
    let whole = head(Array("display".utf8), parts: [("text/plain", 0), ("a/b", 0)])
    #expect(breach(hello() + frame(4, id: 1, whole)) == nil)
    for count in 0..<whole.count {
      #expect(breach(hello() + frame(4, id: 1, Array(whole[..<count]))) != nil, "\(count) bytes")
    }
  }

  @Test func `parts must add up to the end of the last frame`() {
    let one = head([], parts: [("t", 3)])
    #expect(breach(hello() + frame(5, id: 1, one + [1, 2, 3])) == nil)
    #expect(breach(hello() + frame(5, id: 1, one + [1, 2])) == .sizesDoNotAddUp)
    #expect(breach(hello() + frame(5, id: 1, one + [1, 2, 3, 4])) == .sizesDoNotAddUp)
    #expect(
      breach(hello() + frame(5, id: 1, flags: 1, one + [1]) + frame(5, id: 1, [2, 3, 4]))
        == .sizesDoNotAddUp)
  }

  @Test func `a worker may leave 64 messages unfinished, and promise 1 GiB in all`() {
    var bytes = hello()
    for id in 1...64 { bytes += frame(5, id: UInt64(id), flags: 1, head([], parts: [("t", 1)])) }
    #expect(breach(bytes) == nil)
    #expect(
      breach(bytes + frame(5, id: 65, flags: 1, head([], parts: [("t", 1)]))) == .tooManyUnfinished)
    let half = frame(5, id: 1, flags: 1, head([], parts: [("t", 1 << 29)]))
    let other = frame(5, id: 2, flags: 1, head([], parts: [("t", 1 << 29)]))
    #expect(breach(hello() + half + other) == nil)
    #expect(
      breach(hello() + half + other + frame(5, id: 3, flags: 1, head([], parts: [("t", 1)])))
        == .messageTooLarge)
  }
}
