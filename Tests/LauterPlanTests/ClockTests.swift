// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LauterPlan

private let ms: UInt64 = 1_000_000

@Suite struct CPULimitTests {
  /// Runs a worker that uses `rate(now)` processors, to its end or `until`; what it had used then, and the looks.
  private func run(
    limit: UInt64, processors: Int, until: UInt64, rate: (UInt64) -> Double
  ) -> (used: UInt64, looks: [UInt64], ended: Bool) {
    var limit = CPULimit(milliseconds: limit, processors: processors, now: 0)
    var used: Double = 0
    var looks: [UInt64] = []
    var now: UInt64 = 0
    while now < until {
      let next = min(limit.due, until)
      #expect(next > now)
      while now < next {
        let step = min(ms, next - now)
        used += rate(now) * Double(step)
        now += step
      }
      looks.append(now)
      if limit.isReached(UInt64(used)) { return (UInt64(used), looks, true) }
      limit.note(UInt64(used), now: now)
    }
    return (UInt64(used), looks, false)
  }

  @Test(arguments: [1, 2, 64])
  func `who uses all processors passes the limit by one look's time`(processors: Int) {
    let all = UInt64(processors)
    for limit: UInt64 in [1, 100, 10_000] {
      let (used, looks, ended) = run(limit: limit, processors: processors, until: 1 << 40) { _ in
        Double(processors)
      }
      #expect(ended && used >= limit * ms)
      #expect(used <= limit * ms + 20 * ms * all)
      #expect(looks.count <= 2)
    }
  }

  @Test func `who uses one processor of many is looked at as the rest halves`() {
    let (used, looks, ended) = run(limit: 60_000, processors: 8, until: 1 << 40) { _ in 1 }
    #expect(ended && used < 60_160 * ms)
    #expect(looks.count < 200)
  }

  @Test func `who does nothing is looked at once a limit`() {
    let (_, looks, _) = run(limit: 10_000, processors: 2, until: 3_600_000 * ms) { _ in 0 }
    #expect(looks.count <= 721)
  }

  @Test func `who idles close to the limit is looked at ever more rarely`() {
    // 9.99 s of 10 within the first 10 s, then nothing for a minute.
    let (_, looks, _) = run(limit: 10_000, processors: 2, until: 70_000 * ms) {
      $0 < 9990 * ms ? 1 : 0
    }
    let idle = looks.filter { $0 > 15_000 * ms }
    #expect(idle.count <= 111 && idle.count >= 55)
  }

  @Test func `who wakes after that passes the limit by a tenth at most`() {
    for wake: UInt64 in stride(from: 60_000, to: 61_000, by: 37) {
      let (used, _, ended) = run(limit: 10_000, processors: 2, until: 1 << 40) {
        $0 < 9900 * ms ? 1 : $0 < wake * ms ? 0 : 2
      }
      #expect(ended && used <= 11_000 * ms)
    }
  }

  @Test func `the longest limit overflows nothing`() {
    var limit = CPULimit(milliseconds: .max, processors: 1, now: 1 << 60)
    #expect(limit.due > 1 << 60)
    limit.note(5, now: (1 << 60) + 1)
    #expect(!limit.isReached(1 << 60))
  }
}

@Suite struct PauseTests {
  @Test func `who is still is looked at ever more rarely`() {
    var pause = Pause(now: 0)
    var looks = 0
    while pause.due < 600_000 * ms {
      #expect(pause.look(7 * ms, anyAwake: false, now: pause.due) == .quiet)
      looks += 1
    }
    #expect(looks < 70)
  }

  @Test func `who runs is found, and is hopeless the fifth time`() {
    var pause = Pause(now: 0)
    var used: UInt64 = 0
    var findings: [Pause.Finding] = []
    while findings.last != .hopeless && findings.count < 20 {
      let before = pause.due
      findings.append(pause.look(used, anyAwake: false, now: pause.due))
      used += pause.due - before
    }
    #expect(findings == [.quiet, .runsOn, .runsOn, .runsOn, .runsOn, .hopeless])
    #expect(pause.due < 10_000 * ms)
  }

