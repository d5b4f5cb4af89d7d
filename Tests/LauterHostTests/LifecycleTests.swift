// SPDX-License-Identifier: Apache-2.0

import CLauter
import LauterPlan
import LauterWire
import Testing

@testable import LauterHost

private let second: UInt64 = 1_000_000_000

@Suite struct LifecycleTests {
  private func worker(session: Bool = true) -> Lifecycle {
    Lifecycle(hasSession: session, now: 0, readyMilliseconds: 30_000)
  }

  private func ready() -> Lifecycle {
    var life = worker()
    _ = life.notice(.started)
    _ = life.ready()
    return life
  }

  private func exit(code: Int32 = -1, signal: Int32 = 0, wall: Bool = false) -> Control.Notice {
    var exit = Control.Exit()
    exit.code = code
    exit.signal = signal
    exit.wallLimit = wall
    return .exited(exit)
  }

  private func reason(_ life: Lifecycle) -> (reason: Int, why: String) {
    life.reason(
      limits: LimitsTold(wall: 1500, cpu: 10_000, output: 1 << 20, file: 1500),
      launchFailure: "step 3")
  }

  @Test func `a program is ready as soon as it runs`() {
    var life = worker(session: false)
    #expect(life.phase == .launching)
    #expect(life.notice(.started) == [.tellStarted, .tellReady])
    #expect(life.phase == .ready)
    #expect(life.deadline == nil)
  }

  @Test func `a runtime is ready when it says so, and once`() {
    var life = worker()
    #expect(life.notice(.started) == [.tellStarted])
    #expect(life.phase == .running)
    #expect(life.ready() == [.tellReady])
    #expect(life.ready() == [])
    #expect(life.notice(.started) == [])
  }

  @Test func `a runtime that is quicker than init's word is not told twice`() {
    var life = worker()
    #expect(life.ready() == [.tellStarted, .tellReady])
    #expect(life.notice(.started) == [])
  }

  @Test func `who is not ready in time is killed, with that reason`() {
    var life = worker()
    _ = life.notice(.started)
    #expect(life.deadline == 30 * second)
    #expect(life.timer(now: 30 * second - 1) == [])
    #expect(life.timer(now: 30 * second) == [.kill])
    life.gone()
    #expect(reason(life).reason == LAUTER_REASON_DEADLINE)
    #expect(reason(life).why == "it was not ready within 30 s")
  }

  @Test func `stopping climbs the ladder and says which rung held`() {
    var life = ready()
    #expect(life.stop(now: 0, askNanoseconds: second, termNanoseconds: second) == [.ask])
    var asked = life
    _ = asked.notice(exit(code: 0))
    asked.gone()
    #expect(asked.rung == LAUTER_RUNG_ASKED)
    #expect(reason(asked).reason == LAUTER_REASON_STOPPED)
    #expect(life.timer(now: second) == [.terminate])
    #expect(life.rung == LAUTER_RUNG_TERM)
    #expect(life.timer(now: 2 * second) == [.kill])
    #expect(life.rung == LAUTER_RUNG_KILL)
    // An init that does not do it is killed itself.
    #expect(life.deadline == 2 * second + Lifecycle.killGrace)
    #expect(life.timer(now: 2 * second + Lifecycle.killGrace) == [.destroy])
    #expect(life.deadline == nil)
  }

  @Test func `who is stopping is not late any more`() {
    var life = worker()
    _ = life.notice(.started)
    #expect(life.stop(now: 0, askNanoseconds: second, termNanoseconds: 60 * second) == [.terminate])
    #expect(life.timer(now: 31 * second) == [])
  }

  @Test func `what does not run yet is ended by its init's end`() {
    var life = worker()
    #expect(life.end(.killed, now: 0) == [.destroy])
  }

  @Test func `a crash on the way out is a crash`() {
    var life = ready()
    _ = life.stop(now: 0, askNanoseconds: second, termNanoseconds: second)
    _ = life.notice(exit(signal: 11))
    life.gone()
    #expect(reason(life).reason == LAUTER_REASON_SIGNALED)
  }

  @Test func `of two stops the earlier rungs hold`() {
    var life = ready()
    #expect(life.stop(now: 0, askNanoseconds: 10 * second, termNanoseconds: 10 * second) == [.ask])
    #expect(life.stop(now: second, askNanoseconds: 0, termNanoseconds: second) == [.terminate])
    #expect(life.deadline == 2 * second)
    #expect(life.stop(now: second, askNanoseconds: 60 * second, termNanoseconds: second) == [])
    #expect(life.deadline == 2 * second)
  }

