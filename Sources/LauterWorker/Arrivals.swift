// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterWire)
  package import LauterWire
#endif

/// Something that the host wants, as the header numbers it.
package struct WorkerArrival {
  package let kind: Int
  package var id: UInt64 = 0
  package var message: Message?
  /// Whose credit the message takes up.
  var channel: WorkerChannel?

  init(_ kind: Int, _ id: UInt64 = 0, _ message: Message? = nil, _ channel: WorkerChannel? = nil) {
    self.kind = kind
    self.id = id
    self.message = message
    self.channel = channel
  }

  static var stop: WorkerArrival { WorkerArrival(LAUTER_REQUEST_STOP) }

  /// LAUTER_TAKE_* of who is to take it.
  var takers: UInt32 {
    switch kind {
    case LAUTER_REQUEST_CALL:
      UInt32(message?.lane == 1 ? LAUTER_TAKE_SIDE : LAUTER_TAKE_MAIN)
    case LAUTER_REQUEST_INTERRUPT: UInt32(LAUTER_TAKE_INTERRUPTS)
    case LAUTER_REQUEST_RESULT, LAUTER_REQUEST_FAILURE: UInt32(LAUTER_TAKE_ANSWERS)
    default: UInt32(LAUTER_TAKE_CHANNELS)
    }
  }
}

/// What somebody waits for.
package enum Wanted {
  /// What LAUTER_TAKE_* names, or the word to stop.
  case any(UInt32)
  /// The answer to a call of ours.
  case answer(UInt64)
  /// What comes on one channel.
  case channel(UInt64)

  fileprivate func fits(_ arrival: WorkerArrival) -> Bool {
    switch self {
    case .any(let take): arrival.takers & take != 0
    case .answer(let id): arrival.id == id && arrival.takers == UInt32(LAUTER_TAKE_ANSWERS)
    case .channel(let id): arrival.id == id && arrival.takers == UInt32(LAUTER_TAKE_CHANNELS)
    }
  }
}

/// What has arrived and nobody has taken, in order.
struct Arrivals {
  private var all: [WorkerArrival?] = []
  private var head = 0
  private(set) var count = 0

  mutating func append(_ arrival: WorkerArrival) {
    all.append(arrival)
    count += 1
  }

  /// The first that is wanted.
  mutating func take(_ wanted: Wanted) -> WorkerArrival? {
    for index in head..<all.count {
      guard let arrival = all[index], wanted.fits(arrival) else { continue }
      all[index] = nil
      count -= 1
      shorten()
      return arrival
    }
    return nil
  }

  private mutating func shorten() {
    while head < all.count, all[head] == nil { head += 1 }
    if head == all.count || (head > 64 && head * 2 > all.count) {
      all.removeFirst(head)
      head = 0
    }
  }
}

/// A request in the hands of the program: its credit, and its places in the arena, come back when it goes.
package final class TakenRequest {
  package private(set) var arrival: WorkerArrival
  private let session: WorkerSession

  init(_ arrival: WorkerArrival, _ session: WorkerSession) {
    self.arrival = arrival
    self.session = session
  }

  deinit {
    let channel = arrival.channel
    let size = arrival.message?.payloadSize ?? 0
    arrival.message = nil
    session.settle(channel, size)
  }
}