  @Test func `what the kernel does on the way to a stop is none's going on`() {
    var pause = Pause(now: 0)
    _ = pause.look(0, anyAwake: false, now: pause.due)
    #expect(pause.look(9 * ms, anyAwake: false, now: pause.due) == .quiet)
    #expect(pause.look(9 * ms, anyAwake: false, now: pause.due) == .quiet)
  }

  @Test func `who takes a little over and over is found`() {
    var pause = Pause(now: 0)
    _ = pause.look(0, anyAwake: false, now: pause.due)
    #expect(pause.look(9 * ms, anyAwake: false, now: pause.due) == .quiet)
    #expect(pause.look(18 * ms, anyAwake: false, now: pause.due) == .runsOn)
    #expect(pause.look(27 * ms, anyAwake: false, now: pause.due) == .quiet)
  }

  @Test func `who is awake is found though it takes nothing, but not at the first look`() {
    var pause = Pause(now: 0)
    #expect(pause.look(0, anyAwake: true, now: pause.due) == .quiet)
    #expect(pause.look(0, anyAwake: true, now: pause.due) == .runsOn)
    #expect(pause.look(0, anyAwake: false, now: pause.due) == .quiet)
  }

  @Test func `signals are held, each for whom it is`() {
    var pause = Pause(now: 0)
    pause.hold(1, group: false)
    pause.hold(64, group: true)
    pause.hold(0, group: true)
    pause.hold(65, group: false)
    pause.hold(-1, group: false)
    #expect(pause.heldForProcess == 1)
    #expect(pause.heldForGroup == 1 << 63)
  }
}

@Suite struct MemoryLimitTests {
  private let gibibyte: UInt64 = 1 << 30

  /// Runs a worker that takes `rate(now)` bytes a nanosecond, to its end or `until`; what it had then, and the looks.
  private func run(
    limit bytes: UInt64, processors: Int, until: UInt64, rate: (UInt64) -> Double
  ) -> (used: Double, looks: Int, ended: Bool) {
    var limit = MemoryLimit(bytes: bytes, processors: processors, now: 0)
    var used: Double = 0
    var looks = 0
    var now: UInt64 = 0
    while now < until {
      let next = min(limit.due, until)
      #expect(next > now)
      let before = used
      while now < next {
        let step = min(ms, next - now)
        used += rate(now) * Double(step)
        now += step
      }
      looks += 1
      if used > Double(bytes) { return (used, looks, true) }
      if used == before {
        limit.noteIdle(now: now)
      } else {
        limit.note(UInt64(used), took: 0, now: now)
      }
    }
    return (used, looks, false)
  }

  @Test(arguments: [1, 2, 64])
  func `who takes memory as fast as the kernel gives it is seen within one look's time`(_ n: Int) {
    for bytes in [gibibyte / 16, 4 * gibibyte] {
      let (used, looks, ended) = run(limit: bytes, processors: n, until: 60_000 * ms) { _ in
        4 * Double(n)
      }
      #expect(ended && looks < 40)
      #expect(used <= Double(bytes) + 4 * Double(n) * Double(10 * ms))
    }
  }

  @Test func `who sleeps is looked at once a second, and seen in time when he wakes`() {
    let (_, idle, _) = run(limit: gibibyte, processors: 2, until: 100_000 * ms) { _ in 0 }
    #expect(idle <= 105)
    let (used, _, ended) = run(limit: gibibyte, processors: 2, until: 100_000 * ms) {
      $0 < 50_000 * ms ? 0 : 1
    }
    #expect(ended && used <= Double(gibibyte) + Double(1000 * ms))
  }

  @Test func `dear looks are made seldom, whatever is left`() {
    var limit = MemoryLimit(bytes: gibibyte, processors: 64, now: 0)
    limit.note(gibibyte, took: 5 * ms, now: 100)
    #expect(limit.due == 100 + 100 * ms)
    limit.note(gibibyte, took: 60_000 * ms, now: 100)
    #expect(limit.due == 100 + 1000 * ms)
    limit.note(gibibyte, took: 0, now: 100)
    #expect(limit.due == 100 + 10 * ms)
  }
}
