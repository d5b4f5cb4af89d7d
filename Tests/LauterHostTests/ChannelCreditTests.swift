// SPDX-License-Identifier: Apache-2.0

import LauterWire
import Testing

@testable import LauterHost

@Suite struct ChannelCreditTests {
  @Test func `what is taken is granted again, in large steps`() throws {
    var credit = ChannelCredit()
    #expect(credit.open(window: 1000) == 1000)
    for _ in 0..<10 { try credit.begin(100, on: 1) }
    #expect(credit.theirs == 0)
    #expect(credit.took(100) == 0)
    #expect(credit.took(100) == 0)
    #expect(credit.took(100) == 300)
    #expect(credit.theirs == 300)
    #expect(throws: WireError.creditOverrun(channel: 1, size: 301, credit: 300)) {
      try credit.begin(301, on: 1)
    }
  }

  @Test func `who waits for credit gets it at once`() throws {
    var credit = ChannelCredit()
    _ = credit.open(window: 1000)
    try credit.begin(950, on: 1)
    let now = try credit.need(100, on: 1)
    #expect(now == 0)
    #expect(credit.took(950) == 950)
    #expect(credit.needed == 0)
  }

  @Test
  func `a message beyond the window waits until all before it is taken, and its excess comes back`()
    throws
  {
    var credit = ChannelCredit()
    _ = credit.open(window: 1000)
    try credit.begin(100, on: 1)
    let now = try credit.need(5000, on: 1)
    #expect(now == 0)
    #expect(credit.excessNeeded == 0)
    #expect(credit.took(100) == 100)
    #expect(credit.excessNeeded == 4000)
    #expect(credit.allowExcess() == 4000)
    #expect(credit.theirs == 5000)
    #expect(credit.excess == 4000)
    try credit.begin(5000, on: 1)
    #expect(credit.returnExcess() == 0)
    #expect(credit.took(5000) == 1000)
    #expect(credit.returnExcess() == 4000)
    #expect(credit.returnExcess() == 0)
  }

  @Test func `two messages beyond the window give back what both were let`() throws {
    var credit = ChannelCredit()
    _ = credit.open(window: 1000)
    _ = try credit.need(5000, on: 1)
    let first = credit.excessNeeded
    _ = credit.allowExcess()
    // It changed its mind, and sends a larger one.
    _ = try credit.need(7000, on: 1)
    let second = credit.excessNeeded
    #expect((first, second) == (4000, 2000))
    #expect(credit.allowExcess() == 2000)
    try credit.begin(7000, on: 1)
    #expect(credit.took(7000) == 1000)
    #expect(credit.returnExcess() == 6000)
  }

  @Test
  func `what was let beyond the window counts until it is taken, also when the channel is over`()
    throws
  {
    var credit = ChannelCredit()
    _ = credit.open(window: 1000)
    _ = try credit.need(5000, on: 1)
    _ = credit.allowExcess()
    var unused = credit
    unused.retire(untaken: 0)
    #expect(unused == ChannelCredit())
    try credit.begin(5000, on: 1)
    credit.retire(untaken: 5000)
    #expect(credit.returnExcess() == 0)
    #expect(credit.took(3000) == 0)
    #expect(credit.returnExcess() == 0)
    #expect(credit.took(2000) == 0)
    #expect(credit.returnExcess() == 4000)
    #expect(credit == ChannelCredit())
  }

  @Test func `before it is accepted nothing is granted, whatever is needed`() throws {
    var credit = ChannelCredit()
    let now = try credit.need(10, on: 1)
    #expect(now == 0)
    #expect(credit.excessNeeded == 0)
    #expect(credit.open(window: 5) == 5)
    #expect(credit.excessNeeded == 5)
    #expect(throws: WireError.tooMuchCredit(1)) { _ = try credit.need(Wire.creditMax + 1, on: 1) }
  }

  @Test func `credit for us adds up to a bound, without overflow`() throws {
    var credit = ChannelCredit()
    try credit.granted(10, on: 4)
    var spent = credit.spend(11)
    #expect(!spent)
    spent = credit.spend(10)
    #expect(spent)
    try credit.granted(Wire.creditMax, on: 4)
    #expect(throws: WireError.tooMuchCredit(4)) { try credit.granted(1, on: 4) }
    #expect(throws: WireError.tooMuchCredit(4)) { try credit.granted(.max, on: 4) }
  }
}
