// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterWire)
  import LauterWire
#endif

/// The credit of one channel, both ways. Pure: says what is to be told, and tells nothing.
struct ChannelCredit: Equatable {
  /// Bytes that the worker may have under way to us.
  private(set) var window: UInt64 = 0
  /// What it may still send.
  private(set) var theirs: UInt64 = 0
  /// What it has sent, begun or whole, and the program has not taken.
  private(set) var held: UInt64 = 0
  /// What its next message takes, if it said so and has not got it.
  private(set) var needed: UInt64 = 0
  /// By how much it was let beyond the window, for one message.
  private(set) var excess: UInt64 = 0
  /// What we may still send.
  private(set) var ours: UInt64 = 0

  /// The program lets the worker send so much ahead. Returns the credit to grant now.
  mutating func open(window: UInt64) -> UInt64 {
    self.window = window
    return topUp(atLeast: 1)
  }

  /// A message of the worker's has begun.
  mutating func begin(_ cost: UInt64, on channel: UInt64) throws(WireError) {
    guard cost <= theirs else {
      throw .creditOverrun(channel: channel, size: cost, credit: theirs)
    }
    theirs -= cost
    held += cost
    if cost >= needed { needed = 0 }
  }

  /// The program has taken a message. Returns the credit to grant now.
  mutating func took(_ cost: UInt64) -> UInt64 {
    held -= min(cost, held)
    // In larger steps: each is a frame. A worker that waits for it gets it at once.
    return topUp(atLeast: needed > 0 ? 1 : max(1, window / 4))
  }

  private mutating func topUp(atLeast least: UInt64) -> UInt64 {
    let used = theirs + held
    guard used < window, window - used >= least else { return 0 }
    let grant = window - used
    theirs += grant
    if theirs >= needed { needed = 0 }
    return grant
  }

  /// The worker's next message takes `cost`, which is more than it has.
  mutating func need(_ cost: UInt64, on channel: UInt64) throws(WireError) -> UInt64 {
    guard cost <= Wire.creditMax else { throw .tooMuchCredit(channel) }
    needed = cost > theirs ? cost : 0
    return topUp(atLeast: 1)
  }

  /// How far beyond the window the message goes that the worker waits to send, once all before it was taken; 0 if there
  /// is none such.
  var excessNeeded: UInt64 {
    guard needed > 0, held == 0, window > 0, needed > max(window, theirs) else { return 0 }
    return needed - max(window, theirs)
  }

  /// Lets that message through. Returns the credit to grant.
  mutating func allowExcess() -> UInt64 {
    let grant = needed - theirs
    excess += excessNeeded
    theirs = needed
    needed = 0
    return grant
  }

  /// Whether what was let beyond the window is all taken; its amount then, once.
  mutating func returnExcess() -> UInt64 {
    guard excess > 0, theirs + held <= window else { return 0 }
    defer { excess = 0 }
    return excess
  }

  /// The channel is over, and the program has yet to take `untaken`: until then what was let beyond the window counts.
  mutating func retire(untaken: UInt64) {
    let excess = untaken > 0 ? excess : 0
    self = ChannelCredit()
    self.excess = excess
    held = untaken
  }

  /// The worker grants us `amount`.
  mutating func granted(_ amount: UInt64, on channel: UInt64) throws(WireError) {
    guard amount <= Wire.creditMax, ours <= Wire.creditMax - amount else {
      throw .tooMuchCredit(channel)
    }
    ours += amount
  }

  /// Uses our credit for a message; false if there is too little.
  mutating func spend(_ cost: UInt64) -> Bool {
    guard cost <= ours else { return false }
    ours -= cost
    return true
  }
}
