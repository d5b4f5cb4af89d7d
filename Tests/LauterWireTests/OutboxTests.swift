// SPDX-License-Identifier: Apache-2.0

import LauterWire
import Testing

/// A socket that takes `room` bytes at each write.
private func drain(_ outbox: inout Outbox, room: Int) -> [UInt8] {
  var out: [UInt8] = []
  while !outbox.isEmpty {
    var left = room
    outbox.flush { bytes in
      let taken = min(left, bytes.count)
      left -= taken
      out += bytes.prefix(taken)
      return taken
    }
  }
  return out
}

private func message(_ kind: FrameKind, id: UInt64, _ body: [UInt8]) -> OutgoingMessage {
  OutgoingMessage(
    kind: kind, id: id, order: kind == .call ? 1 : 0,
    head: head([], parts: [("application/octet-stream", UInt64(body.count))]) + body)
}

@Suite struct OutboxTests {
  @Test func `what goes out arrives, however little the socket takes`() throws {
    let body = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    for room in [1000, 4096, 65_536, 1 << 20] {
      var outbox = Outbox()
      outbox.append(message(.result, id: 1, body))
      outbox.append(message(.result, id: 2, [5]))
      let got = try receive(hello() + drain(&outbox, room: room))
      #expect(got.count == 3)
      // The small one does not wait behind the large one.
      #expect(got[1] == .message(.result, 2, "", [[5]], ["application/octet-stream"]))
      #expect(got[2] == .message(.result, 1, "", [body], ["application/octet-stream"]))
      #expect(outbox.isEmpty)
      #expect(outbox.size == 0)
    }
  }

  @Test func `calls keep their order`() throws {
    var outbox = Outbox()
    outbox.append(message(.call, id: 1, [UInt8](repeating: 1, count: 300_000)))
    outbox.append(message(.call, id: 2, [2]))
    outbox.append(message(.result, id: 9, [3]))
    outbox.append(message(.call, id: 3, [4]))
    let ids = try receive(hello() + drain(&outbox, room: 10_000)).dropFirst().map {
      if case .message(_, let id, _, _, _) = $0 { id } else { UInt64(0) }
    }
    #expect(ids == [9, 1, 2, 3])
  }

  @Test func `the tail of a frame that was cut goes first`() throws {
    var outbox = Outbox()
    let cut = frame(2)
    cut.dropFirst(5).withUnsafeBytes { outbox.appendTail($0) }
    outbox.append(OutgoingMessage(kind: .ready))
    #expect(
      try receive(hello() + cut.prefix(5) + drain(&outbox, room: 3)) == [
        .hello("test"), .ready, .ready,
      ])
  }

  @Test func `a greeting can be read back`() throws {
    var greeting = Greeting()
    greeting.name = "python 3.11.2"
    greeting.abilities = [.interruptBySignal]
    #expect(try receive(greeting.frame()) == [.hello("python 3.11.2")])
  }
}