  @Test func `a program cannot be asked, it gets SIGTERM at once`() {
    var life = worker(session: false)
    _ = life.notice(.started)
    #expect(life.stop(now: 0, askNanoseconds: second, termNanoseconds: second) == [.terminate])
  }

  @Test func `reasons`() {
    func ended(_ notices: [Control.Notice], _ also: (inout Lifecycle) -> Void = { _ in }) -> Int {
      var life = ready()
      also(&life)
      for notice in notices { _ = life.notice(notice) }
      life.gone()
      return reason(life).reason
    }
    #expect(ended([exit(code: 3)]) == LAUTER_REASON_EXITED)
    #expect(ended([exit(signal: 11)]) == LAUTER_REASON_SIGNALED)
    #expect(ended([exit(signal: 9, wall: true)]) == LAUTER_REASON_WALL)
    #expect(ended([]) == LAUTER_REASON_LOST)
    #expect(ended([]) { _ = $0.end(.killed, now: 0) } == LAUTER_REASON_KILLED)
    #expect(ended([exit(signal: 9)]) { _ = $0.end(.killed, now: 0) } == LAUTER_REASON_KILLED)
    // It had ended before the kill came.
    #expect(ended([exit(code: 0)]) { _ = $0.end(.killed, now: 0) } == LAUTER_REASON_EXITED)
    #expect(ended([]) { _ = $0.end(.breach(.notAGreeting), now: 0) } == LAUTER_REASON_PROTOCOL)
    #expect(ended([exit(signal: 9)]) { _ = $0.end(.overdue, now: 0) } == LAUTER_REASON_DEADLINE)
    #expect(ended([.failed(step: 3, errno: 13, call: "mount")]) == LAUTER_REASON_LAUNCH)
  }

