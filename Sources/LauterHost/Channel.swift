// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterWire)
  import LauterWire
#endif

/// A channel between the host's program and a worker. Guarded by its host's lock.
final class Channel {
  /// The host's.
  let id: UInt64
  /// Over the wire.
  let wire: UInt64
  let worker: Worker
  var cookie: UInt64
  var credit = ChannelCredit()
  /// Messages that wait for credit, or for their turn, oldest first.
  var unsent: [UnsentData] = []
  var unsentBytes = 0
  /// The first of them was announced to be larger than the credit.
  var hasToldNeed = false
  /// The program sends no more; the worker knows once all is sent.
  var isEnding = false
  var hasEnded = false
  /// The worker sends no more.
  var isEndedByWorker = false
  /// A send was refused for want of room.
  var wantsWritable = false
  /// It waits until the session has room.
  var awaitsRoom = false
  /// What nobody has taken of it, oldest first. They are in the host's queue too.
  var events: [Event] = []
  var eventsHead = 0
  /// Its last event was made: nothing more can be done with it.
  var isOver = false

  init(id: UInt64, wire: UInt64, worker: Worker, cookie: UInt64) {
    self.id = id
    self.wire = wire
    self.worker = worker
    self.cookie = cookie
  }

  /// Its messages keep their order in an outbox.
  var order: UInt64 { wire + Outbox.mainCalls + 1 }

  var nextEvent: Event? { eventsHead < events.count ? events[eventsHead] : nil }

  /// An event of it was taken; mostly the first.
  func remove(_ event: Event) {
    guard let index = events[eventsHead...].firstIndex(where: { $0 === event }) else { return }
    guard index == eventsHead else {
      events.remove(at: index)
      return
    }
    eventsHead += 1
    if eventsHead > 32 && eventsHead * 2 > events.count {
      events.removeFirst(eventsHead)
      eventsHead = 0
    }
  }
}

/// A message that could not go at once: an owned copy.
struct UnsentData {
  let head: [UInt8]
  let body: [UInt8]
  let hasOnePart: Bool

  init(_ outgoing: Outgoing) {
    head = Message.head(name: outgoing.name, parent: 0, parts: outgoing.parts) {
      outgoing.typeSizes[$0]
    }
    var body: [UInt8] = []
    body.reserveCapacity(outgoing.bodySize)
    for part in outgoing.parts where part.size > 0 {
      body.append(contentsOf: UnsafeRawBufferPointer(start: part.data, count: part.size))
    }
    self.body = body
    hasOnePart = outgoing.parts.count == 1
  }

  var size: Int { head.count + body.count }
  var cost: UInt64 { UInt64(size) + Wire.dataCost }

  /// The same as it goes out.
  func message(_ channel: Channel) -> OutgoingMessage {
    let worker = channel.worker
    return body.withUnsafeBufferPointer { bytes in
      let part = MessagePart(
        type: nil, data: UnsafeRawPointer(bytes.baseAddress), size: bytes.count)
      return withUnsafePointer(to: part) { part in
        OutgoingMessage(
          kind: .data, id: channel.wire, order: channel.order, head: head,
          parts: UnsafeBufferPointer(start: part, count: body.isEmpty ? 0 : 1), arena: worker.arena,
          inPlace: hasOnePart && worker.abilities.contains(.readsInPlace))
      }
    }
  }
}
