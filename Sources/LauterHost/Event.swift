// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterWire)
  package import LauterWire
#endif

/// Something that happened, on its way to the host's program.
package final class Event {
  package internal(set) var kind: Int
  package let worker: UInt64
  package let workerCookie: UInt64
  package internal(set) var call: UInt64 = 0
  package internal(set) var callCookie: UInt64 = 0
  package internal(set) var parent: UInt64 = 0
  package internal(set) var channel: UInt64 = 0
  package internal(set) var channelCookie: UInt64 = 0
  package internal(set) var status: Int32 = 0
  package internal(set) var stream = 0
  package internal(set) var dropped: UInt64 = 0
  /// Name and parts of OUTPUT, DONE and CALL.
  package internal(set) var message: Message?
  /// What it took of a channel's credit (CHANNEL_DATA).
  var channelCost: UInt64 {
    guard kind == LAUTER_EVENT_CHANNEL_DATA, let message else { return 0 }
    return UInt64(message.payloadSize) + Wire.dataCost
  }
  /// What a STREAM event brings.
  package internal(set) var bytes: [UInt8] = []
  /// What a worker's runtime calls itself (READY).
  package internal(set) var runtime = ""
  package internal(set) var error: HostError?
  package internal(set) var report: Report?
  package internal(set) var denial: Denial?
  package internal(set) var descriptor: ReceivedDescriptor?

  init(_ kind: Int, of worker: Worker) {
    self.kind = kind
    self.worker = worker.id
    self.workerCookie = worker.cookie
  }

  /// The same event as an object of its own, for one that is taken out of the queue from its middle.
  init(copying other: Event) {
    kind = other.kind
    worker = other.worker
    workerCookie = other.workerCookie
    call = other.call
    callCookie = other.callCookie
    parent = other.parent
    channel = other.channel
    channelCookie = other.channelCookie
    status = other.status
    stream = other.stream
    dropped = other.dropped
    message = other.message
    bytes = other.bytes
    runtime = other.runtime
    error = other.error
    report = other.report
    denial = other.denial
    descriptor = other.descriptor
  }
}

/// Events in the order in which they happened. Those that were withdrawn stay as void entries until there are too many.
struct EventQueue {
  private var events: [Event] = []
  private var head = 0
  private var voids = 0

  var isEmpty: Bool { head + voids == events.count }

  /// The newest event that nobody has taken yet.
  var last: Event? { head < events.count ? events.last : nil }

  mutating func push(_ event: Event) { events.append(event) }

  mutating func pop() -> Event? {
    while head < events.count {
      let event = events[head]
      head += 1
      if head > 64 && head * 2 > events.count {
        events.removeFirst(head)
        head = 0
      }
      if event.kind != LAUTER_EVENT_NONE { return event }
      voids -= 1
    }
    events.removeAll(keepingCapacity: events.capacity <= 1024)
    head = 0
    return nil
  }

  /// Makes `event`, which is in the queue, disappear from it.
  mutating func void(_ event: Event) {
    guard event.kind != LAUTER_EVENT_NONE else { return }
    event.kind = LAUTER_EVENT_NONE
    event.bytes = []
    event.message = nil
    event.descriptor = nil
    voids += 1
    if voids > 256 && voids * 2 > events.count - head {
      events = events[head...].filter { $0.kind != LAUTER_EVENT_NONE }
      head = 0
      voids = 0
    }
  }

  /// Those that `matches` names.
  func all(where matches: (Event) -> Bool) -> [Event] { events[head...].filter(matches) }

  /// Withdraws all events that `matches` names.
  mutating func void(where matches: (Event) -> Bool) {
    for event in events[head...] where matches(event) { void(event) }
  }
}