  @Test func `a limit that was reached is named`() {
    func ended(_ mark: (inout Control.Exit) -> Void) -> (reason: Int, why: String) {
      var life = ready()
      var exit = Control.Exit()
      exit.signal = 9
      mark(&exit)
      _ = life.notice(.exited(exit))
      life.gone()
      return reason(life)
    }
    let wall = ended { $0.wallLimit = true }
    #expect(wall.reason == LAUTER_REASON_WALL)
    #expect(wall.why == "the wall-clock limit of 1.5 s was reached")
    let cpu = ended { $0.cpuLimit = true }
    #expect(cpu.reason == LAUTER_REASON_CPU && cpu.why == "the CPU limit of 10 s was reached")
    let file = ended { $0.signal = 25 }
    #expect(file.reason == LAUTER_REASON_SIGNALED)
    #expect(
      file.why == "it was ended by SIGXFSZ: the file size limit of 1500 bytes was reached")
    #expect(ended { $0.ranPaused = true }.reason == LAUTER_REASON_PROTOCOL)
    var loud = ready()
    #expect(loud.end(.outputLimit, now: 0) == [.kill])
    // Although it had ended by itself before its output was counted.
    _ = loud.notice(exit(code: 0))
    loud.gone()
    #expect(reason(loud).reason == LAUTER_REASON_OUTPUT)
    #expect(reason(loud).why == "the output limit of 1 MiB was passed")
  }

  // MARK: Pauses

  @Test func `a pause is ordered once, and so is its end`() {
    var life = ready()
    #expect(life.resume(now: 1) == [])
    #expect(life.pause(now: 2) == [.pause])
    #expect(life.pause(now: 3) == [])
    #expect(life.isPaused)
    #expect(life.resume(now: 4) == [.resume])
    #expect(life.resume(now: 5) == [])
    #expect(!life.isPaused)
  }

  @Test func `time stands still for who is paused`() {
    var life = worker()
    _ = life.notice(.started)
    #expect(life.ownTime(10 * second) == 10 * second)
    _ = life.pause(now: 10 * second)
    #expect(life.deadline == nil)
    #expect(life.ownTime(1000 * second) == 10 * second)
    #expect(life.timer(now: 1000 * second) == [])
    _ = life.resume(now: 1000 * second)
    #expect(life.ownTime(1001 * second) == 11 * second)
    #expect(life.deadline == 1020 * second)
    // A second pause adds to the first.
    _ = life.pause(now: 1001 * second)
    _ = life.resume(now: 2000 * second)
    #expect(life.deadline == 2019 * second)
    #expect(life.timer(now: 2019 * second - 1) == [])
    #expect(life.timer(now: 2019 * second) == [.kill])
  }

  @Test func `a session that closes while its worker is paused has its grace after that`() {
    var life = ready()
    _ = life.pause(now: second)
    life.sessionClosed(now: 50 * second)
    #expect(life.deadline == nil)
    _ = life.resume(now: 100 * second)
    #expect(life.deadline == 100 * second + Lifecycle.closedGrace)
  }

  @Test func `who is paused is killed at once, and its init soon`() {
    var life = ready()
    _ = life.pause(now: 0)
    #expect(life.end(.killed, now: second) == [.kill])
    #expect(life.deadline == second + Lifecycle.killGrace)
    #expect(life.timer(now: second + Lifecycle.killGrace) == [.destroy])
  }

  @Test func `who is stopped goes on first`() {
    var life = ready()
    _ = life.pause(now: second)
    #expect(
      life.stop(now: 5 * second, askNanoseconds: second, termNanoseconds: second)
        == [.resume, .ask])
    #expect(!life.isPaused)
    #expect(life.deadline == 6 * second)
    #expect(life.timer(now: 6 * second) == [.terminate])
    #expect(life.timer(now: 7 * second) == [.kill])
    // And who is ending is paused no more.
    #expect(life.pause(now: 7 * second) == [])
  }

  @Test func `a worker that does not run yet can be paused`() {
    var life = worker(session: false)
    #expect(life.pause(now: 0) == [.pause])
    #expect(life.notice(.started) == [.tellStarted, .tellReady])
    #expect(life.resume(now: second) == [.resume])
  }

  @Test func `the first cause stays`() {
    var life = ready()
    #expect(life.end(.breach(.greetedTwice), now: 0) == [.kill])
    #expect(life.end(.killed, now: 0) == [.kill])
    life.gone()
    #expect(reason(life).reason == LAUTER_REASON_PROTOCOL)
    #expect(life.end(.killed, now: 0) == [])
  }

  @Test func `a blocked call is the reason, with its sentence where there is one`() {
    var life = ready()
    var exit = Control.Exit()
    exit.signal = 9
    exit.blocked = true
    exit.wallLimit = true
    _ = life.notice(.exited(exit))
    life.gone()
    let told = life.reason(
      limits: LimitsTold(), launchFailure: nil, blocked: "blocked system call ptrace")
    #expect(told.reason == LAUTER_REASON_BLOCKED)
    #expect(told.why == "blocked system call ptrace")
    #expect(reason(life).why.hasPrefix("blocked system call"))
  }

  @Test func `a memory limit is the reason, whatever the kernel killed first`() {
    var life = ready()
    var exit = Control.Exit()
    exit.signal = 9
    exit.memoryLimit = true
    _ = life.notice(.exited(exit))
    life.gone()
    let told = life.reason(limits: LimitsTold(memory: 3 << 29), launchFailure: nil)
    #expect(told.reason == LAUTER_REASON_MEMORY)
    #expect(told.why == "the memory limit of 1536 MiB was reached")
  }

  @Test func `a worker that closes its session and goes on is killed`() {
    var life = ready()
    life.sessionClosed(now: 0)
    #expect(life.deadline == Lifecycle.closedGrace)
    #expect(life.timer(now: Lifecycle.closedGrace) == [.kill])
    life.gone()
    #expect(reason(life).reason == LAUTER_REASON_PROTOCOL)
  }
}

@Suite struct TimersTests {
  @Test func `timers come out in their order`() {
    var timers = Timers()
    var generator = SystemRandomNumberGenerator()
    let times = (0..<500).map { _ in UInt64.random(in: 0..<1000, using: &generator) }
    for (index, time) in times.enumerated() { timers.add(time, UInt64(index)) }
    #expect(timers.earliest == times.min())
    var seen: [UInt64] = []
    for now: UInt64 in [100, 500, 1000] {
      while let worker = timers.popDue(now: now) {
        #expect(times[Int(worker)] <= now)
        seen.append(times[Int(worker)])
      }
      #expect(timers.earliest ?? .max > now)
    }
    #expect(seen == times.sorted())
  }
}

@Suite struct TextTests {
  @Test func `durations are said as people say them`() {
    #expect(durationText(milliseconds: 5) == "5 ms")
    #expect(durationText(milliseconds: 1500) == "1.5 s")
    #expect(durationText(milliseconds: 10_000) == "10 s")
    #expect(durationText(milliseconds: 600_000) == "10 min")
  }

  @Test func `sizes are said exactly`() {
    #expect(byteText(1) == "1 byte")
    #expect(byteText(1000) == "1000 bytes")
    #expect(byteText(1536 << 10) == "1536 KiB")
    #expect(byteText(64 << 20) == "64 MiB")
    #expect(byteText(3 << 30) == "3 GiB")
  }
}
